// Eight by eight floats, rows to columns.
#pragma once

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

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

}  // namespace smalti::SMALTI_LEVEL
