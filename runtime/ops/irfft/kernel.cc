// Inverse Fourier transform to real signals of any length, in double: rounding to float32 is all
// the error.
#include "core/real_fourier.h"

namespace smalti::SMALTI_LEVEL {
namespace {

Status check_x(const Shape &x, int64_t n) {
  if (x.rank < 2)
    return fail(SMALTI_INVALID, "x: rank %d; pass (..., bins, 2), real and imaginary parts",
                x.rank);
  const int64_t parts = x.dims[x.rank - 1], bins = x.dims[x.rank - 2];
  if (parts >= 0 && parts != 2)
    return fail(SMALTI_INVALID, "x: a last dimension of %lld; pass 2, real and imaginary parts",
                static_cast<long long>(parts));
  if (bins >= 0 && bins != n / 2 + 1)
    return fail(SMALTI_INVALID, "x: %lld bins; pass %lld for signals of length n = %lld",
                static_cast<long long>(bins), static_cast<long long>(n / 2 + 1),
                static_cast<long long>(n));
  return Status();
}

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  const Shape &x = inputs[0];
  const int64_t n = attributes[0].i;
  if (n < 1 || n > kMaxLength)
    return fail(SMALTI_INVALID, "n: %lld; pass a length from 1 to 2^30", static_cast<long long>(n));
  if (x.rank < 0) return Status();
  SMALTI_TRY(check_x(x, n));
  *output = x;
  output->rank = x.rank - 1;
  output->dims[x.rank - 2] = n;
  return Status();
}

struct Inverse {
  int64_t from_size, to_size;

  template <class V>
  void operator()(const RealPlan &plan, const Rows<V, const float> &from, const Rows<V, float> &to,
                  Split &x, Split &spare) const {
    if (plan.n % 2 == 0) {
      tangle(plan, from, x);
    } else {
      mirror(plan.n, from, x);
    }
    x = {x.im, x.re};  // which inverts the transform
    spare = {spare.im, spare.re};
    plan.fourier.run<V>(x, spare);
    x = {x.im, x.re};
    unpack(plan.n, x, to);
  }

  template <class V>
  static void read_bin(const Rows<V, const float> &from, int64_t k, Complex<V> &to) {
    read(from, 2 * k, to.re);
    read(from, 2 * k + 1, to.im);
  }

  // The bins of the even values plus i times those of the odd ones, all twice.
  template <class V>
  static void tangle(const RealPlan &plan, const Rows<V, const float> &from, const Split &x) {
    const int64_t half = plan.n / 2;
    for (int64_t k = 0; 2 * k <= half; ++k) {
      Complex<V> low, high;
      read_bin(from, k, low);
      read_bin(from, half - k, high);
      if (k == 0) low.im = high.im = V{};
      const Complex<V> even = low + conj(high);
      const Complex<V> odd = times_i(low - conj(high)) * conj(plan.turns[k]);
      store(even + odd, x, k * from.kCount);
      if (k > 0) store(conj(even - odd), x, (half - k) * from.kCount);
    }
  }

  // All n bins of an odd n.
  template <class V>
  static void mirror(int64_t n, const Rows<V, const float> &from, const Split &x) {
    for (int64_t k = 0; 2 * k < n; ++k) {
      Complex<V> bin;
      read_bin(from, k, bin);
      if (k == 0) bin.im = V{};
      store(bin, x, k * from.kCount);
      if (k > 0) store(conj(bin), x, (n - k) * from.kCount);
    }
  }

  template <class V>
  static void unpack(int64_t n, const Split &x, const Rows<V, float> &to) {
    const double scale = 1.0 / static_cast<double>(n);
    const int64_t step = n % 2 == 0 ? 2 : 1;
    for (int64_t j = 0; j < n / step; ++j) {
      Complex<V> pair;
      load(x, j * to.kCount, pair);
      write(pair.re * scale, step * j, to);
      if (step == 2) write(pair.im * scale, 2 * j + 1, to);
    }
  }
};

Status run(const Call &call) {
  const int64_t n = call.attributes[0].i, bins = n / 2 + 1;
  return for_rows(call, n, elements(*call.output) / n, Inverse{2 * bins, n});
}

}  // namespace

extern const Op IRFFT;
const Op IRFFT = {"IRFFT", 1,  {{"x", SMALTI_F32}}, {"y", SMALTI_F32}, 1, {{"n", Kind::kInt}},
                  shape,   run};

}  // namespace smalti::SMALTI_LEVEL
