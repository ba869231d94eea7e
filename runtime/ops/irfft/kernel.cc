// Inverse Fourier transform to real signals of any length: mixed radix, decimation in time (Cooley
// and Tukey 1965), over the prime factors of n. It takes about n times their sum. In double, so
// that rounding to float32 is all the error there is, and without libm, whose bits vary.
#include "core/packed.h"
#include "core/ranges.h"

namespace smalti::SMALTI_LEVEL {
namespace {

constexpr int64_t kMaxLength = int64_t{1} << 30;
constexpr double kTurn = 6.283185307179586476925;

struct Complex {
  double re, im;
};

inline Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
inline Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
inline Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

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

// exp(i angle) by its series, for 0 <= angle < 2 pi.
Complex unit(double angle) {
  Complex term = {1.0, 0.0}, sum = term;
  for (int k = 1; k < 48; ++k) {
    term = {-term.im * angle / k, term.re * angle / k};
    sum = sum + term;
  }
  return sum;
}

// exp(2 pi i k / n) for k in [0, n): products of at most log2(n) exact ones.
void fill_roots(int64_t n, Complex *roots) {
  roots[0] = {1.0, 0.0};
  for (int64_t step = 1; step < n; step *= 2) {
    const Complex turn = unit(kTurn * static_cast<double>(step) / static_cast<double>(n));
    for (int64_t k = 0; k < step && step + k < n; ++k) roots[step + k] = turn * roots[k];
  }
}

int64_t smallest_factor(int64_t n) {
  for (int64_t p = 2; p * p <= n; ++p) {
    if (n % p == 0) return p;
  }
  return n;
}

struct Transform {
  int64_t n;
  const Complex *roots;  // (n)
  Complex *terms;        // scratch (n)

  // The transform of in[0], in[stride], ...: `count` values; count * stride is n.
  void run(int64_t count, int64_t stride, const Complex *in, Complex *out) const {
    if (count == 1) {
      *out = *in;
      return;
    }
    const int64_t p = smallest_factor(count), part = count / p;
    for (int64_t r = 0; r < p; ++r) run(part, stride * p, in + r * stride, out + r * part);
    for (int64_t k = 0; k < part; ++k) {
      if (p == 2) {
        butterfly(roots[k * stride], out + k, out + part + k);
      } else {
        combine(p, part, k * stride, out + k);
      }
    }
  }

  static void butterfly(Complex root, Complex *even, Complex *odd) {
    const Complex a = *even, b = *odd * root;
    *even = a + b;
    *odd = a - b;
  }

  // A transform of p values `part` apart, each turned by its multiple of `turn` first.
  void combine(int64_t p, int64_t part, int64_t turn, Complex *out) const {
    for (int64_t r = 0; r < p; ++r) terms[r] = out[r * part] * roots[r * turn];
    for (int64_t q = 0; q < p; ++q) {
      Complex sum = terms[0];
      for (int64_t r = 1, at = 0; r < p; ++r) {
        at += q * (n / p);
        at -= at < n ? 0 : n;
        sum = sum + terms[r] * roots[at];
      }
      out[q * part] = sum;
    }
  }
};

// All n bins from bins (n / 2 + 1, 2).
void mirror(const float *bins, int64_t n, Complex *spectrum) {
  spectrum[0] = {bins[0], 0.0};
  for (int64_t k = 1; 2 * k <= n; ++k) {
    spectrum[k] = {bins[2 * k], 2 * k == n ? 0.0f : bins[2 * k + 1]};
    spectrum[n - k] = {spectrum[k].re, -spectrum[k].im};
  }
}

Status run(const Call &call) {
  const int64_t n = call.attributes[0].i, bins = n / 2 + 1, rows = elements(*call.output) / n;
  const int64_t bytes = n * static_cast<int64_t>(sizeof(Complex));
  Complex *roots = static_cast<Complex *>(scratch(Slot::kCall, bytes));
  if (roots == nullptr) return no_memory(bytes);
  fill_roots(n, roots);
  const float *from = static_cast<const float *>(call.inputs[0].data);
  float *to = static_cast<float *>(call.output->data);
  bool exhausted = false;
  in_ranges(call.parallel, rows, 64 * n, [&](int64_t begin, int64_t end) {
    Complex *terms = static_cast<Complex *>(scratch(Slot::kTask, 3 * bytes));
    if (terms == nullptr) __atomic_store_n(&exhausted, true, __ATOMIC_RELAXED);
    for (int64_t row = begin; row < end && terms != nullptr; ++row) {
      Complex *spectrum = terms + n, *signal = spectrum + n;
      mirror(from + row * bins * 2, n, spectrum);
      Transform{n, roots, terms}.run(n, 1, spectrum, signal);
      for (int64_t i = 0; i < n; ++i)
        to[row * n + i] = static_cast<float>(signal[i].re / static_cast<double>(n));
    }
  });
  return exhausted ? no_memory(3 * bytes) : Status();
}

}  // namespace

extern const Op IRFFT;
const Op IRFFT = {"IRFFT", 1,  {{"x", SMALTI_F32}}, {"y", SMALTI_F32}, 1, {{"n", Kind::kInt}},
                  shape,   run};

}  // namespace smalti::SMALTI_LEVEL
