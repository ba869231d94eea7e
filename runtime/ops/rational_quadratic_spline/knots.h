// Eight points at a time: their values, and the knots of their splines, a lane a point.
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

// The knots of eight points on one axis.
struct Knots {
  Floats at[kMaxBins + 1];

  // From parameters before the softmax.
  void fill(const float *raw, int64_t count, int64_t bins, float least, float bound) {
    Floats *e = at + 1, most, sum = {};
    load_columns(raw, count, bins, e);
    most = e[0];
    for (int64_t k = 1; k < bins; ++k) select(e[k] > most, e[k], most, most);
    for (int64_t k = 0; k < bins; ++k) {
      decay(e[k] - most, e[k]);
      sum += e[k];
    }
    const float share = 1.0f - least * static_cast<float>(bins);
    const Floats scale = 2.0f * bound * share / sum;
    Floats before = {};
    for (int64_t k = 1; k < bins; ++k) {
      before += at[k];
      at[k] = before * scale + (2.0f * bound * least * static_cast<float>(k) - bound);
    }
    broadcast(-bound, at[0]);
    broadcast(bound, at[bins]);
  }

  // How many of the knots between the bounds are not above x.
  SMALTI_INLINE void count(const Floats &x, int64_t bins, Ints &to) const {
    to = Ints{};
    for (int64_t k = 1; k < bins; ++k) to -= x >= at[k];
  }

  SMALTI_INLINE void pick(const Ints &lanes, const Ints &bin, Floats &first, Floats &size) const {
    const float *from = reinterpret_cast<const float *>(at);
    gather(from, bin * kLanes + lanes, first);
    gather(from, bin * kLanes + lanes + kLanes, size);
    size -= first;
  }
};

}  // namespace smalti::SMALTI_LEVEL
