// A piece of a monotone rational-quadratic curve (Durkan et al. 2019, equations 4 to 8) between two
// knots, for eight points at a time. Everything is a sum of terms that are not negative: nothing
// cancels, and no root is taken of less than 0.
#pragma once

#include "core/elementary.h"

namespace smalti::SMALTI_LEVEL {

// e^x for x <= 0, at least 2^-126, within 2e-7 of 1: half the work of exponential().
SMALTI_INLINE void decay(const Floats &x, Floats &to) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: what is added to it loses its fraction
  Floats t = x * 1.44269504f, least;
  broadcast(-126.0f, least);
  select(t < -126.0f, least, t, t);  // NaN stays
  const Floats rounded = t + kRounder, f = t - (rounded - kRounder);
  Floats p = 1.32647273e-3f * f + 9.67151279e-3f;
  p = p * f + 5.55073374e-2f;
  p = p * f + 2.40222421e-1f;
  p = p * f + 6.93146978e-1f;
  p = p * f + 1.0f;
  const Words power = (reinterpret_cast<Words>(rounded) << 23) + (127u << 23);
  to = p * reinterpret_cast<Floats>(power);
}

// ln(1 + e^x). ln(1 + e) = 2 artanh(e / (2 + e)), whose series is exact for small e, too.
SMALTI_INLINE void softplus(const Floats &x, Floats &to) {
  const Ints positive = x > 0.0f;
  Floats e;
  select(positive, -x, x, e);
  decay(e, e);
  const Floats s = e / (2.0f + e), z = s * s;
  Floats p = 1.0f / 15 * z + 1.0f / 13;
  p = p * z + 1.0f / 11;
  p = p * z + 1.0f / 9;
  p = p * z + 1.0f / 7;
  p = p * z + 1.0f / 5;
  p = p * z + 1.0f / 3;
  select(positive, x, Floats{}, to);
  to += 2.0f * (s + s * z * p);
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
    logarithm(ratio * above * ratio, to);
  }
};

}  // namespace smalti::SMALTI_LEVEL
