// B-splines on equal intervals, at eight points at a time (Schoenberg 1946: cardinal splines).
#pragma once

#include "core/elementary.h"

namespace smalti::SMALTI_LEVEL {

// `intervals` of them from `low` on, 1 / scale wide.
struct Intervals {
  float low, scale;
  int64_t count;
};

SMALTI_INLINE void not_below_zero(const Floats &x, Floats &to) {
  select(x < 0.0f, Floats{}, x, to);  // NaN stays
}

// The B-spline of kDegree with knots 1 apart, at a distance t >= 0 from its middle: a sum of
// truncated powers, of which at most two reach beyond the middle.
template <int kDegree>
SMALTI_INLINE void cardinal(const Floats &t, Floats &to) {
  Floats a, b;
  not_below_zero(0.5f * (kDegree + 1) - t, a);
  not_below_zero(0.5f * (kDegree - 1) - t, b);
  if constexpr (kDegree == 1) to = a;
  if constexpr (kDegree == 2) to = 0.5f * (a * a) - 1.5f * (b * b);
  if constexpr (kDegree == 3) to = a * a * a * (1.0f / 6.0f) - b * b * b * (2.0f / 3.0f);
}

// The interval of x, the nearest one for what lies beyond, the first one for NaN; and the
// kDegree + 1 splines that reach into this interval, at x: they fade to 0 beyond both ends.
template <int kDegree>
SMALTI_INLINE void locate(const Intervals &on, const Floats &x, Ints &interval, Floats *splines) {
  const Floats u = (x - on.low) * on.scale;
  Floats cell, last;
  select(u > 0.0f, u, Floats{}, cell);
  broadcast(static_cast<float>(on.count - 1), last);
  select(cell < last, cell, last, cell);
  floor_of(cell, interval);
  to_floats(interval, cell);
  const Floats inside = u - cell;
  if constexpr (kDegree == 0) {
    select((inside >= 0.0f) & (inside < 1.0f), Floats{} + 1.0f, Floats{}, splines[0]);
    select(x == x, splines[0], x, splines[0]);
  } else {
    unrolled<kDegree + 1>([&](int r) SMALTI_INLINE_LAMBDA {
      const Floats apart = inside + (0.5f * (kDegree - 1) - static_cast<float>(r));
      cardinal<kDegree>(reinterpret_cast<Floats>(reinterpret_cast<Ints>(apart) & 0x7fffffff),
                        splines[r]);
    });
  }
}

}  // namespace smalti::SMALTI_LEVEL
