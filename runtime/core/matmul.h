// Rows of activations times packed weights: prepare the rows once, then, tile by tile, decode one
// span of weights and meet every row with it. Sums of a span are exact integers; spans add up as
// floats in one fixed order. Hence the same bits on every level and with any number of threads.
#pragma once

#include "core/activation.h"
#include "core/decode.h"
#include "core/ranges.h"

namespace smalti::SMALTI_LEVEL {

constexpr int64_t kMaxRows = 256;              // rows that share one decoding of the weights
constexpr int64_t kActivationBytes = 1 << 20;  // prepared at once: about an L2 cache
constexpr int64_t kPrepareCost = 8;            // of one activation, in multiplications

// int8 activations: scaled integer sums.
class Integers {
 public:
  static int64_t row_bytes(const Weights &w) {
    return w.padded_columns * sizeof(Activation) + w.spans * sizeof(SpanScale);
  }

  Integers(const Weights &w, float step, void *memory, int64_t rows)
      : w_(w),
        step_(step),
        scales_(static_cast<SpanScale *>(memory)),
        x_(reinterpret_cast<Activation *>(scales_ + rows * w.spans)) {}

  void prepare(int64_t row, const float *x) const {
    quantize_row(x, w_, x_ + row * w_.padded_columns, scales_ + row * w_.spans);
  }

  // out (rows, 16) += span s of a tile times all rows.
  template <class D>
  void meet(const D &decode, int64_t tile, int64_t s, int64_t rows, float *out) const {
    const int columns = w_.span_columns(s);
    const uint8_t *codes = w_.span_codes(tile, s);
    float scales[kTileRows];
    halves_to_floats(w_.span_scales(tile, s), scales);
    if (rows == 1) {  // straight from the codes
      meet_rows<1>(s, 0, scales, out, [&](auto &&use) {
        decode(codes, columns, [&](int i, const Bytes &bytes) { use(i, to_quad(bytes)); });
      });
      return;
    }
    alignas(64) Quad quads[kMaxSpan / 4];
    decode(codes, columns, [&](int i, const Bytes &bytes) { quads[i] = to_quad(bytes); });
    const auto each_quad = [&](auto &&use) {
      for (int i = 0; i < columns / 4; ++i) use(i, quads[i]);
    };
    int64_t row = 0;
    for (; row + kBlockRows <= rows; row += kBlockRows)
      meet_rows<kBlockRows>(s, row, scales, out, each_quad);
    for (; row < rows; ++row) meet_rows<1>(s, row, scales, out, each_quad);
  }

 private:
  template <int kCount, class EachQuad>
  void meet_rows(int64_t s, int64_t row, const float *scales, float *out,
                 const EachQuad &each) const {
    const int64_t stride = w_.padded_columns;
    const Activation *x = x_ + row * stride + s * w_.span;
    const SpanScale *activations = scales_ + row * w_.spans + s;
    Sums sums[kCount];
    unrolled<kCount>([&](int r) { sums[r] = start_sums(activations[r * w_.spans].sum); });
    each([&](int i, const Quad &quad)
             SMALTI_INLINE_LAMBDA { multiply_add<kCount>(quad, x + 4 * i, stride, sums); });
    unrolled<kCount>([&](int r) SMALTI_INLINE_LAMBDA {
      add_scaled(sums[r], scales, activations[r * w_.spans].scale * step_,
                 out + (row + r) * kTileRows);
    });
  }

  const Weights &w_;
  float step_;
  SpanScale *scales_;  // (rows, spans)
  Activation *x_;      // (rows, padded_columns)
};

// Float activations: no rounding of theirs, four to five times slower than integers on AVX2.
class FloatRows {
 public:
  static int64_t row_bytes(const Weights &w) { return w.padded_columns * sizeof(float); }

  FloatRows(const Weights &w, float step, void *memory, int64_t)
      : w_(w), step_(step), x_(static_cast<float *>(memory)) {}

  void prepare(int64_t row, const float *x) const {
    order_row(x, w_, x_ + row * w_.padded_columns);
  }

