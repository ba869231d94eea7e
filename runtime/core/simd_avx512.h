// The SIMD primitives on AVX-512 with VBMI and VNNI: vpermb looks 64 codes up, vpdpbusd multiplies.
// The vocabulary is in simd_portable.h.
#pragma once

#include <immintrin.h>

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kBlockRows = 8;

inline __m512i flip_tops(const __m512i &v) {
  return _mm512_xor_si512(v, _mm512_set1_epi8(static_cast<char>(0x80)));
}

struct Bytes {
  __m512i v;
};
struct Offset {  // weights + 128, unsigned, as vpdpbusd wants them
  __m512i v;
  operator Bytes() const { return {flip_tops(v)}; }
};
struct Octet {
  Offset quad[2];
};
struct BlockOctet {
  int8_t at[2][kLanes][4];
};
struct Sums {
  __m512i v;
};

inline Bytes load_bytes(const uint8_t *from) { return {_mm512_loadu_si512(from)}; }

template <int kShift, int kMask>
inline Bytes shift_and_mask(const Bytes &codes) {
  const __m512i mask = _mm512_set1_epi8(static_cast<char>(kMask));
  return {_mm512_and_si512(_mm512_srli_epi16(codes.v, kShift), mask)};
}

inline Bytes top_bits(const uint8_t *codes) {
  const Bytes a = load_bytes(codes), b = load_bytes(codes + 64), c = load_bytes(codes + 128);
  const __m512i low = _mm512_and_si512(_mm512_srli_epi16(a.v, 6), _mm512_set1_epi8(3));
  const __m512i middle = _mm512_and_si512(_mm512_srli_epi16(b.v, 4), _mm512_set1_epi8(12));
  const __m512i high = _mm512_and_si512(_mm512_srli_epi16(c.v, 2), _mm512_set1_epi8(48));
  return {_mm512_or_si512(low, _mm512_or_si512(middle, high))};
}

// 64 grid entries of one coordinate + 128, repeated where the grid is smaller (vpermb reads six
// bits).
inline __m512i sixty_four(const int8_t *grid, int p, int coordinate, int entries) {
  alignas(64) int8_t table[64];
  for (int i = 0; i < 64; ++i) table[i] = grid[i % entries * p + coordinate];
  return flip_tops(_mm512_load_si512(table));
}

template <int kBits, int kCoordinate>
struct Table {  // 4 and 6 bits
  __m512i entries;
  Table(const int8_t *grid, int p) : entries(sixty_four(grid, p, kCoordinate, 1 << kBits)) {}
  Offset operator()(const Bytes &codes) const {
    return {_mm512_permutexvar_epi8(codes.v, entries)};
  }
};

template <int kCoordinate>
struct Table<8, kCoordinate> {  // quadrant-symmetric: magnitude, then the coordinate's sign bit
  __m512i entries, sign;
  Table(const int8_t *grid, int p)
      : entries(sixty_four(grid, p, kCoordinate, 64)),
        sign(_mm512_set1_epi8(static_cast<char>(64 << kCoordinate))) {}
  Offset operator()(const Bytes &codes) const {
    const __m512i positive = _mm512_permutexvar_epi8(codes.v, entries);
    const __mmask64 negative = _mm512_test_epi8_mask(codes.v, sign);
    return {_mm512_mask_sub_epi8(positive, negative, _mm512_setzero_si512(), positive)};
  }
};

struct Table4 {
  const int8_t *grid;  // 256 entries of four bytes
  explicit Table4(const int8_t *grid) : grid(grid) {}
  template <int kSlot>
  Bytes slot(const uint8_t *codes) const {
    const __m512i index =
        _mm512_and_si512(_mm512_srli_epi32(load_bytes(codes).v, 8 * kSlot), _mm512_set1_epi32(255));
    return {_mm512_i32gather_epi32(index, grid, 4)};
  }
};

inline const Offset &to_offset(const Offset &w) { return w; }
inline Offset to_offset(const Bytes &w) { return {flip_tops(w.v)}; }

// sums += weights times the four activations at x. In place: left to itself, GCC 12 copies the sums
// of a loop around. SIMDe, which emulates this level, has types of its own.
SMALTI_INLINE void add_products(const Offset &w, const int8_t *x, __m512i &sums) {
  int32_t four;
  memcpy(&four, x, sizeof four);
#ifdef __AVX512F__
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(w.v), "v"(_mm512_set1_epi32(four)));
#else
  sums = _mm512_dpbusd_epi32(sums, w.v, _mm512_set1_epi32(four));
#endif
}

// --- one row of activations, straight from the codes

// Two chains, since a product takes longer than two take to start.
struct RowSums {
  __m512i v[2];
  operator Sums() const { return {_mm512_add_epi32(v[0], v[1])}; }
};

// Takes back what the 128 added to every weight will contribute.
inline RowSums start_sums(int32_t activation_sum) {
  return {{_mm512_set1_epi32(-128 * activation_sum), _mm512_setzero_si512()}};
}

template <class Weights>
SMALTI_INLINE void multiply_one(const Weights &first, const Weights &second, const int8_t *x,
                                RowSums &sums) {
  add_products(to_offset(first), x, sums.v[0]);
  add_products(to_offset(second), x + 4, sums.v[1]);
}

// --- many rows of activations, a block of kLanes at a time

template <class Weights>
inline Octet to_octet(const Weights &first, const Weights &second, Sums &) {
  return {{to_offset(first), to_offset(second)}};
}

SMALTI_INLINE void pack_octet(const Words *columns, BlockOctet *to, Ints &start) {
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    const Words *c = columns + 4 * i;
    const Words bytes = (c[0] & 255) | (c[1] & 255) << 8 | (c[2] & 255) << 16 | c[3] << 24;
    memcpy(to->at[i], &bytes, sizeof bytes);
    const Words sum = (c[0] + c[1] + c[2] + c[3]) << 16;
    start -= reinterpret_cast<Ints>(sum) >> 16 << 7;
  });
}

template <int kRows>
SMALTI_INLINE void start_sums(const Sums &, const int32_t *rows, Sums *sums) {
  unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA { sums[r].v = _mm512_set1_epi32(rows[r]); });
}

template <int kRows>
SMALTI_INLINE void multiply_add(const Octet &w, const BlockOctet &x, int row, Sums *sums) {
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    unrolled<kRows>(
        [&](int r) SMALTI_INLINE_LAMBDA { add_products(w.quad[i], x.at[i][row + r], sums[r].v); });
  });
}

// --- sums to floats

template <int kRows>
inline void add_scaled(const Sums *sums, int r, const float *scales, float scale, float *out) {
  const __m512 rows = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r].v), _mm512_loadu_ps(scales));
  const __m512 scaled = _mm512_mul_ps(rows, _mm512_set1_ps(scale));
  _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), scaled));
}

inline void quad_to_floats(const Bytes &w, float *out) {
  alignas(64) int8_t weights[64];
  _mm512_store_si512(weights, w.v);
  for (int i = 0; i < 64; ++i) out[i % 4 * 16 + i / 4] = weights[i];
}

inline void halves_to_floats(const uint16_t *from, float *out) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
  _mm512_storeu_ps(out, _mm512_cvtph_ps(halves));
}

}  // namespace smalti::SMALTI_LEVEL
