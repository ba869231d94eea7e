// Fourier transforms of complex numbers of any length, in double, one signal or four abreast:
// y[k] = sum over j of x[j] exp(-2 pi i j k / n). The inverse is the same of swapped parts.
#pragma once

#include "core/butterflies.h"

namespace smalti::SMALTI_LEVEL {

constexpr int64_t kMaxPrime = 61;  // above, Bluestein's convolution is faster; measured

inline int64_t smallest_factor(int64_t n) {
  for (int64_t p = 2; p * p <= n; ++p) {
    if (n % p == 0) return p;
  }
  return n;
}

inline int64_t largest_factor(int64_t n) {
  int64_t p = 1;
  for (; n > 1; n /= p) p = smallest_factor(n);
  return p;
}

// The next length whose factors are 2, 3 and 5, which are the fast ones; a multiple of 4.
inline int64_t fast_length(int64_t least) {
  for (int64_t n = (least + 3) / 4 * 4;; n += 4) {
    int64_t rest = n;
    for (int64_t p = 2; p <= 5; ++p) {
      while (rest % p == 0) rest /= p;
    }
    if (rest == 1) return n;
  }
}

// Memory handed out in pieces. Without memory it counts how much is needed.
class Pieces {
 public:
  explicit Pieces(void *memory) : memory_(static_cast<char *>(memory)) {}

  int64_t bytes() const { return bytes_; }
  bool counting() const { return memory_ == nullptr; }

  template <class T>
  T *take(int64_t count) {
    char *piece = counting() ? nullptr : memory_ + bytes_;
    bytes_ += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return reinterpret_cast<T *>(piece);
  }

  Split take_split(int64_t count) {
    double *re = take<double>(count);
    return {re, take<double>(count)};
  }

 private:
  char *memory_;
  int64_t bytes_ = 0;
};

inline void swap(Split &a, Split &b) {
  const Split kept = a;
  a = b;
  b = kept;
}

// Lengths of small prime factors: a pass for each factor.
class Passes {
 public:
  Passes(int64_t n, Pieces &pieces) : n_(n) {
    Complex<double> *coarse = pieces.take<Complex<double>>(Roots::coarse_count(n));
    roots_ = pieces.take<Complex<double>>(n);
    if (pieces.counting()) return;
    const Roots all(n, coarse);
    for (int64_t k = 0; k < n; ++k) roots_[k] = all[k];
  }

  int64_t length() const { return n_; }

  // x (n, lanes), with `spare` of the same size for the way: the two change places at times.
  void run(Split &x, Split &spare, int64_t lanes) const {
    for (int64_t left = n_, s = lanes, p = 1; left > 1; s *= p) {
      p = left % 4 == 0 ? 4 : smallest_factor(left);
      left /= p;
      step(static_cast<int>(p), left, s, x, spare);
      swap(x, spare);
    }
  }

 private:
  void step(int p, int64_t m, int64_t s, const Split &x, const Split &y) const {
    const int64_t stride = n_ / (p * m);
    if (p == 4) {
      pass(Radix4(), m, s, roots_, stride, x, y);
    } else if (p == 2) {
      pass(Radix2(), m, s, roots_, stride, x, y);
    } else if (p == 3) {
      pass(OddRadix<3>(3, roots_, n_ / 3), m, s, roots_, stride, x, y);
    } else if (p == 5) {
      pass(OddRadix<5>(5, roots_, n_ / 5), m, s, roots_, stride, x, y);
    } else {
      pass(OddRadix<0>(p, roots_, n_ / p), m, s, roots_, stride, x, y);
    }
  }

  int64_t n_;
  Complex<double> *roots_;
};

// x[k] (lanes) times factors[k], for k in [0, n).
template <class V>
inline void multiply(const Complex<double> *factors, int64_t n, const Split &x) {
  constexpr int64_t kLanes = sizeof(V) / sizeof(double);
  for (int64_t k = 0; k < n; ++k) {
    Complex<V> value;
    load(x, k * kLanes, value);
    store(value * factors[k], x, k * kLanes);
  }
}

// Any length. A large prime factor makes it a convolution with a chirp (Bluestein 1970).
class Fourier {
 public:
  Fourier(int64_t n, Pieces &pieces)
      : n_(n),
        convolves_(largest_factor(n) > kMaxPrime),
        passes_(convolves_ ? fast_length(2 * n - 1) : n, pieces) {
    if (convolves_) prepare(pieces);
  }

  int64_t length() const { return passes_.length(); }  // of the memory that run() needs

  // x (n, lanes of V), in memory for length(); `spare` likewise.
  template <class V>
  void run(Split &x, Split &spare) const {
    constexpr int64_t kLanes = sizeof(V) / sizeof(double);
    if (!convolves_) return passes_.run(x, spare, kLanes);
    const int64_t rest = (length() - n_) * kLanes * static_cast<int64_t>(sizeof(double));
    multiply<V>(chirp_, n_, x);
    memset(x.re + n_ * kLanes, 0, rest);
    memset(x.im + n_ * kLanes, 0, rest);
    passes_.run(x, spare, kLanes);
    multiply<V>(filter_, length(), x);
    x = {x.im, x.re};
    spare = {spare.im, spare.re};
    passes_.run(x, spare, kLanes);
    x = {x.im, x.re};
    spare = {spare.im, spare.re};
    multiply<V>(chirp_, n_, x);
  }

 private:
  // chirp[k] = exp(-pi i k^2 / n); filter: the transform of its conjugate for k in (-n, n).
  void prepare(Pieces &pieces) {
    const int64_t turn = 2 * n_, count = length();
    Complex<double> *coarse = pieces.take<Complex<double>>(Roots::coarse_count(turn));
    chirp_ = pieces.take<Complex<double>>(n_);
    filter_ = pieces.take<Complex<double>>(count);
    Split x = pieces.take_split(count), spare = pieces.take_split(count);
    if (pieces.counting()) return;
    const Roots all(turn, coarse);
    memset(x.re, 0, count * sizeof *x.re);
    memset(x.im, 0, count * sizeof *x.im);
    for (int64_t k = 0; k < n_; ++k) {
      chirp_[k] = all[k * k % turn];
      const int64_t mirrored = k == 0 ? 0 : count - k;
      store(conj(chirp_[k]), x, k);
      store(conj(chirp_[k]), x, mirrored);
    }
    passes_.run(x, spare, 1);
    const double scale = 1.0 / static_cast<double>(count);
    for (int64_t k = 0; k < count; ++k) filter_[k] = {x.re[k] * scale, x.im[k] * scale};
  }

  int64_t n_;
  bool convolves_;
  Passes passes_;
  Complex<double> *chirp_, *filter_;
};

}  // namespace smalti::SMALTI_LEVEL
