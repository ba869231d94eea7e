// Float activations times packed weights: no rounding of activations, several times slower.
#pragma once

#include "core/activation.h"
#include "core/decode.h"

namespace smalti::SMALTI_LEVEL {

struct FloatSpan {                                  // of a tile, decoded
  alignas(64) float weights[kMaxSpan * kTileRows];  // (columns, 16)
  float scales[kTileRows];
  int columns;
};

// Columns add up in one order on every level: pairs even before odd, others as they are.
inline void order_block(const Floats *x, const Weights &w, Floats *to) {
  for (int64_t i = 0; i < w.padded_columns; ++i) to[i] = x[w.header.p == 2 ? in_order<2>(i) : i];
}

template <class D>
inline void decode_to_floats(const Weights &w, const D &decode, int64_t tile, int64_t s,
                             FloatSpan *to) {
  to->columns = w.span_columns(s);
  halves_to_floats(w.span_scales(tile, s), to->scales);
  const bool fours = w.header.p == 4;
  const int apart = fours ? kFoursApart : 1;
  decode(w.span_codes(tile, s), to->columns, [&](int i, const Bytes &first, const Bytes &second) {
    const int64_t column = fours ? in_order<kFoursApart>(8 * i) : 8 * i;
    quad_to_floats(first, apart, to->weights + column * kTileRows);
    quad_to_floats(second, apart, to->weights + (column + (apart > 1 ? 1 : 4)) * kTileRows);
  });
}

// out (kRows, 16) += the span times kRows rows of a block, x (columns, kLanes).
template <int kRows>
inline void meet_floats(const FloatSpan &span, const float *x, float step, float *out) {
  Floats low[kRows] = {}, high[kRows] = {};
  for (int k = 0; k < span.columns; ++k) {
    Floats w_low, w_high;
    load(span.weights + k * kTileRows, w_low);
    load(span.weights + k * kTileRows + kLanes, w_high);
    unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA {
      low[r] += w_low * x[k * kLanes + r];
      high[r] += w_high * x[k * kLanes + r];
    });
  }
  for (int r = 0; r < kRows; ++r) {
    float sums[kTileRows];
    store(low[r], sums);
    store(high[r], sums + kLanes);
    for (int i = 0; i < kTileRows; ++i) out[r * kTileRows + i] += sums[i] * span.scales[i] * step;
  }
}

class FloatBlocks {
 public:
  static constexpr int kUnit = kLanes;
  static int64_t unit_bytes(const Weights &w) { return w.padded_columns * sizeof(Floats); }

  FloatBlocks(const Weights &w, float step, void *memory, int64_t)
      : w_(w), step_(step), x_(static_cast<Floats *>(memory)) {}

  void prepare(int64_t block, const Floats *x) const {
    order_block(x, w_, x_ + block * w_.padded_columns);
  }

  // out (units, kUnit, 16) += a tile times the first rows[i] rows of each block i.
  template <class D>
  void meet(const D &decode, int64_t tile, const int *rows, int64_t units, float *out) const {
    FloatSpan span;
    for (int64_t s = 0; s < w_.spans; ++s) {
      decode_to_floats(w_, decode, tile, s, &span);
      for (int64_t block = 0; block < units; ++block) {
        const Floats *x = x_ + block * w_.padded_columns + s * w_.span;
        meet_block(span, reinterpret_cast<const float *>(x), rows[block],
                   out + block * kUnit * kTileRows);
      }
    }
  }

 private:
  void meet_block(const FloatSpan &span, const float *x, int rows, float *out) const {
    int row = 0;
    for (; row + 4 <= rows; row += 4) meet_floats<4>(span, x + row, step_, out + row * kTileRows);
    for (; row < rows; ++row) meet_floats<1>(span, x + row, step_, out + row * kTileRows);
  }

  const Weights &w_;
  float step_;
  Floats *x_;  // (blocks, padded_columns), lanes = rows
};

}  // namespace smalti::SMALTI_LEVEL
