// Fourier transform of real signals of any length, in double: rounding to float32 is all the error.
#include "core/real_fourier.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Attributes { kModes };

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  const Shape &x = inputs[0];
  const int64_t modes = attributes[kModes].i;
  if (modes < 1 || modes > kMaxLength / 2 + 1)
    return fail(SMALTI_INVALID, "modes: %lld; pass 1 to n / 2 + 1 for signals of length n",
                static_cast<long long>(modes));
  if (x.rank < 0) return Status();
  if (x.rank < 1 || x.rank >= SMALTI_MAX_RANK)
    return fail(SMALTI_INVALID, "x: rank %d; pass (..., n) of rank 1 to %d", x.rank,
                SMALTI_MAX_RANK - 1);
  const int64_t n = x.dims[x.rank - 1];
  if (n == 0 || n > kMaxLength)
    return fail(SMALTI_INVALID, "x: signals of length %lld; pass 1 to 2^30",
                static_cast<long long>(n));
  if (n > 0 && modes > n / 2 + 1)
    return fail(SMALTI_INVALID, "modes: %lld; signals of length %lld have %lld bins",
                static_cast<long long>(modes), static_cast<long long>(n),
                static_cast<long long>(n / 2 + 1));
  *output = x;
  output->rank = x.rank + 1;
  output->dims[x.rank - 1] = modes;
  output->dims[x.rank] = 2;
  return Status();
}

struct Forward {
  int64_t from_size, to_size, modes;

  template <class V>
  void operator()(const RealPlan &plan, const Rows<V, const float> &from, const Rows<V, float> &to,
                  Split &x, Split &spare) const {
    if (plan.n % 2 == 0) {
      pack(plan.n / 2, from, x);
      plan.fourier.run<V>(x, spare);
      untangle(plan, x, to);
    } else {
      fill(plan.n, from, x);
      plan.fourier.run<V>(x, spare);
      for (int64_t k = 0; k < modes; ++k) write_bin(x, k, to);
    }
  }

  template <class V>
  static void pack(int64_t half, const Rows<V, const float> &from, const Split &x) {
    for (int64_t j = 0; j < half; ++j) {
      Complex<V> pair;
      read(from, 2 * j, pair.re);
      read(from, 2 * j + 1, pair.im);
      store(pair, x, j * from.kCount);
    }
  }

  template <class V>
  static void fill(int64_t n, const Rows<V, const float> &from, const Split &x) {
    for (int64_t j = 0; j < n; ++j) {
      Complex<V> value = {};
      read(from, j, value.re);
      store(value, x, j * from.kCount);
    }
  }

  template <class V>
  static void write_bin(const Split &x, int64_t k, const Rows<V, float> &to) {
    Complex<V> bin;
    load(x, k * to.kCount, bin);
    write(bin.re, 2 * k, to);
    write(bin.im, 2 * k + 1, to);
  }

  // The half's bins z are those of the even values plus i times those of the odd ones.
  template <class V>
  void untangle(const RealPlan &plan, const Split &x, const Rows<V, float> &to) const {
    const int64_t half = plan.n / 2;
    for (int64_t k = 0; 2 * k <= half; ++k) {
      Complex<V> z, mirrored;
      load(x, k * to.kCount, z);
      load(x, (k == 0 ? 0 : half - k) * to.kCount, mirrored);
      const Complex<V> even = z + conj(mirrored), odd = times_i(conj(mirrored) - z) * plan.turns[k];
      const Complex<V> low = even + odd, high = even - odd;
      if (k < modes) {
        write(low.re * 0.5, 2 * k, to);
        write(low.im * 0.5, 2 * k + 1, to);
      }
      if (half - k < modes) {
        write(high.re * 0.5, 2 * (half - k), to);
        write(high.im * -0.5, 2 * (half - k) + 1, to);
      }
    }
  }
};

Status run(const Call &call) {
  const Tensor &x = call.inputs[0];
  const int64_t n = x.dims[x.rank - 1], modes = call.attributes[kModes].i;
  return for_rows(call, n, elements(x) / n, Forward{n, 2 * modes, modes});
}

}  // namespace

extern const Op RFFT;
const Op RFFT = {"RFFT", 1,  {{"x", SMALTI_F32}}, {"y", SMALTI_F32}, 1, {{"modes", Kind::kInt}},
                 shape,  run};

}  // namespace smalti::SMALTI_LEVEL
