// Rows of a small table for eight points at once. Reading whole rows and transposing them takes a
// third of the time that gathering each column takes.
#pragma once

#include "core/op.h"
#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

typedef float Quad __attribute__((vector_size(16)));
typedef double Pairs __attribute__((vector_size(32)));  // of floats

// Four columns: one row of four floats a lane.
SMALTI_INLINE void read_four(const float *from, const int32_t *at, Floats *columns) {
  Floats two[4];  // lanes i and i + 4
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    Quad low, high;
    memcpy(&low, from + at[i], sizeof low);
    memcpy(&high, from + at[i + 4], sizeof high);
    two[i] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
  });
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    Floats a, b;
    if (i == 0) {
      a = __builtin_shufflevector(two[0], two[1], 0, 8, 1, 9, 4, 12, 5, 13);
      b = __builtin_shufflevector(two[2], two[3], 0, 8, 1, 9, 4, 12, 5, 13);
    } else {
      a = __builtin_shufflevector(two[0], two[1], 2, 10, 3, 11, 6, 14, 7, 15);
      b = __builtin_shufflevector(two[2], two[3], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    columns[2 * i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
    columns[2 * i + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  });
}

// Two columns.
SMALTI_INLINE void read_two(const float *from, const int32_t *at, Floats *columns) {
  Pairs even, odd;  // lanes 0 1 4 5 and 2 3 6 7
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    double a, b;
    memcpy(&a, from + at[i + (i & 2)], sizeof a);
    memcpy(&b, from + at[i + (i & 2) + 2], sizeof b);
    even[i] = a;
    odd[i] = b;
  });
  const Floats a = reinterpret_cast<Floats>(even), b = reinterpret_cast<Floats>(odd);
  columns[0] = __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14);
  columns[1] = __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
}

// columns[i][lane] = table[row[lane]][i], of a table of kCount columns; every row has to be inside.
template <int kCount>
SMALTI_INLINE void read_rows(const float *table, const Ints &row, Floats *columns) {
  const Ints first = row * kCount;
  alignas(sizeof first) int32_t at[kLanes];
  store(first, at);
  constexpr int kFours = kCount / 4 * 4, kTwos = kCount / 2 * 2;
  if constexpr (kFours > 0) read_four(table, at, columns);
  if constexpr (kTwos > kFours) read_two(table + kFours, at, columns + kFours);
  if constexpr (kCount > kTwos) gather(table + kTwos, first, columns[kTwos]);
}

}  // namespace smalti::SMALTI_LEVEL
