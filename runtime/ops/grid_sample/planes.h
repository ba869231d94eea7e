// Sampling one channel after the other, eight points at once.
#pragma once

#include "ops/grid_sample/block.h"

namespace smalti::SMALTI_LEVEL {

// Both pixels of eight pairs that start at from[at[i]].
SMALTI_INLINE void gather_pairs(const float *from, const int32_t *at, Floats &left, Floats &right) {
  typedef double Pairs __attribute__((vector_size(32)));
  const auto pair = [&](int i) SMALTI_INLINE_LAMBDA {
    double both;  // a box of two floats
    memcpy(&both, from + at[i], sizeof both);
    return both;
  };
  const Pairs low = {pair(0), pair(1), pair(2), pair(3)};
  const Pairs high = {pair(4), pair(5), pair(6), pair(7)};
  split_pairs(reinterpret_cast<Floats>(low), reinterpret_cast<Floats>(high), left, right);
}

// What a plane gives at the points of a block.
template <int kTaps>
struct Planes {
  const Block<kTaps> &block;
  bool inside[kPoints / kLanes];  // of each eight points: whether no pixel of theirs is a zero

  explicit Planes(const Block<kTaps> &located) : block(located) {
    for (int64_t first = 0; first < block.count; first += kLanes) {
      Ints all = {}, offsets;
      for (int tap = 0; tap < kTaps; ++tap) {
        load(block.offsets[tap] + first, offsets);
        all |= offsets;
      }
      inside[first / kLanes] = !any(all < 0);
    }
  }

  SMALTI_INLINE void add(int tap, int64_t first, const Floats &pixels, Floats &sum) const {
    Floats weights;
    load(block.weights[tap] + first, weights);
    sum += weights * pixels;
  }

  SMALTI_INLINE void gathered(const float *plane, int64_t first, Floats &sum) const {
    unrolled<kTaps>([&](int tap) SMALTI_INLINE_LAMBDA {
      Ints offsets;
      Floats pixels;
      load(block.offsets[tap] + first, offsets);
      const Ints there = offsets >= 0;
      gather(plane, offsets & there, pixels);
      add(tap, first, reinterpret_cast<Floats>(reinterpret_cast<Ints>(pixels) & there), sum);
    });
  }

  // Two neighbours in a row at a time, of linear sampling inside the image.
  SMALTI_INLINE void paired(const float *plane, int64_t first, Floats &sum) const {
    unrolled<kTaps / 2>([&](int pair) SMALTI_INLINE_LAMBDA {
      Floats left, right;
      gather_pairs(plane, block.offsets[2 * pair] + first, left, right);
      add(2 * pair, first, left, sum);
      add(2 * pair + 1, first, right, sum);
    });
  }

  void sample(const float *plane, float *to) const {
    for (int64_t first = 0; first < block.count; first += kLanes) {
      Floats sum = {};
      if ((kTaps == 4 || kTaps == 8) && inside[first / kLanes]) {
        paired(plane, first, sum);
      } else {
        gathered(plane, first, sum);
      }
      if (first + kLanes <= block.count) {
        store(sum, to + first);
      } else {
        float last[kLanes];
        store(sum, last);
        memcpy(to + first, last, (block.count - first) * sizeof *to);
      }
    }
  }
};

}  // namespace smalti::SMALTI_LEVEL
