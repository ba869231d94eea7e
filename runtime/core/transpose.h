// Eight rows of floats as columns, so that a lane is a row.
#pragma once

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

// x[i][j] and x[j][i] change places.
SMALTI_INLINE void transpose(Floats *x) {
  Floats pairs[8], quads[8];
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    const Floats &a = x[2 * i], &b = x[2 * i + 1];
    pairs[2 * i] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[2 * i + 1] = __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
  });
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    const int low = i / 2 * 4 + i % 2;  // of four rows: registers 0 and 2, then 1 and 3
    const Floats &a = pairs[low], &b = pairs[low + 2];
    quads[2 * i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
    quads[2 * i + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  });
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    const Floats &a = quads[i], &b = quads[i + 4];
    x[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    x[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  });
}

// Eight rows of `columns` values, at least one, lane by lane: to[j] has value j of each row. Rows
// from `count` on repeat the one before.
inline void load_columns(const float *from, int64_t count, int64_t columns, Floats *to) {
  const auto row = [&](int64_t i) { return from + (i < count ? i : count - 1) * columns; };
  int64_t j = 0;
  do {
    if (columns < kLanes) {
      for (int i = 0; i < kLanes; ++i) to[j][i] = row(i)[j];
      ++j;
    } else {
      const int64_t first = j < columns - kLanes ? j : columns - kLanes;  // the last ones overlap
      Floats tile[kLanes];
      unrolled<kLanes>([&](int i) SMALTI_INLINE_LAMBDA { load(row(i) + first, tile[i]); });
      transpose(tile);
      unrolled<kLanes>([&](int i) SMALTI_INLINE_LAMBDA { to[first + i] = tile[i]; });
      j += kLanes;
    }
  } while (j < columns);
}

}  // namespace smalti::SMALTI_LEVEL
