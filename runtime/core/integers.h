// int8 activations times packed weights: sums of a span are exact integers, spans add up as floats
// in one fixed order.
#pragma once

#include "core/activation.h"
#include "core/decode.h"

namespace smalti::SMALTI_LEVEL {

// A few rows, each straight from the codes.
class IntegerRows {
 public:
  static constexpr int kUnit = 1;
  static int64_t unit_bytes(const Weights &w) {
    return w.padded_columns + w.spans * sizeof(SpanScale);
  }

  IntegerRows(const Weights &w, float step, void *memory, int64_t units)
      : w_(w),
        step_(step),
        scales_(static_cast<SpanScale *>(memory)),
        x_(reinterpret_cast<int8_t *>(scales_ + units * w.spans)) {}

  void prepare(int64_t row, const float *x) const {
    quantize_row(x, w_, x_ + row * w_.padded_columns, scales_ + row * w_.spans);
  }

  // out (units, 16) += a tile times the rows.
  template <class D>
  void meet(const D &decode, int64_t tile, const int *, int64_t units, float *out) const {
    for (int64_t row = 0; row < units; ++row) meet_row(decode, tile, row, out + row * kTileRows);
  }

 private:
  template <class D>
  SMALTI_INLINE void meet_row(const D &decode, int64_t tile, int64_t row, float *out) const {
    const int8_t *x = x_ + row * w_.padded_columns;
    const SpanScale *activations = scales_ + row * w_.spans;
    for (int64_t s = 0; s < w_.spans; ++s, x += w_.span, ++activations) {
      float scales[kTileRows];
      halves_to_floats(w_.span_scales(tile, s), scales);
      RowSums row_sums = start_sums(activations->sum);
      decode(w_.span_codes(tile, s), w_.span_columns(s),
             [&](int i, const auto &first, const auto &second)
                 SMALTI_INLINE_LAMBDA { multiply_one(first, second, x, i, row_sums); });
      const Sums sums = row_sums;
      add_scaled<1>(&sums, 0, scales, activations->scale * step_, out);
    }
  }

  const Weights &w_;
  float step_;
  SpanScale *scales_;  // (rows, spans)
  int8_t *x_;          // (rows, padded_columns)
};

// Blocks of rows: weights are decoded once for all of them.
class IntegerBlocks {
 public:
  static constexpr int kUnit = kLanes;
  static int64_t unit_bytes(const Weights &w) {
    return w.padded_columns / 8 * sizeof(BlockOctet) + w.spans * sizeof(BlockScale);
  }

  IntegerBlocks(const Weights &w, float step, void *memory, int64_t units)
      : w_(w),
        step_(step),
        blocks_(units),
        x_(static_cast<BlockOctet *>(memory)),
        scales_(reinterpret_cast<BlockScale *>(x_ + units * w.padded_columns / 8)) {}

  void prepare(int64_t block, Floats *x) const {
    Floats largest = {};
    if (w_.header.group == 0) largest_magnitudes(x, w_.padded_columns, largest);
    for (int64_t s = 0; s < w_.spans; ++s) {
      Floats *columns = x + s * w_.span;
      const int count = w_.span_columns(s);
      if (w_.header.group != 0) largest_magnitudes(columns, count, largest);
      quantize_block(columns, count, w_.header.p, largest, step_, span_of(s, block),
                     scales_ + s * blocks_ + block);
    }
  }

  // out (units, kUnit, 16) += a tile times the first rows[i] rows of each block i.
  template <class D>
  void meet(const D &decode, int64_t tile, const int *rows, int64_t units, float *out) const {
    if constexpr (kBlockRows == kLanes) {  // registers for decoding and a whole block
      if (units == 1 && rows[0] > kLanes / 2) return meet_codes<kLanes>(decode, tile, out);
      if (units == 1) return meet_codes<kLanes / 2>(decode, tile, out);
    }
    for (int64_t s = 0; s < w_.spans; ++s) meet_span(decode, tile, s, rows, units, out);
  }

