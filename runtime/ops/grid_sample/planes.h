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
  SMALTI_INLINE static void gathered(const float *plane, const Located<kTaps> &at, Floats &sum) {
    unrolled<kTaps>([&](int tap) SMALTI_INLINE_LAMBDA {
      Ints offsets;
      Floats pixels, weights;
      load(at.offsets[tap], offsets);
      load(at.weights[tap], weights);
      const Ints there = offsets >= 0;
      gather(plane, offsets & there, pixels);
      sum += weights * reinterpret_cast<Floats>(reinterpret_cast<Ints>(pixels) & there);
    });
  }

  // Two neighbours in a row at a time, of linear sampling inside the image.
  SMALTI_INLINE static void paired(const float *plane, const Located<kTaps> &at, Floats &sum) {
    unrolled<kTaps / 2>([&](int pair) SMALTI_INLINE_LAMBDA {
      Floats left, right, weights;
      gather_pairs(plane, at.offsets[2 * pair], left, right);
      load(at.weights[2 * pair], weights);
      sum += weights * left;
      load(at.weights[2 * pair + 1], weights);
      sum += weights * right;
    });
  }

  static void sample(const Block<kTaps> &block, const float *plane, float *to) {
    for (int64_t i = 0, left = block.count; left > 0; ++i, left -= kLanes, to += kLanes) {
      Floats sum = {};
      if ((kTaps == 4 || kTaps == 8) && block.eights[i].inside) {
        paired(plane, block.eights[i], sum);
      } else {
        gathered(plane, block.eights[i], sum);
      }
      memcpy(to, &sum, left < kLanes ? left * sizeof *to : sizeof sum);
    }
  }
};

}  // namespace smalti::SMALTI_LEVEL
