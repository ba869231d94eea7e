// The SIMD primitives on AVX-512 with VBMI and VNNI: vpermb looks 64 codes up, vpdpbusd multiplies.
// The vocabulary is in simd_portable.h.
#pragma once

#include <immintrin.h>

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

using Activation = int8_t;
constexpr int kBlockRows = 8;

struct Bytes {
  __m512i v;
};
using Quad = Bytes;  // unsigned: weight + 128, as vpdpbusd wants them
struct Sums {
  __m512i v;
};

inline Bytes load_bytes(const uint8_t *from) { return {_mm512_loadu_si512(from)}; }

template <int kShift, int kMask>
inline Bytes shift_and_mask(const Bytes &codes) {
  const __m512i mask = _mm512_set1_epi8(static_cast<char>(kMask));
  return {_mm512_and_si512(_mm512_srli_epi16(codes.v, kShift), mask)};
}

inline Bytes top_bits(const Bytes &a, const Bytes &b, const Bytes &c) {
  const __m512i low = _mm512_and_si512(_mm512_srli_epi16(a.v, 6), _mm512_set1_epi8(3));
  const __m512i middle = _mm512_and_si512(_mm512_srli_epi16(b.v, 4), _mm512_set1_epi8(12));
  const __m512i high = _mm512_and_si512(_mm512_srli_epi16(c.v, 2), _mm512_set1_epi8(48));
  return {_mm512_or_si512(low, _mm512_or_si512(middle, high))};
}

// 64 grid entries of one coordinate, repeated where the grid is smaller (vpermb reads six bits).
inline __m512i sixty_four(const int8_t *grid, int p, int coordinate, int entries) {
  alignas(64) int8_t table[64];
  for (int i = 0; i < 64; ++i) table[i] = grid[i % entries * p + coordinate];
  return _mm512_load_si512(table);
}

template <int kBits, int kCoordinate>
struct Table {  // 4 and 6 bits
  __m512i entries;
  Table(const int8_t *grid, int p) : entries(sixty_four(grid, p, kCoordinate, 1 << kBits)) {}
  Bytes operator()(const Bytes &codes) const { return {_mm512_permutexvar_epi8(codes.v, entries)}; }
};

template <int kCoordinate>
struct Table<8, kCoordinate> {  // quadrant-symmetric: magnitude, then the coordinate's sign bit
  __m512i entries, sign;
  Table(const int8_t *grid, int p)
      : entries(sixty_four(grid, p, kCoordinate, 64)),
        sign(_mm512_set1_epi8(static_cast<char>(64 << kCoordinate))) {}
  Bytes operator()(const Bytes &codes) const {
    const __m512i magnitude = _mm512_permutexvar_epi8(codes.v, entries);
    const __mmask64 negative = _mm512_test_epi8_mask(codes.v, sign);
    return {_mm512_mask_sub_epi8(magnitude, negative, _mm512_setzero_si512(), magnitude)};
  }
};

struct Table4 {
  const int8_t *grid;  // 256 entries of four bytes
  explicit Table4(const int8_t *grid) : grid(grid) {}
  template <int kSlot>
  Bytes slot(const Bytes &codes) const {
    const __m512i index =
        _mm512_and_si512(_mm512_srli_epi32(codes.v, 8 * kSlot), _mm512_set1_epi32(255));
    return {_mm512_i32gather_epi32(index, grid, 4)};
  }
};

inline Quad to_quad(const Bytes &w) {
  return {_mm512_xor_si512(w.v, _mm512_set1_epi8(static_cast<char>(0x80)))};
}

// Takes back what the 128 added to every weight will contribute.
inline Sums start_sums(int32_t activation_sum) {
  return {_mm512_set1_epi32(-128 * activation_sum)};
}

template <int kRows>
SMALTI_INLINE void multiply_add(const Quad &w, const Activation *x, int64_t stride, Sums *sums) {
  unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA {
    int32_t four;
    memcpy(&four, x + r * stride, sizeof four);
    sums[r].v = _mm512_dpbusd_epi32(sums[r].v, w.v, _mm512_set1_epi32(four));
  });
}

inline void add_scaled(const Sums &sums, const float *scales, float scale, float *out) {
  const __m512 rows = _mm512_mul_ps(_mm512_cvtepi32_ps(sums.v), _mm512_loadu_ps(scales));
  const __m512 scaled = _mm512_mul_ps(rows, _mm512_set1_ps(scale));
  _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), scaled));
}

inline void quad_to_floats(const Quad &w, float *out) {
  alignas(64) uint8_t weights[64];
  _mm512_store_si512(weights, w.v);
  for (int i = 0; i < 64; ++i)
    out[i % 4 * 16 + i / 4] = static_cast<float>(static_cast<int>(weights[i]) - 128);
}

inline void halves_to_floats(const uint16_t *from, float *out) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
  _mm512_storeu_ps(out, _mm512_cvtph_ps(halves));
}

}  // namespace smalti::SMALTI_LEVEL
