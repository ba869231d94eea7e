// What vpdpbusd wants: weights + 128, unsigned, and activations as signed bytes, four side by side.
// Sums start from what takes the 128 back.
#pragma once

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

struct BlockOctet {
  int8_t at[2][kLanes][4];  // (quad, row, columns)
};

SMALTI_INLINE void pack_octet(const Words *columns, BlockOctet *to, Ints &start) {
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    const Words *c = columns + 4 * i;
    const Words bytes = (c[0] & 255) | (c[1] & 255) << 8 | (c[2] & 255) << 16 | c[3] << 24;
    memcpy(to->at[i], &bytes, sizeof bytes);
    const Words sum = (c[0] + c[1] + c[2] + c[3]) << 16;
    start -= reinterpret_cast<Ints>(sum) >> 16 << 7;
  });
}

}  // namespace smalti::SMALTI_LEVEL
