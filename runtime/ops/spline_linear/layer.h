// Sums of rows of values, each with a weight of its own: what a layer of splines comes to. An input
// touches degree + 1 of its rows of coefficients, so no table of basis values is ever built.
#pragma once

#include "core/bspline.h"
#include "core/half.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kMaxDegree = 3;
constexpr int kTerms = kMaxDegree + 2;  // an input's products: splines', then SiLU's
constexpr int kRows = 32;               // of x, located at once: 6 KB
constexpr int kShared = 4;       // inputs whose rows stay in the first cache for all of these
constexpr int kMostVectors = 8;  // of outputs, summed in registers

inline void load(const uint16_t *from, Floats &to) {
#ifdef __F16C__
  __m128i halves;
  memcpy(&halves, from, sizeof halves);
  to = reinterpret_cast<Floats>(_mm256_cvtph_ps(halves));
#else
  for (int i = 0; i < kLanes; ++i) to[i] = half_to_float(from[i]);
#endif
}

inline float to_float(float value) { return value; }
inline float to_float(uint16_t half) { return half_to_float(half); }

// Eight inputs of up to kRows rows of x: which rows of values they take, with which weights.
struct Located {
  int32_t cells[kRows][kLanes];
  float weights[kRows][kTerms][kLanes];

  // from: `count` inputs of each row, `stride` apart.
  template <int kDegree>
  void fill(const Intervals &on, bool base, const float *from, int64_t stride, int64_t rows,
            int64_t count) {
    for (int64_t row = 0; row < rows; ++row, from += stride) {
      Floats x = {}, splines[kDegree + 1], e;
      Ints interval;
      if (count == kLanes) {
        load(from, x);
      } else {
        memcpy(&x, from, count * sizeof *from);
      }
      locate<kDegree>(on, x, interval, splines);
      store(interval, cells[row]);
      unrolled<kDegree + 1>([&](int r) { store(splines[r], weights[row][r]); });
      if (!base) continue;
      exponential(-x, e);
      store(x / (1.0f + e), weights[row][kDegree + 1]);
    }
  }
};

// Which of them are added: `inputs` from `lane` on, to `rows` rows of y that lie `stride` apart.
struct Share {
  int64_t rows, lane, inputs, degree, stride;
};

// The rows of values that some inputs choose from, where they are or packed.
template <class T>
struct Panel {
  const T *coefficients;
  const float *base;  // or null
  int64_t next_input, next_row, next_base;

  Panel moved(int64_t inputs, int64_t outputs) const {
    Panel to = *this;
    to.coefficients += inputs * next_input + outputs;
    if (base != nullptr) to.base += inputs * next_base + outputs;
    return to;
  }

  // The values of kCount vectors of outputs, one row after the other and aligned.
  template <int kCount>
  Panel<float> packed(int64_t inputs, int64_t rows, float *to) const {
    constexpr int kWidth = kCount * kLanes;
    const int64_t block = (rows + (base != nullptr)) * kWidth;
    for (int64_t i = 0; i < inputs; ++i) {
      for (int64_t r = 0; r < rows; ++r)
        copy<kCount>(coefficients + i * next_input + r * next_row, to + i * block + r * kWidth);
      if (base != nullptr) copy<kCount>(base + i * next_base, to + i * block + rows * kWidth);
    }
    return {to, base == nullptr ? nullptr : to + rows * kWidth, block, kWidth, block};
  }

  template <int kCount, class From>
  static SMALTI_INLINE void copy(const From *from, float *to) {
    unrolled<kCount>([&](int v) SMALTI_INLINE_LAMBDA {
      Floats values;
      load(from + v * kLanes, values);
      store(values, to + v * kLanes);
    });
  }

  // Calls body(weight, values) for all that the inputs add to a row, always in the same order, so
  // that blocks of any size give the same bits.
  template <class Body>
  SMALTI_INLINE void for_terms(const Located &at, int64_t row, const Share &s, Body &&body) const {
    for (int64_t i = 0; i < s.inputs; ++i) {
      const T *values = coefficients + i * next_input + at.cells[row][s.lane + i] * next_row;
      for (int64_t r = 0; r <= s.degree; ++r, values += next_row)
        body(at.weights[row][r][s.lane + i], values);
      if (base != nullptr) body(at.weights[row][s.degree + 1][s.lane + i], base + i * next_base);
    }
  }

  // Adds to kCount vectors of outputs of each row.
  template <int kCount>
  void add(const Located &at, const Share &s, float *to) const {
    for (int64_t row = 0; row < s.rows; ++row, to += s.stride) {
      Floats sums[kCount];
      unrolled<kCount>([&](int v) { load(to + v * kLanes, sums[v]); });
      for_terms(at, row, s, [&](float weight, const auto *from) SMALTI_INLINE_LAMBDA {
        unrolled<kCount>([&](int v) SMALTI_INLINE_LAMBDA {
          Floats values;
          load(from + v * kLanes, values);
          sums[v] += weight * values;
        });
      });
      unrolled<kCount>([&](int v) { store(sums[v], to + v * kLanes); });
    }
  }

  // Adds to `count` outputs, too few for a vector.
  void add_rest(const Located &at, const Share &s, int64_t count, float *to) const {
    for (int64_t row = 0; row < s.rows; ++row, to += s.stride) {
      for_terms(at, row, s, [&](float weight, const auto *from) SMALTI_INLINE_LAMBDA {
        for (int64_t o = 0; o < count; ++o) to[o] += weight * to_float(from[o]);
      });
    }
  }
};

}  // namespace smalti::SMALTI_LEVEL