 private:
  struct Span {  // of a tile, decoded
    alignas(64) Octet weights[kMaxSpan / 8];
    Sums start;
    float scales[kTileRows];
    int octets;
  };

  // The first kRows rows of a lone block, there or not, straight from the codes.
  template <int kRows, class D>
  SMALTI_INLINE void meet_codes(const D &decode, int64_t tile, float *out) const {
    for (int64_t s = 0; s < w_.spans; ++s) {
      const BlockOctet *x = span_of(s, 0);
      float scales[kTileRows];
      halves_to_floats(w_.span_scales(tile, s), scales);
      Sums none = {}, sums[kRows];
      start_sums<kRows>(none, scales_[s].start, sums);
      decode(w_.span_codes(tile, s), w_.span_columns(s),
             [&](int i, const auto &first, const auto &second) SMALTI_INLINE_LAMBDA {
               multiply_add<kRows>(to_octet(first, second, none), x[i], 0, sums);
             });
      add_span<kRows>(sums, scales, scales_[s].scale, out);
    }
  }

  template <int kRows>
  SMALTI_INLINE static void add_span(const Sums *sums, const float *scales, const float *scale,
                                     float *out) {
    unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA {
      add_scaled<kRows>(sums, r, scales, scale[r], out + r * kTileRows);
    });
  }

  template <class D>
  void meet_span(const D &decode, int64_t tile, int64_t s, const int *rows, int64_t units,
                 float *out) const {
    Span span;
    span.octets = w_.span_columns(s) / 8;
    halves_to_floats(w_.span_scales(tile, s), span.scales);
    Sums start = {};
    decode(w_.span_codes(tile, s), w_.span_columns(s),
           [&](int i, const auto &first, const auto &second)
               SMALTI_INLINE_LAMBDA { span.weights[i] = to_octet(first, second, start); });
    span.start = start;
    for (int64_t block = 0; block < units; ++block)
      meet_block(span, span_of(s, block), scales_[s * blocks_ + block], rows[block],
                 out + block * kUnit * kTileRows);
  }

  // Out of line: among other things, registers would run out.
  __attribute__((noinline)) static void meet_block(const Span &span, const BlockOctet *x,
                                                   const BlockScale &activations, int rows,
                                                   float *out) {
    int row = 0;
    for (; row + kBlockRows <= rows; row += kBlockRows)
      meet_rows<kBlockRows>(span, x, activations, row, out);
    if (row < rows) meet_rest<kBlockRows / 2>(span, x, activations, row, rows, out);
  }

  template <int kRows>
  __attribute__((noinline)) static void meet_rest(const Span &span, const BlockOctet *x,
                                                  const BlockScale &activations, int row, int rows,
                                                  float *out) {
    if (row + kRows <= rows) {
      meet_rows<kRows>(span, x, activations, row, out);
      row += kRows;
    }
    if constexpr (kRows > 1) meet_rest<kRows / 2>(span, x, activations, row, rows, out);
  }

  template <int kRows>
  SMALTI_INLINE static void meet_rows(const Span &span, const BlockOctet *x,
                                      const BlockScale &activations, int row, float *out) {
    Sums sums[kRows];
    start_sums<kRows>(span.start, activations.start + row, sums);
    for (int i = 0; i < span.octets; ++i) multiply_add<kRows>(span.weights[i], x[i], row, sums);
    add_span<kRows>(sums, span.scales, activations.scale + row, out + row * kTileRows);
  }

  // One after the other for all blocks, so that it streams.
  BlockOctet *span_of(int64_t s, int64_t block) const {
    return x_ + (s * w_.span * blocks_ + block * w_.span_columns(s)) / 8;
  }

  const Weights &w_;
  float step_;
  int64_t blocks_;
  BlockOctet *x_;       // (spans, blocks, octets)
  BlockScale *scales_;  // (spans, blocks)
};

}  // namespace smalti::SMALTI_LEVEL
