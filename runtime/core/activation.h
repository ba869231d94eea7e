// Rotated activations as the kernels want them: int8 values with one scale a span, or floats.
#pragma once

#include "core/packed.h"
#include "core/simd.h"

namespace smalti::SMALTI_LEVEL {

constexpr float kMagic = 0x1.8p23f;  // added, it leaves no fraction: rounds, ties to even

// Columns go octet by octet, in the order of their quads, whose columns lie kApart apart: as they
// are (1), or as coordinates of grids, even before odd for pairs (2).
template <int kApart>
constexpr int64_t in_order(int64_t i) {
  constexpr int kPeriod = 4 * kApart;
  return i / kPeriod * kPeriod + i % 4 * kApart + i % kPeriod / 4;
}

template <int kApart>
struct Order {
  static constexpr int apart = kApart;
};

// Calls body with the order of columns for grids of p weights a code.
template <class Body>
inline void with_order(int p, Body &&body) {
  if (p == 2) return body(Order<2>());
  if (p == 4) return body(Order<kFoursApart>());
  body(Order<1>());
}

// --- one row

struct SpanScale {
  float scale;  // of one int8 step; NaN if an activation of the span was not finite
  int32_t sum;  // of the int8 values
};

// As the order of magnitudes is the order of their bits, NaN comes out above everything.
inline float largest_magnitude(const float *x, int64_t count) {
  int32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    int32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7FFFFFFF;
    largest = bits > largest ? bits : largest;
  }
  float magnitude;
  memcpy(&magnitude, &largest, sizeof magnitude);
  return magnitude;
}

template <int kApart>
inline void load_octet(const float *x, Floats &to) {
  if constexpr (kApart > 2) {
    for (int k = 0; k < kLanes; ++k) to[k] = x[in_order<kApart>(k)];
    return;
  }
  load(x, to);
  if constexpr (kApart == 2) to = __builtin_shufflevector(to, to, 0, 2, 4, 6, 1, 3, 5, 7);
}

template <int kApart>
inline void quantize_octet(const float *from, float inverse, int8_t *to, Ints &sums) {
  Floats x;
  load_octet<kApart>(from, x);
  x = (x * inverse + kMagic) - kMagic;
  Ints rounded;
  to_ints(x, rounded);
  sums += rounded;
  store_bytes(rounded, to);
}

template <int kApart>
inline SpanScale quantize_span(const float *x, int count, float largest, int8_t *to) {
  const bool finite = largest <= __FLT_MAX__;
  const float inverse = 127.0f / largest;
  SpanScale out = {finite ? largest / 127.0f : __builtin_nanf(""), 0};
  Ints sums = {};
  for (int i = 0; i < count; i += kLanes) {
    if (finite && inverse <= __FLT_MAX__) {
      quantize_octet<kApart>(x + in_order<kApart>(i), inverse, to + i, sums);
    } else {  // nothing to tell apart: all zero, vanishing, or not finite
      memset(to + i, 0, kLanes * sizeof *to);
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) out.sum += sums[lane];
  return out;
}

// x (padded_columns), zero beyond the columns -> to, scales (spans).
inline void quantize_row(const float *x, const Weights &w, int8_t *to, SpanScale *scales) {
  const float whole_row = w.header.group == 0 ? largest_magnitude(x, w.padded_columns) : 0;
  for (int64_t s = 0; s < w.spans; ++s) {
    const int64_t start = s * w.span;
    const int count = w.span_columns(s);
    const float largest = w.header.group == 0 ? whole_row : largest_magnitude(x + start, count);
    with_order(w.header.p, [&](auto order) {
      scales[s] = quantize_span<order.apart>(x + start, count, largest, to + start);
    });
  }
}

// --- a block of kLanes rows, lanes = rows

struct BlockScale {  // of every row
  float scale[kLanes];
  int32_t start[kLanes];  // of its sums
};

inline void largest_magnitudes(const Floats *x, int64_t count, Floats &to) {
  Ints largest[2] = {};  // two chains
  for (int64_t i = 0; i < count; i += 2) {
    unrolled<2>([&](int k) SMALTI_INLINE_LAMBDA {
      const Ints bits = reinterpret_cast<const Ints &>(x[i + k]) & 0x7FFFFFFF;
      larger(bits, largest[k], largest[k]);
    });
  }
  larger(largest[0], largest[1], largest[0]);
  memcpy(&to, largest, sizeof to);
}

SMALTI_INLINE void is_finite(const Floats &magnitude, Ints &to) {
  Floats most;
  broadcast(__FLT_MAX__, most);
  by_halves(
      to, [](const auto &x, const auto &y) SMALTI_INLINE_LAMBDA { return x <= y; }, magnitude,
      most);
}

// x where `holds`, else 0
SMALTI_INLINE void keep(const Ints &holds, Floats &x) {
  const Ints kept = reinterpret_cast<const Ints &>(x) & holds;
  memcpy(&x, &kept, sizeof x);
}

template <int kApart>
inline void quantize_columns(const Floats *x, int count, const Floats &inverse, BlockOctet *to,
                             Ints &start) {
  for (int i = 0; i < count; i += 8) {
    const Floats *from = x + in_order<kApart>(i);
    Words columns[8];
    unrolled<8>([&](int k) SMALTI_INLINE_LAMBDA {
      const Floats rounded = from[in_order<kApart>(k)] * inverse + kMagic;
      memcpy(&columns[k], &rounded, sizeof rounded);
    });
    pack_octet(columns, to + i / 8, start);
  }
}

// As quantize_span, of eight rows; scales are in units of 1 / step. Sets the activations of rows
// with nothing to tell apart to zero.
inline void quantize_block(Floats *x, int count, int p, const Floats &largest, float step,
                           BlockOctet *to, BlockScale *out) {
  Ints finite, usable;
  is_finite(largest, finite);
  Floats inverse = 127.0f / largest, scale = largest / 127.0f;
  is_finite(inverse, usable);
  usable &= finite;
  keep(usable, inverse);
  for (int i = 0; i < count && any(~usable); ++i) keep(usable, x[i]);
  scale = reinterpret_cast<Floats>(reinterpret_cast<Ints>(scale) | ~finite);  // all ones: a NaN
  Ints start = {};
  with_order(p, [&](auto order) { quantize_columns<order.apart>(x, count, inverse, to, start); });
  store(scale * step, out->scale);
  store(start, out->start);
}

}  // namespace smalti::SMALTI_LEVEL
