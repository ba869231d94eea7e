// The SIMD primitives on AVX-512 with VBMI and VNNI: vpermb looks 64 codes up, vpdpbusd multiplies.
// The vocabulary is in simd_portable.h.
#pragma once

#include <immintrin.h>

#include "core/dpbusd.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kBlockRows = 8;
constexpr int kOctets = 2;
constexpr int kFoursApart = 4;

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
struct Sums {
  __m512i v;
};

inline Bytes load_bytes(const uint8_t *from) {
  Bytes bytes = {_mm512_loadu_si512(from)};
#ifndef SMALTI_EMULATED
  asm("" : "+v"(bytes.v));  // in a register: GCC 12 would load again for every use
#endif
  return bytes;
}

// Without masks here and in top_bits(): vpermb reads six bits, and grids of 16 are repeated.
template <int kShift>
inline Bytes nibbles(const Bytes &codes) {
  return {_mm512_srli_epi16(codes.v, kShift)};
}

// Bits of a where the mask has them, else of b.
inline __m512i choose(const __m512i &mask, const __m512i &a, const __m512i &b) {
  return _mm512_ternarylogic_epi32(mask, a, b, 0xCA);
}

inline Bytes top_bits(const uint8_t *codes) {
  const Bytes a = load_bytes(codes), b = load_bytes(codes + 64), c = load_bytes(codes + 128);
  const __m512i two = _mm512_set1_epi8(3), four = _mm512_set1_epi8(15);
  const __m512i middle = choose(two, _mm512_srli_epi16(a.v, 6), _mm512_srli_epi16(b.v, 4));
  return {choose(four, middle, _mm512_srli_epi16(c.v, 2))};
}

// 64 grid entries of one coordinate + 128, repeated where the grid is smaller.
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

// A quad is one coordinate of 64 codes. vpermi2b looks up in 128 entries, twice, and the codes' top
// bits choose.
struct Table4 {
  __m512i entries[4][4];  // (coordinate, quarter)
  explicit Table4(const int8_t *grid) {
    for (int i = 0; i < 16; ++i)
      entries[i / 4][i % 4] = sixty_four(grid + i % 4 * 256, 4, i / 4, 64);
  }
  template <int kCoordinate>
  Offset quad(const uint8_t *at) const {
    const __m512i *table = entries[kCoordinate], codes = load_bytes(at).v;
    const __m512i low = _mm512_permutex2var_epi8(table[0], codes, table[1]);
    const __m512i high = _mm512_permutex2var_epi8(table[2], codes, table[3]);
    return {_mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high)};
  }
};

// sums += weights times the four activations at x. In place: left to itself, GCC 12 copies the sums
// of a loop around. SIMDe, which emulates this level, has types of its own.
SMALTI_INLINE void add_products(const Offset &w, const int8_t *x, __m512i &sums) {
#ifndef SMALTI_EMULATED
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sums)
      : "v"(w.v), "m"(*reinterpret_cast<const int8_t (*)[4]>(x)));
#else
  int32_t four;
  memcpy(&four, x, sizeof four);
  sums = _mm512_dpbusd_epi32(sums, w.v, _mm512_set1_epi32(four));
#endif
}

// --- one row of activations, straight from the codes

// Four chains, since a product takes as long as four or five take to start.
struct RowSums {
  __m512i v[2][2];
  operator Sums() const {
    return {
        _mm512_add_epi32(_mm512_add_epi32(v[0][0], v[0][1]), _mm512_add_epi32(v[1][0], v[1][1]))};
  }
};

// Takes back what the 128 added to every weight will contribute.
inline RowSums start_sums(int32_t activation_sum) {
  const __m512i zero = _mm512_setzero_si512();
  return {{{_mm512_set1_epi32(-128 * activation_sum), zero}, {zero, zero}}};
}

SMALTI_INLINE void multiply_one(const Offset &first, const Offset &second, const int8_t *x,
                                int octet, RowSums &sums) {
  __m512i(&pair)[2] = sums.v[octet % 2];
  add_products(first, x + 8 * octet, pair[0]);
  add_products(second, x + 8 * octet + 4, pair[1]);
}

// --- many rows of activations, a block of kLanes at a time

inline Octet to_octet(const Offset &first, const Offset &second, Sums &) {
  return {{first, second}};
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

inline void quad_to_floats(const Bytes &w, int apart, float *out) {
  alignas(64) int8_t weights[64];
  _mm512_store_si512(weights, w.v);
  for (int i = 0; i < 64; ++i) out[i % 4 * apart * 16 + i / 4] = weights[i];
}

inline void halves_to_floats(const uint16_t *from, float *out) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
  _mm512_storeu_ps(out, _mm512_cvtph_ps(halves));
}

}  // namespace smalti::SMALTI_LEVEL
