// Packed weights as they lie in the file, checked before a kernel touches them.
// The layout is drawn in docs/formats.md; runtime/packing.py writes it.
#pragma once

#include <string.h>

#include "core/op.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kTileRows = 16;        // rows that share a tile, one SIMD lane each
constexpr int kColumnMultiple = 32;  // columns are padded to this
constexpr int kHeaderBytes = 64;
constexpr int kMaxSpan = 256;  // columns that one integer sum covers
constexpr int64_t kMaxDimension = int64_t{1} << 31;

// The first bytes of every packed tensor, little endian, padded to kHeaderBytes.
struct Header {
  char magic[4];     // "SMLT"
  uint16_t version;  // 1
  uint8_t p;         // weights per code
  uint8_t bits;      // bits per code
  uint32_t rows;
  uint32_t columns;
  uint32_t group;  // columns per scale; 0: the whole row
  uint32_t block;  // rotation block, 1: not rotated
  uint64_t seed;   // of the rotation's signs
};

struct Weights {
  Header header;
  int64_t tiles, groups, spans, padded_columns, tile_bytes, span_bytes;
  int span;                // columns per integer sum: a group, if there are groups
  const uint8_t *codes;    // (tiles, tile_bytes)
  const uint16_t *scales;  // fp16 (tiles, groups, kTileRows)
  const int8_t *grid;      // (2^bits, p)

  int span_columns(int64_t s) const {
    const int64_t left = padded_columns - s * span;
    return static_cast<int>(left < span ? left : span);
  }
  const uint8_t *span_codes(int64_t tile, int64_t s) const {
    return codes + tile * tile_bytes + s * span_bytes;
  }
  const uint16_t *span_scales(int64_t tile, int64_t s) const {
    return scales + (tile * groups + (groups == 1 ? 0 : s)) * kTileRows;
  }
};

inline int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

inline int64_t elements(const Tensor &tensor) {
  int64_t count = 1;
  for (int i = 0; i < tensor.rank; ++i) count *= tensor.dims[i];
  return count;
}

inline bool known_format(const Header &h) {
  const int format = h.p * 10 + h.bits;
  const bool grid = format == 14 || format == 24 || format == 26 || format == 28 || format == 48;
  return grid && (h.group == 0 || h.group == 64 || h.group == 128 || h.group == 256);
}

// Products of two such numbers and of activations, which stay within 127 too, fit into 16 bits.
inline bool within_127(const int8_t *grid, int64_t count) {
  bool within = true;
  for (int64_t i = 0; i < count; ++i) within &= grid[i] != -128;
  return within;
}

// Grids of 64 and 256 pairs are symmetric: the top two bits of a code are the signs of its two
// coordinates, the others count the entries of the positive quadrant. Kernels rely on it.
inline bool quadrant_symmetric(const int8_t *grid, int bits) {
  const int entries = 1 << bits, quadrant = entries / 4;
  bool symmetric = true;
  for (int i = 0; i < entries; ++i) {
    const int8_t *entry = grid + 2 * i, *base = grid + 2 * (i % quadrant);
    symmetric &= base[0] >= 0 && base[1] >= 0;
    symmetric &= entry[0] == (i & quadrant ? -base[0] : base[0]);
    symmetric &= entry[1] == (i & 2 * quadrant ? -base[1] : base[1]);
  }
  return symmetric;
}

inline Status read_header(const Tensor &codes, Header *header) {
  if (elements(codes) < kHeaderBytes)
    return fail(SMALTI_CORRUPT, "codes: %lld bytes are too few for a header of %d",
                static_cast<long long>(elements(codes)), kHeaderBytes);
  memcpy(header, codes.data, sizeof *header);
  if (memcmp(header->magic, "SMLT", 4) != 0)
    return fail(SMALTI_CORRUPT, "codes: no packed weights (they start with SMLT)");
  if (header->version != 1)
    return fail(SMALTI_CORRUPT, "codes: layout version %d, this library reads 1; update smalti",
                header->version);
  if (!known_format(*header))
    return fail(SMALTI_CORRUPT, "codes: no kernel for %d weights in %d bits with scale group %u",
                header->p, header->bits, header->group);
  const bool sized = header->rows > 0 && header->rows < kMaxDimension && header->columns > 0 &&
                     header->columns < kMaxDimension;
  if (!sized)
    return fail(SMALTI_CORRUPT, "codes: %u rows of %u columns", header->rows, header->columns);
  return Status();
}

inline Status expect_count(const char *name, int64_t have, int64_t want) {
  if (have == want) return Status();
  return fail(SMALTI_CORRUPT, "%s: %lld values where the header of codes asks for %lld", name,
              static_cast<long long>(have), static_cast<long long>(want));
}

// Weights rotated another way than the node says would give wrong results without a word.
inline Status check_rotation(const Header &header, int64_t block, uint64_t seed) {
  if (block == header.block && seed == header.seed) return Status();
  return fail(SMALTI_CORRUPT, "block %lld and seed %llu, the header of codes says %u and %llu",
              static_cast<long long>(block), static_cast<unsigned long long>(seed), header.block,
              static_cast<unsigned long long>(header.seed));
}

inline Status open_weights(const Tensor &codes, const Tensor &scales, const Tensor &grid,
                           Weights *w) {
  SMALTI_TRY(read_header(codes, &w->header));
  const Header &h = w->header;
  w->tiles = round_up(h.rows, kTileRows) / kTileRows;
  w->padded_columns = round_up(h.columns, kColumnMultiple);
  w->groups = h.group == 0 ? 1 : round_up(h.columns, h.group) / h.group;
  w->span = h.group == 0 ? kMaxSpan : static_cast<int>(h.group);
  w->spans = (w->padded_columns + w->span - 1) / w->span;
  w->tile_bytes = w->padded_columns / h.p * h.bits * kTileRows / 8;
  w->span_bytes = w->span / h.p * h.bits * kTileRows / 8;
  w->codes = static_cast<const uint8_t *>(codes.data) + kHeaderBytes;
  w->scales = static_cast<const uint16_t *>(scales.data);
  w->grid = static_cast<const int8_t *>(grid.data);
  SMALTI_TRY(expect_count("codes", elements(codes), kHeaderBytes + w->tiles * w->tile_bytes));
  SMALTI_TRY(expect_count("scales", elements(scales), w->tiles * w->groups * kTileRows));
  SMALTI_TRY(expect_count("grid", elements(grid), int64_t{h.p} << h.bits));
  const bool symmetric = h.p == 2 && h.bits > 4;
  if (symmetric && !quadrant_symmetric(w->grid, h.bits))
    return fail(SMALTI_CORRUPT, "grid: not symmetric, as grids of %d pairs have to be",
                1 << h.bits);
  if (!symmetric && !within_127(w->grid, elements(grid)))
    return fail(SMALTI_CORRUPT, "grid: an entry is -128, they have to be within -127 .. 127");
  return Status();
}

}  // namespace smalti::SMALTI_LEVEL