  template <class D>
  void meet(const D &decode, int64_t tile, int64_t s, int64_t rows, float *out) const {
    alignas(64) float weights[kMaxSpan * kTileRows];  // (columns, 16)
    const int columns = w_.span_columns(s);
    decode(w_.span_codes(tile, s), columns, [&](int i, const Bytes &bytes) {
      quad_to_floats(to_quad(bytes), weights + i * 4 * kTileRows);
    });
    float tile_scales[kTileRows];
    halves_to_floats(w_.span_scales(tile, s), tile_scales);
    for (int64_t row = 0; row < rows; ++row) {
      const float *x = x_ + row * w_.padded_columns + s * w_.span;
      Floats low = {}, high = {};
      for (int k = 0; k < columns; ++k) {
        Floats w_low, w_high;
        load(weights + k * kTileRows, w_low);
        load(weights + k * kTileRows + kLanes, w_high);
        low += w_low * x[k];
        high += w_high * x[k];
      }
      float sums[kTileRows];
      store(low, sums);
      store(high, sums + kLanes);
      for (int i = 0; i < kTileRows; ++i)
        out[row * kTileRows + i] += sums[i] * tile_scales[i] * step_;
    }
  }

 private:
  const Weights &w_;
  float step_;
  float *x_;  // (rows, padded_columns)
};

// A chunk of at most kMaxRows rows.
//   fill(row, count, buffer) -> const float *: count rotated rows, at most kLanes, each padded with
//     zeros to padded_columns; may use the buffer, which has room for them
//   write(first_row, rows, tile, out): takes out (rows, 16)
template <class Mode, class Fill, class Write>
inline Status multiply_chunk(const Weights &w, float step, int64_t first, int64_t rows,
                             const Parallel &parallel, const Fill &fill, const Write &write) {
  const int64_t bytes = rows * Mode::row_bytes(w);
  void *memory = scratch(Slot::kCall, bytes);
  if (memory == nullptr) return no_memory(bytes);
  const Mode mode(w, step, memory, rows);
  const int64_t buffer_bytes = kLanes * w.padded_columns * sizeof(float);
  bool exhausted = false;
  in_ranges(parallel, rows, kPrepareCost * w.padded_columns, [&](int64_t begin, int64_t end) {
    float *buffer = static_cast<float *>(scratch(Slot::kTask, buffer_bytes));
    if (buffer == nullptr) __atomic_store_n(&exhausted, true, __ATOMIC_RELAXED);
    for (int64_t row = begin; row < end && buffer != nullptr; row += kLanes) {
      const int64_t count = end - row < kLanes ? end - row : kLanes;
      const float *x = fill(first + row, count, buffer);
      for (int64_t i = 0; i < count; ++i) mode.prepare(row + i, x + i * w.padded_columns);
    }
  });
  if (exhausted) return no_memory(buffer_bytes);
  with_decoder(w, [&](const auto &decode) {
    in_ranges(parallel, w.tiles, rows * kTileRows * w.padded_columns,
              [&](int64_t begin, int64_t end) {
                for (int64_t tile = begin; tile < end; ++tile) {
                  alignas(64) float out[kMaxRows * kTileRows];
                  memset(out, 0, rows * kTileRows * sizeof *out);
                  for (int64_t s = 0; s < w.spans; ++s) mode.meet(decode, tile, s, rows, out);
                  write(first, rows, tile, out);
                }
              });
  });
  return Status();
}

template <class Mode, class Fill, class Write>
inline Status multiply_rows(const Weights &w, float step, int64_t rows, const Parallel &parallel,
                            const Fill &fill, const Write &write) {
  const int64_t fitting = kActivationBytes / Mode::row_bytes(w);
  const int64_t chunk = fitting < 8 ? 8 : fitting < kMaxRows ? fitting : kMaxRows;
  for (int64_t first = 0; first < rows; first += chunk) {
    const int64_t count = rows - first < chunk ? rows - first : chunk;
    SMALTI_TRY(multiply_chunk<Mode>(w, step, first, count, parallel, fill, write));
  }
  return Status();
}

template <class Fill, class Write>
inline Status multiply(const Weights &w, float step, bool int8_activations, int64_t rows,
                       const Parallel &parallel, const Fill &fill, const Write &write) {
  return int8_activations ? multiply_rows<Integers>(w, step, rows, parallel, fill, write)
                          : multiply_rows<FloatRows>(w, step, rows, parallel, fill, write);
}

}  // namespace smalti::SMALTI_LEVEL
