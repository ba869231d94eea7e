// Eight points at a time, a lane a point: their values, and the knots of their splines.
#pragma once

#include "core/transpose.h"
#include "ops/rational_quadratic_spline/spline.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kMaxBins = 64;

inline void read(const float *from, int64_t count, Floats &values) {
  if (count >= kLanes) {
    load(from, values);
  } else {
    memcpy(&values, from, count * sizeof *from);
  }
}

inline void write(const Floats &values, int64_t count, float *to) {
  if (count >= kLanes) {
    store(values, to);
  } else {
    memcpy(to, &values, count * sizeof *to);
  }
}

// The bins of eight points on one axis.
struct Bins {
  Floats shares[kMaxBins];  // before they are scaled
  Floats scale;
  int64_t count;
  float least, bound;

  // From parameters before the softmax; `rows` of them are there.
  void fill(const float *raw, int64_t rows) {
    Floats most, sum = {};
    load_columns(raw, rows, count, shares);
    most = shares[0];
    for (int64_t k = 1; k < count; ++k) select(shares[k] > most, shares[k], most, most);
    for (int64_t k = 0; k < count; ++k) {
      decay(shares[k] - most, shares[k]);
      sum += shares[k];
    }
    scale = 2.0f * bound * (1.0f - least * static_cast<float>(count)) / sum;
  }

  // Knot k, from 1 on. below: the sum of the shares below knot k - 1, then of those below knot k.
  SMALTI_INLINE void knot(int64_t k, Floats &below, Floats &to) const {
    below += shares[k - 1];
    to = below * scale + (2.0f * bound * least * static_cast<float>(k) - bound);
  }
};

// Walks along both axes until the bin of each point, on one of them, is found.
struct Walk {
  Floats left, right, low, high;  // ends of the bin
  Ints bin;

  template <bool kInverse>
  SMALTI_INLINE void run(const Floats &at, const Bins &across, const Bins &up) {
    Floats x, y, sum_x = {}, sum_y = {}, next_x, next_y;
    broadcast(-across.bound, left);
    low = left;
    across.knot(1, sum_x, x);
    up.knot(1, sum_y, y);
    right = x, high = y, bin = Ints{};
    for (int64_t k = 2; k <= across.count; ++k) {
      across.knot(k, sum_x, next_x);
      up.knot(k, sum_y, next_y);
      if (k == across.count) {
        broadcast(across.bound, next_x);
        next_y = next_x;
      }
      const Ints passed = at >= (kInverse ? y : x);
      bin -= passed;
      select(passed, x, left, left);
      select(passed, next_x, right, right);
      select(passed, y, low, low);
      select(passed, next_y, high, high);
      x = next_x, y = next_y;
    }
  }
};

// Eight points and what is known of their bins.
struct Found {
  Floats x, before, after;  // the last two: derivatives as given
  Walk at;

  // Derivatives, `inner` of each row; lanes from `count` on take those of the last row.
  SMALTI_INLINE void pick(const float *from, int32_t count, int32_t inner) {
    constexpr Ints kLane = {0, 1, 2, 3, 4, 5, 6, 7};
    const Ints beyond = kLane >= count, bin = at.bin;
    const Ints start = ((kLane & ~beyond) | ((count - 1) & beyond)) * inner;
    gather(from, start + bin + (bin > 0), before);
    gather(from, start + bin + (bin >= inner), after);
  }
};

}  // namespace smalti::SMALTI_LEVEL
