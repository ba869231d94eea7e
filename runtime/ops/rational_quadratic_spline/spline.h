// A piece of a monotone rational-quadratic curve (Durkan et al. 2019, equations 4 to 8) between two
// knots, for eight points at a time. Everything is a sum of terms that are not negative: nothing
// cancels, and no root is taken of less than 0.
#pragma once

#include "core/elementary.h"

namespace smalti::SMALTI_LEVEL {

// ln(1 + e^x): exact to a few units in the last place also where e^x is small.
SMALTI_INLINE void softplus(const Floats &x, Floats &to) {
  const Ints positive = x > 0.0f;
  Floats e, log;
  select(positive, -x, x, e);
  exponential(e, e);
  const Floats u = 1.0f + e;
  logarithm(u, log);
  log += (e - (u - 1.0f)) / u;  // what u has lost
  select(positive, x, Floats{}, to);
  to += log;
}

struct Piece {
  Floats slope, d0, d1;  // of the line between the knots, and the curve's own at both knots

  SMALTI_INLINE void below(const Floats &share, Floats &to) const {
    const Floats rest = 1.0f - share;
    to = slope * (share * share + rest * rest) + (d0 + d1) * (share * rest);
  }

  // Share of the height at a share of the width.
  SMALTI_INLINE void forward(const Floats &share, Floats &to) const {
    Floats divisor;
    below(share, divisor);
    to = (slope * share * share + d0 * (share * (1.0f - share))) / divisor;
  }

  // Share of the width at a share of the height.
  SMALTI_INLINE void inverse(const Floats &share, Floats &to) const {
    const Floats m = d0 - share * (d0 + d1);
    const Floats v = 4.0f * slope * slope * (share * (1.0f - share));
    Floats root, q;
    square_root(m * m + v, root);
    select(m < 0.0f, -m, m, q);
    root += q;
    select(m < 0.0f, v / root, root, q);
    const Floats above = 2.0f * slope * share;
    to = above / (above + q);
  }

  // Logarithm of the derivative at a share of the width.
  SMALTI_INLINE void log_slope(const Floats &share, Floats &to) const {
    const Floats rest = 1.0f - share;
    Floats divisor;
    below(share, divisor);
    const Floats above = d1 * (share * share) + 2.0f * slope * (share * rest) + d0 * (rest * rest);
    const Floats ratio = slope / divisor;
    logarithm(ratio * ratio * above, to);
  }
};

}  // namespace smalti::SMALTI_LEVEL
