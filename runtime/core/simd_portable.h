// The SIMD primitives in plain C++: the oracle of every other level.
//
// Vocabulary, the same in all simd_*.h:
//   Bytes       64 codes, or int8 weights of 16 rows x 4 columns (a quad); some tables give weights
//               in a type of the level's own, which converts to Bytes
//   Octet       int8 weights of 16 rows x 8 columns, ready to meet blocks
//   BlockOctet  int8 activations: 8 columns of kLanes rows, a block
//   Sums        one int32 sum a row of weights
//   RowSums     the same for one row of activations, maybe in parts: converts to Sums
// What sums get too much, as where weights are offset to be unsigned, is known beforehand. They
// start from minus that: a part of the weights' (a Sums) and one of the activations' (an int32 a
// row).
#pragma once

#include "core/half.h"
#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kBlockRows = 4;  // activation rows that share one pass over decoded weights
constexpr int kOctets = 1;     // decoded at once; 2 where one does not fill the chains of sums
// Columns of a quad of grids of four: the weights of a code (1), or one coordinate of four codes
// (4).
constexpr int kFoursApart = 1;

struct Bytes {
  uint8_t at[64];
};
struct Octet {
  Bytes quad[2];
};
struct BlockOctet {
  int8_t at[2][kLanes][4];
};
struct Sums {
  int32_t at[16];
};
using RowSums = Sums;

inline Bytes load_bytes(const uint8_t *from) {
  Bytes v;
  memcpy(v.at, from, 64);
  return v;
}

// Codes of 4 bits, two in a byte: the lower ones (kShift = 0), or the upper ones (4).
template <int kShift>
inline Bytes nibbles(const Bytes &v) {
  Bytes out;
  for (int i = 0; i < 64; ++i) out.at[i] = v.at[i] >> kShift & 15;
  return out;
}

// The fourth code of each byte triple: the top two bits of the three planes from `codes` on.
inline Bytes top_bits(const uint8_t *codes) {
  Bytes out;
  for (int i = 0; i < 64; ++i)
    out.at[i] = codes[i] >> 6 | (codes[64 + i] >> 6) << 2 | (codes[128 + i] >> 6) << 4;
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

// A quad of a grid of 256 x 4: entries of the codes in slot `kSlot`, or coordinate `kSlot` of all.
struct Table4 {
  const int8_t *grid;
  explicit Table4(const int8_t *grid) : grid(grid) {}
  template <int kSlot>
  Bytes quad(const uint8_t *codes) const {
    Bytes out;
    for (int row = 0; row < 16; ++row)
      memcpy(out.at + 4 * row, grid + 4 * codes[4 * row + kSlot], 4);
    return out;
  }
};

// --- one row of activations, straight from the codes

inline RowSums start_sums(int32_t) { return RowSums{}; }  // takes the sum of the activations

// sums += two quads of weights times an octet of the activations at x.
inline void multiply_one(const Bytes &first, const Bytes &second, const int8_t *x, int octet,
                         RowSums &sums) {
  x += 8 * octet;
  for (int i = 0; i < 64; ++i) {
    sums.at[i / 4] += static_cast<int8_t>(first.at[i]) * x[i % 4];
    sums.at[i / 4] += static_cast<int8_t>(second.at[i]) * x[4 + i % 4];
  }
}

// --- many rows of activations, a block of kLanes at a time

// start: what sums start from because of these weights is added to it.
inline Octet to_octet(const Bytes &first, const Bytes &second, Sums &) { return {{first, second}}; }

// Eight columns of integers, lanes = rows, of which the low 16 bits count. start: as above.
inline void pack_octet(const Words *columns, BlockOctet *to, Ints &) {
  for (int i = 0; i < 2; ++i) {
    const Words *c = columns + 4 * i;
    const Words bytes = (c[0] & 255) | (c[1] & 255) << 8 | (c[2] & 255) << 16 | c[3] << 24;
    memcpy(to->at[i], &bytes, sizeof bytes);
  }
}

// weights, rows: the starts of a tile and of kRows rows of activations.
template <int kRows>
inline void start_sums(const Sums &, const int32_t *, Sums *sums) {
  for (int r = 0; r < kRows; ++r) sums[r] = Sums{};
}

// sums[r] += w times row `row` + r of a block; kRows is kBlockRows or, at the end of a block that
// is not full, a half, a quarter ... of it.
template <int kRows>
inline void multiply_add(const Octet &w, const BlockOctet &x, int row, Sums *sums) {
  for (int r = 0; r < kRows; ++r) {
    for (int i = 0; i < 64; ++i) {
      sums[r].at[i / 4] += static_cast<int8_t>(w.quad[0].at[i]) * x.at[0][row + r][i % 4];
      sums[r].at[i / 4] += static_cast<int8_t>(w.quad[1].at[i]) * x.at[1][row + r][i % 4];
    }
  }
}

// --- sums to floats

// out[i] += sum of weight row i * scales[i] * scale, in this order of operations, for activation
// row r of the kRows that were summed up together.
template <int kRows>
inline void add_scaled(const Sums *sums, int r, const float *scales, float scale, float *out) {
  for (int i = 0; i < 16; ++i) out[i] += static_cast<float>(sums[r].at[i]) * scales[i] * scale;
}

// The int8 weights of a quad as floats, (4, 16): columns, which lie `apart` columns apart.
inline void quad_to_floats(const Bytes &w, int apart, float *out) {
  for (int i = 0; i < 64; ++i) out[i % 4 * apart * 16 + i / 4] = static_cast<int8_t>(w.at[i]);
}

inline void halves_to_floats(const uint16_t *from, float *out) {
  for (int i = 0; i < 16; ++i) out[i] = half_to_float(from[i]);
}

}  // namespace smalti::SMALTI_LEVEL
