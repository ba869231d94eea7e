// One pass of a Fourier transform: the transforms of p values far apart, for small p.
//
// Stockham's arrangement (as in Van Loan, Computational Frameworks for the FFT, 1992, section 1.7):
// a pass reads x (p, m, s) and writes y (m, p, s), so that the last one leaves the order natural
// and values next to each other are always treated alike.
#pragma once

#include "core/roots.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kMaxRadix = 64;

struct Split {  // real and imaginary parts
  double *re, *im;
};

template <class V>
struct Anywhere;  // a value in memory that is aligned as a double
template <>
struct Anywhere<double> {
  typedef double Value;
};
template <>
struct Anywhere<Doubles> {
  typedef double Value __attribute__((vector_size(32), aligned(8), may_alias));
};

template <class V>
SMALTI_INLINE void load(const Split &from, int64_t at, Complex<V> &to) {
  using Value = typename Anywhere<V>::Value;
  to.re = *reinterpret_cast<const Value *>(from.re + at);
  to.im = *reinterpret_cast<const Value *>(from.im + at);
}

template <class V>
SMALTI_INLINE void store(const Complex<V> &from, const Split &to, int64_t at) {
  using Value = typename Anywhere<V>::Value;
  *reinterpret_cast<Value *>(to.re + at) = from.re;
  *reinterpret_cast<Value *>(to.im + at) = from.im;
}

// body(i) for i in [0, count), without a loop if kFixed, which is then the count, is above 0.
template <int kFixed, class Body>
SMALTI_INLINE void repeated(int count, Body &&body) {
  if constexpr (kFixed > 0) {
    unrolled<kFixed>(body);
  } else {
    for (int i = 0; i < count; ++i) body(i);
  }
}

struct Radix2 {
  static constexpr int kCount = 2;
  int count() const { return 2; }

  template <class V>
  SMALTI_INLINE void operator()(Complex<V> *a) const {
    const Complex<V> sum = a[0] + a[1];
    a[1] = a[0] - a[1];
    a[0] = sum;
  }
};

struct Radix4 {
  static constexpr int kCount = 4;
  int count() const { return 4; }

  template <class V>
  SMALTI_INLINE void operator()(Complex<V> *a) const {
    const Complex<V> even = a[0] + a[2], odd = a[1] + a[3];
    const Complex<V> left = a[0] - a[2], right = times_i(a[1] - a[3]);
    a[0] = even + odd;
    a[1] = left - right;
    a[2] = even - odd;
    a[3] = left + right;
  }
};

// An odd number of values: what is symmetric meets cosines only, the rest sines only.
template <int kFixed>  // 0: any number below kMaxRadix
class OddRadix {
 public:
  static constexpr int kCount = kFixed;

  // roots: exp(-2 pi i k / count) at k * stride.
  OddRadix(int count, const Complex<double> *roots, int64_t stride) : count_(count) {
    for (int k = 0; k < count; ++k) roots_[k] = roots[k * stride];
  }

  int count() const { return kFixed > 0 ? kFixed : count_; }

  template <class V>
  SMALTI_INLINE void operator()(Complex<V> *a) const {
    const int p = count(), half = p / 2;
    Complex<V> found[kSize];
    found[0] = a[0];
    repeated<kFixed / 2>(half, [&](int j) SMALTI_INLINE_LAMBDA {
      const Complex<V> sum = a[j + 1] + a[p - 1 - j];
      a[p - 1 - j] = a[j + 1] - a[p - 1 - j];
      a[j + 1] = sum;
      found[0] = found[0] + sum;
    });
    repeated<kFixed / 2>(half, [&](int i) SMALTI_INLINE_LAMBDA {
      const int q = i + 1;
      Complex<V> even = a[0], odd = {};
      int at = 0;
      repeated<kFixed / 2>(half, [&](int j) SMALTI_INLINE_LAMBDA {
        at += at + q < p ? q : q - p;
        const Complex<double> &u = roots_[at];
        const Complex<V> &sum = a[j + 1], &difference = a[p - 1 - j];
        even = even + Complex<V>{sum.re * u.re, sum.im * u.re};
        odd = odd + Complex<V>{difference.re * u.im, difference.im * u.im};
      });
      found[q] = even + times_i(odd);
      found[p - q] = even - times_i(odd);
    });
    repeated<kFixed>(p, [&](int q) SMALTI_INLINE_LAMBDA { a[q] = found[q]; });
  }

 private:
  static constexpr int kSize = kFixed > 0 ? kFixed : kMaxRadix;
  int count_;
  Complex<double> roots_[kSize];
};

template <class Butterfly>
constexpr int kRoom = Butterfly::kCount > 0 ? Butterfly::kCount : kMaxRadix;

// The values (r, k, q) of x for all r, through the butterfly, turned, to (k, r, q) of y.
template <class V, bool kTurned, class Butterfly>
SMALTI_INLINE void column(const Butterfly &butterfly, int p, const Complex<double> *turns,
                          const Split &x, int64_t step, const Split &y, int64_t s) {
  Complex<V> a[kRoom<Butterfly>];
  constexpr int kFixed = Butterfly::kCount;
  repeated<kFixed>(p, [&](int r) SMALTI_INLINE_LAMBDA { load(x, r * step, a[r]); });
  butterfly(a);
  repeated<kFixed>(p, [&](int r) SMALTI_INLINE_LAMBDA {
    store(kTurned && r > 0 ? a[r] * turns[r] : a[r], y, r * s);
  });
}

template <bool kTurned, class Butterfly>
inline void columns(const Butterfly &butterfly, int64_t m, int64_t s, const Complex<double> *roots,
                    int64_t stride, const Split &x, const Split &y) {
  constexpr int kWide = sizeof(Doubles) / sizeof(double);
  const int p = butterfly.count();
  if (p < 2) __builtin_unreachable();
  Complex<double> turns[kRoom<Butterfly>];
  for (int64_t k = 0; k < m; ++k) {
    repeated<Butterfly::kCount>(
        p, [&](int r) SMALTI_INLINE_LAMBDA { turns[r] = roots[r * k * stride]; });
    int64_t q = 0;
    for (; q + kWide <= s; q += kWide) {
      const Split from = {x.re + k * s + q, x.im + k * s + q};
      const Split to = {y.re + k * p * s + q, y.im + k * p * s + q};
      column<Doubles, kTurned>(butterfly, p, turns, from, m * s, to, s);
    }
    for (; q < s; ++q) {
      const Split from = {x.re + k * s + q, x.im + k * s + q};
      const Split to = {y.re + k * p * s + q, y.im + k * p * s + q};
      column<double, kTurned>(butterfly, p, turns, from, m * s, to, s);
    }
  }
}

// One pass. roots: exp(-2 pi i k / n) at k; stride: n / (p m).
template <class Butterfly>
inline void pass(const Butterfly &butterfly, int64_t m, int64_t s, const Complex<double> *roots,
                 int64_t stride, const Split &x, const Split &y) {
  if (m > 1) {
    columns<true>(butterfly, m, s, roots, stride, x, y);
  } else {
    columns<false>(butterfly, m, s, roots, stride, x, y);
  }
}

}  // namespace smalti::SMALTI_LEVEL
