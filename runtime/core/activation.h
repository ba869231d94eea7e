// Rotated activations as the kernels want them: int8 values with one scale a span, or floats.
#pragma once

#include "core/packed.h"
#include "core/simd.h"

namespace smalti::SMALTI_LEVEL {

struct SpanScale {
  float scale;  // of one int8 step; NaN if an activation of the span was not finite
  int32_t sum;  // of the int8 values
};

// Eight columns in the order of their quads: as they are, or even before odd for pairs.
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

// Rounds to the nearest integer, ties to even, by the addition that leaves no fraction bits.
inline void quantize_eight(const float *from, float inverse, int p, Activation *to, Ints &sums) {
  const float magic = 0x1.8p23f;
  Floats x;
  load(from, x);
  x = (x * inverse + magic) - magic;
  order_for(p, x);
  const Ints rounded = __builtin_convertvector(x, Ints);
  sums += rounded;
  typedef Activation Eight __attribute__((vector_size(kLanes * sizeof(Activation))));
  const Eight narrow = __builtin_convertvector(rounded, Eight);
  memcpy(to, &narrow, sizeof narrow);
}

inline SpanScale quantize_span(const float *x, int count, int p, float largest, Activation *to) {
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

// One row: x (padded_columns), zero beyond the columns -> to, scales (spans).
inline void quantize_row(const float *x, const Weights &w, Activation *to, SpanScale *scales) {
  const float whole_row = w.header.group == 0 ? largest_magnitude(x, w.padded_columns) : 0;
  for (int64_t s = 0; s < w.spans; ++s) {
    const int64_t start = s * w.span;
    const int count = w.span_columns(s);
    const float largest = w.header.group == 0 ? whole_row : largest_magnitude(x + start, count);
    scales[s] = quantize_span(x + start, count, w.header.p, largest, to + start);
  }
}

inline void order_row(const float *x, const Weights &w, float *to) {
  for (int64_t i = 0; i < w.padded_columns; i += kLanes) {
    Floats eight;
    load(x + i, eight);
    order_for(w.header.p, eight);
    store(eight, to + i);
  }
}

}  // namespace smalti::SMALTI_LEVEL
