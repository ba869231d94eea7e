// Rows of a small table for eight points at once. Reading whole rows and transposing them takes
// less time than gathering every column.
#pragma once

#include "core/op.h"
#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

// As shufflevector of both halves alike.
template <int kA, int kB, int kC, int kD>
SMALTI_INLINE void shuffle(const Floats &x, const Floats &y, Floats &to) {
#ifdef __AVX2__
  to = __builtin_shufflevector(x, y, kA, kB, kC + 8, kD + 8, kA + 4, kB + 4, kC + 12, kD + 12);
#else
  HalfFloats a[2], b[2], c[2];
  memcpy(a, &x, sizeof x);
  memcpy(b, &y, sizeof y);
  for (int i = 0; i < 2; ++i) c[i] = __builtin_shufflevector(a[i], b[i], kA, kB, kC + 4, kD + 4);
  memcpy(&to, c, sizeof to);
#endif
}

// [low, high]; on AVX2 in registers, where two narrow stores before a wide load would wait.
SMALTI_INLINE void join(const HalfFloats &low, const HalfFloats &high, Floats &to) {
#ifdef __AVX2__
  to = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
#else
  memcpy(&to, &low, sizeof low);
  memcpy(reinterpret_cast<char *>(&to) + sizeof low, &high, sizeof high);
#endif
}

// Four columns: one row of four floats a lane.
SMALTI_INLINE void read_four(const float *from, const int32_t *at, Floats *columns) {
  Floats rows[4];  // of lanes i and i + 4
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    HalfFloats low, high;
    memcpy(&low, from + at[i], sizeof low);
    memcpy(&high, from + at[i + 4], sizeof high);
    join(low, high, rows[i]);
  });
  Floats a, b, c, d;  // the first two columns of lanes 0, 1 and 2, 3, then the last two
  shuffle<0, 1, 0, 1>(rows[0], rows[1], a);
  shuffle<0, 1, 0, 1>(rows[2], rows[3], b);
  shuffle<2, 3, 2, 3>(rows[0], rows[1], c);
  shuffle<2, 3, 2, 3>(rows[2], rows[3], d);
  shuffle<0, 2, 0, 2>(a, b, columns[0]);
  shuffle<1, 3, 1, 3>(a, b, columns[1]);
  shuffle<0, 2, 0, 2>(c, d, columns[2]);
  shuffle<1, 3, 1, 3>(c, d, columns[3]);
}

// Two columns.
SMALTI_INLINE void read_two(const float *from, const int32_t *at, Floats *columns) {
  Floats a, b;  // rows of lanes 0, 1, 4, 5 and of 2, 3, 6, 7
  double even[4], odd[4];
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    memcpy(&even[i], from + at[i + (i & 2)], sizeof(double));
    memcpy(&odd[i], from + at[i + (i & 2) + 2], sizeof(double));
  });
  memcpy(&a, even, sizeof a);
  memcpy(&b, odd, sizeof b);
  shuffle<0, 2, 0, 2>(a, b, columns[0]);
  shuffle<1, 3, 1, 3>(a, b, columns[1]);
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
