// Rotated activations as the kernels want them: int8 values with one scale a span, or floats.
#pragma once

#include "core/packed.h"
#include "core/simd.h"

namespace smalti::SMALTI_LEVEL {

constexpr float kMagic = 0x1.8p23f;  // added, it leaves no fraction: rounds, ties to even

// Columns go octet by octet, in the order of their quads: as they are, or even before odd for
// pairs.
template <bool kPairs>
constexpr int in_order(int i) {
  return kPairs ? 2 * i % 8 + i / 4 : i;
}

// --- one row

struct SpanScale {
  float scale;  // of one int8 step; NaN if an activation of the span was not finite
  int32_t sum;  // of the int8 values
};

inline void order_for(int p, Floats &x) {
  if (p == 2) x = __builtin_shufflevector(x, x, 0, 2, 4, 6, 1, 3, 5, 7);
}

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

inline void quantize_eight(const float *from, float inverse, int p, int8_t *to, Ints &sums) {
  Floats x;
  load(from, x);
  x = (x * inverse + kMagic) - kMagic;
  order_for(p, x);
  Ints rounded;
  to_ints(x, rounded);
  sums += rounded;
  store_bytes(rounded, to);
}

inline SpanScale quantize_span(const float *x, int count, int p, float largest, int8_t *to) {
  const bool finite = largest <= __FLT_MAX__;
  const float inverse = 127.0f / largest;
  SpanScale out = {finite ? largest / 127.0f : __builtin_nanf(""), 0};
  Ints sums = {};
  for (int i = 0; i < count; i += kLanes) {
    if (finite && inverse <= __FLT_MAX__) {
      quantize_eight(x + i, inverse, p, to + i, sums);
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
    scales[s] = quantize_span(x + start, count, w.header.p, largest, to + start);
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

template <bool kPairs>
inline void quantize_columns(const Floats *x, int count, const Floats &inverse, BlockOctet *to,
                             Ints &start) {
  for (int i = 0; i < count; i += 8) {
    Words columns[8];
    unrolled<8>([&](int k) SMALTI_INLINE_LAMBDA {
      const Floats rounded = x[i + in_order<kPairs>(k)] * inverse + kMagic;
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
  if (p == 2) {
    quantize_columns<true>(x, count, inverse, to, start);
  } else {
    quantize_columns<false>(x, count, inverse, to, start);
  }
  store(scale * step, out->scale);
  store(start, out->start);
}

inline void order_block(const Floats *x, const Weights &w, Floats *to) {
  for (int64_t i = 0; i < w.padded_columns; ++i) {
    const int64_t octet = i / 8 * 8, k = i % 8;
    to[i] = x[octet + (w.header.p == 2 ? in_order<true>(k) : k)];
  }
}

}  // namespace smalti::SMALTI_LEVEL
