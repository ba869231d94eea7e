// Weighted sums of rows of numbers, such as the channels of neighbouring pixels.
#pragma once

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

// to[i] = the sum of weights[tap] * rows[tap][i], in the order of taps, for i in [0, count).
template <int kTaps>
SMALTI_INLINE void blend(const float *const *rows, const float *weights, int64_t count, float *to) {
  if (count < kLanes) {
    for (int64_t i = 0; i < count; ++i) {
      float sum = weights[0] * rows[0][i];
      for (int tap = 1; tap < kTaps; ++tap) sum += weights[tap] * rows[tap][i];
      to[i] = sum;
    }
    return;
  }
  Floats shares[kTaps];
  unrolled<kTaps>([&](int tap) SMALTI_INLINE_LAMBDA { broadcast(weights[tap], shares[tap]); });
  auto eight = [&](int64_t i) SMALTI_INLINE_LAMBDA {
    Floats sum, pixels;
    load(rows[0] + i, pixels);
    sum = shares[0] * pixels;
    unrolled<kTaps, 1>([&](int tap) SMALTI_INLINE_LAMBDA {
      load(rows[tap] + i, pixels);
      sum += shares[tap] * pixels;
    });
    store(sum, to + i);
  };
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes)
    unrolled<4>([&](int k) SMALTI_INLINE_LAMBDA { eight(i + k * kLanes); });
  for (; i + kLanes <= count; i += kLanes) eight(i);
  if (i < count) eight(count - kLanes);  // again some of what is there: the same numbers
}

}  // namespace smalti::SMALTI_LEVEL
