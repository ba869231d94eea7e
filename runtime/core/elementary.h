// exp, log, sin, cos, asin of eight floats, within 2.3 units in the last place, without libm, whose
// bits vary. The same bits on every level. Polynomials were fitted by reweighted least squares; the
// reductions are Cody and Waite's (Software Manual for the Elementary Functions, 1980).
#pragma once

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

typedef double Doubles __attribute__((vector_size(64)));

constexpr float kInfinity = __builtin_inff();
constexpr float kNotANumber = __builtin_nanf("");

// Lane by lane where mask is set (-1) `yes`, elsewhere (0) `no`.
SMALTI_INLINE void select(const Ints &mask, const Floats &yes, const Floats &no, Floats &to) {
  to = reinterpret_cast<Floats>((reinterpret_cast<Ints>(yes) & mask) |
                                (reinterpret_cast<Ints>(no) & ~mask));
}

SMALTI_INLINE void square_root(const Floats &x, Floats &to) {
  for (int i = 0; i < kLanes; ++i) to[i] = __builtin_sqrtf(x[i]);
}

// x 2^n for n in [-252, 252], in two steps: 2^n itself may be no float.
SMALTI_INLINE void scale_by_power(const Ints &n, Floats &x) {
  const Ints half = n >> 1;
  x *= reinterpret_cast<Floats>((half + 127) << 23);
  x *= reinterpret_cast<Floats>((n - half + 127) << 23);
}

// e^x; results below 2^-149 are 0, above float's range infinite.
SMALTI_INLINE void exponential(const Floats &x, Floats &to) {
  Floats bounded, low, n;
  broadcast(89.0f, bounded);
  select(x < 89.0f, x, bounded, bounded);  // NaN too
  broadcast(-104.0f, low);
  select(bounded > -104.0f, bounded, low, bounded);
  Ints power;
  floor_of(bounded * 1.44269504f + 0.5f, power);
  to_floats(power, n);
  const Floats r = bounded - n * 0.693359375f + n * 2.12194440e-4f;  // of ln 2, in two parts
  Floats p = 1.99075780e-4f * r + 1.39336559e-3f;
  p = p * r + 8.33328601e-3f;
  p = p * r + 4.16664648e-2f;
  p = p * r + 1.66666668e-1f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  scale_by_power(power, p);
  select(x == x, p, x, to);
}

// ln x; of 0 minus infinity, of what is below NaN.
SMALTI_INLINE void logarithm(const Floats &x, Floats &to) {
  constexpr float kSmallest = 1.17549435e-38f;  // that is not denormal
  const Ints tiny = x < kSmallest;
  Floats normal, n, special;
  select(tiny, x * 8388608.0f, x, normal);
  // Mantissas from sqrt(1/2) to sqrt(2): 0x3f3504f3 is the former.
  const Ints bits = reinterpret_cast<Ints>(reinterpret_cast<Words>(normal) - 0x3f3504f3u);
  to_floats((bits >> 23) + (tiny & -23), n);
  const Floats m = reinterpret_cast<Floats>((bits & 0x7fffff) + 0x3f3504f3);
  const Floats f = m - 1.0f, s = f / (f + 2.0f), z = s * s;
  Floats p = 1.1649763e-1f * z + 1.4276225e-1f;
  p = p * z + 2.0000049e-1f;
  p = p * z + 3.3333333e-1f;
  // ln(1 + f) = f - f^2/2 + s (f^2/2 + 2 z p): what is large is exact
  const Floats h = 0.5f * f * f;
  const Floats y = n * 0.693359375f + (f - (h - (s * (h + 2.0f * z * p) - n * 2.12194440e-4f)));
  broadcast(kNotANumber, special);
  select(x > 0.0f, y, special, to);
  broadcast(-kInfinity, special);
  select(x == 0.0f, special, to, to);
  select((x == kInfinity) | (x != x), x, to, to);
}

// x = quarters pi / 2 + rest, |rest| <= pi / 4. In double, for |x| up to 2^30.
SMALTI_INLINE void quarter_turns(const Floats &x, Ints &quarters, Floats &rest) {
  Floats count;
  floor_of(x * 0.636619772f + 0.5f, quarters);
  to_floats(quarters, count);
  const Doubles turns = __builtin_convertvector(quarters, Doubles);
  const Doubles left = __builtin_convertvector(x, Doubles) - turns * 1.5707963267948966;
  rest = __builtin_convertvector(left, Floats);
}

SMALTI_INLINE void sine_from(const Ints &quarters, const Floats &r, Floats &to) {
  const Floats z = r * r;
  Floats s = 2.72508951e-6f * z - 1.98400971e-4f;
  s = s * z + 8.33333191e-3f;
  s = s * z - 1.66666667e-1f;
  s = s * z * r + r;
  Floats c = 2.45523755e-5f * z - 1.38883369e-3f;
  c = c * z + 4.16666652e-2f;
  c = c * (z * z) - 0.5f * z + 1.0f;
  select((quarters & 1) != 0, c, s, to);
  to = reinterpret_cast<Floats>(reinterpret_cast<Ints>(to) ^ ((quarters & 2) << 30));
}

// NaN where |x| > 2^30: too far to know the angle.
SMALTI_INLINE void known_angle(const Floats &x, Floats &inside, Ints &known) {
  constexpr float kFarthest = 1 << 30;
  known = (x <= kFarthest) & (x >= -kFarthest);
  select(known, x, Floats{}, inside);
}

SMALTI_INLINE void sine(const Floats &x, Floats &to) {
  Ints known, quarters;
  Floats inside, rest, nan;
  known_angle(x, inside, known);
  quarter_turns(inside, quarters, rest);
  sine_from(quarters, rest, to);
  broadcast(kNotANumber, nan);
  select(known, to, nan, to);
}

SMALTI_INLINE void cosine(const Floats &x, Floats &to) {
  Ints known, quarters;
  Floats inside, rest, nan;
  known_angle(x, inside, known);
  quarter_turns(inside, quarters, rest);
  sine_from(quarters + 1, rest, to);
  broadcast(kNotANumber, nan);
  select(known, to, nan, to);
}

// In [-pi/2, pi/2]; NaN beyond [-1, 1].
SMALTI_INLINE void arc_sine(const Floats &x, Floats &to) {
  const Ints sign = reinterpret_cast<Ints>(x) & static_cast<int32_t>(0x80000000);
  const Floats size = reinterpret_cast<Floats>(reinterpret_cast<Ints>(x) ^ sign);
  const Floats rest = 0.5f - 0.5f * size;
  Floats root, t, z;
  square_root(rest, root);
  const Ints steep = size > 0.5f;
  select(steep, root, size, t);
  select(steep, rest, size * size, z);
  Floats p = 3.392184e-2f * z + 1.700525e-2f;
  p = p * z + 3.113206e-2f;
  p = p * z + 4.459661e-2f;
  p = p * z + 7.500103e-2f;
  p = p * z + 1.6666666e-1f;
  p = p * z * t + t;
  // pi / 2 in two parts, so that the difference keeps its bits
  select(steep, 1.57079637f - (2.0f * p + 4.37113883e-8f), p, p);
  to = reinterpret_cast<Floats>(reinterpret_cast<Ints>(p) | sign);
}

}  // namespace smalti::SMALTI_LEVEL
