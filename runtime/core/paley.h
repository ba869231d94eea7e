// Paley's second Hadamard matrices, of orders 12, 20 and 28 (q = 5, 9, 13): the part of a block
// that is no power of two.
#pragma once

#include "core/op.h"
#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kMaxBlock = 1024;

// The part of a block size that is no power of two: 1, 12, 20 or 28; 0 if there is no such matrix.
inline int paley_order(int64_t block) {
  if (block < 1 || block > kMaxBlock) return 0;
  int64_t odd = block;
  while (odd % 2 == 0) odd /= 2;
  if (odd == 1) return 1;
  const bool known = (odd == 3 || odd == 5 || odd == 7) && block % 4 == 0;
  return known ? static_cast<int>(odd) * 4 : 0;
}

// The quadratic character of a - b in the field of q elements: 0, +1 (a square) or -1.
constexpr int character(int a, int b, int q) {
  if (q == 9) {  // elements x + iy with i^2 = -1, numbered 3x + y; squares have norm 1
    const int x = a / 3 - b / 3, y = a % 3 - b % 3;
    const int norm = (x * x + y * y) % 3;
    return norm == 2 ? -1 : norm;
  }
  const int difference = (a - b + q) % q;
  for (int root = 1; root < q; ++root) {
    if (root * root % q == difference) return 1;
  }
  return difference == 0 ? 0 : -1;
}

// The symmetric conference matrix C of order kOrder = q + 1. Paley's second matrix, of twice the
// order, is C kron (1 1; 1 -1) + I kron (1 -1; -1 -1).
template <int kOrder>
struct Conference {
  float at[kOrder * kOrder] = {};

  constexpr Conference() {
    for (int i = 0; i < kOrder; ++i)
      for (int j = 0; j < kOrder; ++j) at[i * kOrder + j] = static_cast<float>(entry(i, j));
  }

  static constexpr int entry(int i, int j) {
    if (i == j) return 0;
    return i == 0 || j == 0 ? 1 : character(i - 1, j - 1, kOrder - 1);
  }
};

inline const float *conference(int order) {
  static constexpr Conference<6> c6;
  static constexpr Conference<10> c10;
  static constexpr Conference<14> c14;
  return order == 6 ? c6.at : order == 10 ? c10.at : c14.at;
}

// out (2 half, stride) = Paley's matrix, of which C is (half, half), times what `pairs` has the
// sums and the differences of, in turn; for kColumns columns.
template <int kColumns>
inline void paley_columns(const float *pairs, int half, int stride, float *out) {
  typedef float Columns __attribute__((vector_size(kColumns * sizeof(float))));
  const float *c = conference(half);
  for (int a = 0; a < half; a += 2) {  // two rows at once: four chains of additions
    Columns sums[4];                   // rows a, a and a + 1, a + 1
    unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
      memcpy(&sums[i], pairs + (2 * a + (i ^ 1)) * stride, sizeof sums[i]);
      if (i % 2 == 1) sums[i] = -sums[i];
    });
    for (int b = 0; b < half; ++b) {
      Columns pair[2];
      memcpy(&pair[0], pairs + 2 * b * stride, sizeof pair[0]);
      memcpy(&pair[1], pairs + (2 * b + 1) * stride, sizeof pair[1]);
      unrolled<4>([&](int i)
                      SMALTI_INLINE_LAMBDA { sums[i] += pair[i % 2] * c[(a + i / 2) * half + b]; });
    }
    unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
      memcpy(out + (2 * a + i) * stride, &sums[i], sizeof sums[i]);
    });
  }
}

// x viewed as (m, size / m): multiplies from the left by Paley's matrix of order m.
inline void paley_rows(float *x, int size, int m) {
  const int columns = size / m;
  float pairs[kMaxBlock * kLanes];
  for (int i = 0; i < size; i += 2 * columns) {
    for (int k = i; k < i + columns; ++k) {
      pairs[k] = x[k] + x[k + columns];
      pairs[k + columns] = x[k] - x[k + columns];
    }
  }
  switch (columns) {
    case 1:
      return paley_columns<1>(pairs, m / 2, columns, x);
    case 2:
      return paley_columns<2>(pairs, m / 2, columns, x);
    case 4:
      return paley_columns<4>(pairs, m / 2, columns, x);
  }
  for (int k = 0; k < columns; k += kLanes) paley_columns<kLanes>(pairs + k, m / 2, columns, x + k);
}

}  // namespace smalti::SMALTI_LEVEL
