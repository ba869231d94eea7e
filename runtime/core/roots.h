// Complex numbers of one or four lanes, and roots of unity: correct to about the last bit of a
// double, without libm, whose bits vary.
#pragma once

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

typedef double Doubles __attribute__((vector_size(32)));

template <class V>
struct Complex {
  V re, im;
};

template <class V>
SMALTI_INLINE Complex<V> operator+(const Complex<V> &a, const Complex<V> &b) {
  return {a.re + b.re, a.im + b.im};
}

template <class V>
SMALTI_INLINE Complex<V> operator-(const Complex<V> &a, const Complex<V> &b) {
  return {a.re - b.re, a.im - b.im};
}

template <class V>
SMALTI_INLINE Complex<V> operator*(const Complex<V> &a, const Complex<double> &b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

template <class V>
SMALTI_INLINE Complex<V> conj(const Complex<V> &a) {
  return {a.re, -a.im};
}

template <class V>
SMALTI_INLINE Complex<V> times_i(const Complex<V> &a) {
  return {-a.im, a.re};
}

// exp(-i angle) for 0 <= angle <= pi / 4, by Taylor's series.
inline Complex<double> small_turn(double angle) {
  const double square = angle * angle;
  double cosine = 1.0, sine = 1.0;
  for (int k = 18; k > 0; k -= 2) {
    cosine = 1.0 - cosine * (square / ((k - 1) * k));
    sine = 1.0 - sine * (square / (k * (k + 1)));
  }
  return {cosine, -sine * angle};
}

// exp(-2 pi i k / n) for k in [0, n): by the eighth of the circle that it is in.
inline Complex<double> root(int64_t k, int64_t n) {
  constexpr double kEighth = 0.785398163397448309616;
  const int64_t eighth = 8 * k / n, over = 8 * k - eighth * n, at = eighth & 1 ? n - over : over;
  const Complex<double> u = small_turn(kEighth * static_cast<double>(at) / static_cast<double>(n));
  const Complex<double> near = (eighth + 1) & 2 ? Complex<double>{-u.im, -u.re} : u;
  const double re = (eighth + 2) & 4 ? -near.re : near.re;
  return {re, eighth & 4 ? -near.im : near.im};
}

// All roots of order n as products of two: series are slow.
class Roots {
 public:
  static int64_t coarse_count(int64_t n) { return (n + kFine - 1) / kFine; }

  Roots(int64_t n, Complex<double> *coarse) : coarse_(coarse) {
    for (int64_t k = 0; k < kFine && k < n; ++k) fine_[k] = root(k, n);
    for (int64_t k = 0; k < coarse_count(n); ++k) coarse[k] = root(k * kFine, n);
  }

  Complex<double> operator[](int64_t k) const { return coarse_[k / kFine] * fine_[k % kFine]; }

 private:
  static constexpr int64_t kFine = 16;
  Complex<double> fine_[kFine];
  const Complex<double> *coarse_;
};

}  // namespace smalti::SMALTI_LEVEL
