// The SIMD primitives in plain C++: the oracle of every other level.
//
// Vocabulary, the same in all simd_*.h:
//   Bytes       64 bytes of a tile: (16 rows, 4)
//   Quad        int8 weights of 16 rows x 4 consecutive columns, ready to multiply
//   Activation  one quantized activation
//   Sums        one int32 sum a row
#pragma once

#include "core/half.h"
#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

using Activation = int8_t;
constexpr int kBlockRows = 4;  // activation rows that share one pass over decoded weights

struct Bytes {
  uint8_t at[64];
};
using Quad = Bytes;
struct Sums {
  int32_t at[16];
};

inline Bytes load_bytes(const uint8_t *from) {
  Bytes v;
  memcpy(v.at, from, 64);
  return v;
}

template <int kShift, int kMask>
inline Bytes shift_and_mask(const Bytes &v) {
  Bytes out;
  for (int i = 0; i < 64; ++i) out.at[i] = v.at[i] >> kShift & kMask;
  return out;
}

// The fourth code of each byte triple: the top two bits of the three planes.
inline Bytes top_bits(const Bytes &a, const Bytes &b, const Bytes &c) {
  Bytes out;
  for (int i = 0; i < 64; ++i) out.at[i] = a.at[i] >> 6 | (b.at[i] >> 6) << 2 | (c.at[i] >> 6) << 4;
  return out;
}

// Table of one coordinate of a grid: codes -> int8 weights. Codes may carry garbage above kBits.
template <int kBits, int kCoordinate>
struct Table {
  const int8_t *entry;
  int stride, mask;
  Table(const int8_t *grid, int p) : entry(grid + kCoordinate), stride(p), mask((1 << kBits) - 1) {}
  Bytes operator()(const Bytes &codes) const {
    Bytes out;
    for (int i = 0; i < 64; ++i)
      out.at[i] = static_cast<uint8_t>(entry[(codes.at[i] & mask) * stride]);
    return out;
  }
};

// Whole entries of a 256 x 4 grid: slot `kSlot` of each row's four codes.
struct Table4 {
  const int8_t *grid;
  explicit Table4(const int8_t *grid) : grid(grid) {}
  template <int kSlot>
  Bytes slot(const Bytes &codes) const {
    Bytes out;
    for (int row = 0; row < 16; ++row)
      memcpy(out.at + 4 * row, grid + 4 * codes.at[4 * row + kSlot], 4);
    return out;
  }
};

inline Quad to_quad(const Bytes &weights) { return weights; }
inline Sums start_sums(int32_t) { return Sums{}; }

// sums[r] += w times the four activations at x + r * stride, for kRows rows of activations.
template <int kRows>
inline void multiply_add(const Quad &w, const Activation *x, int64_t stride, Sums *sums) {
  for (int r = 0; r < kRows; ++r, x += stride) {
    for (int i = 0; i < 64; ++i) sums[r].at[i / 4] += static_cast<int8_t>(w.at[i]) * x[i % 4];
  }
}

// out[row] += sums[row] * scales[row] * scale, in this order of operations
inline void add_scaled(const Sums &sums, const float *scales, float scale, float *out) {
  for (int row = 0; row < 16; ++row)
    out[row] += static_cast<float>(sums.at[row]) * scales[row] * scale;
}

// The int8 weights of a quad as floats, (4, 16): column by column.
inline void quad_to_floats(const Quad &w, float *out) {
  for (int i = 0; i < 64; ++i) out[i % 4 * 16 + i / 4] = static_cast<int8_t>(w.at[i]);
}

inline void halves_to_floats(const uint16_t *from, float *out) {
  for (int i = 0; i < 16; ++i) out[i] = half_to_float(from[i]);
}

}  // namespace smalti::SMALTI_LEVEL
