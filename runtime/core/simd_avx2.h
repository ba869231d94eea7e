// The SIMD primitives on AVX2: pshufb looks codes up, pmaddwd multiplies 16-bit pairs.
// The vocabulary is in simd_portable.h.
#pragma once

#include <immintrin.h>

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

// 16 bits, since pmaddubsw would saturate for full-range weights.
using Activation = int16_t;
constexpr int kBlockRows = 2;  // 8 sums, 2 activations, weight and product: 16 registers hold them

struct Bytes {
  __m256i half[2];  // rows 0-7, rows 8-15
};
struct Quad {
  __m256i four_rows[4];  // int16, rows 4i .. 4i + 3
};
struct Sums {
  __m256i four_rows[4];  // int32, two partial sums a row
};

inline Bytes load_bytes(const uint8_t *from) {
  const __m256i *v = reinterpret_cast<const __m256i *>(from);
  return {{_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)}};
}

template <int kShift, int kMask>
inline Bytes shift_and_mask(const Bytes &v) {
  const __m256i mask = _mm256_set1_epi8(static_cast<char>(kMask));
  return {{_mm256_and_si256(_mm256_srli_epi16(v.half[0], kShift), mask),
           _mm256_and_si256(_mm256_srli_epi16(v.half[1], kShift), mask)}};
}

inline __m256i top_bits(__m256i a, __m256i b, __m256i c) {
  const __m256i two = _mm256_set1_epi8(3);
  const __m256i low = _mm256_and_si256(_mm256_srli_epi16(a, 6), two);
  const __m256i middle = _mm256_and_si256(_mm256_srli_epi16(b, 4), _mm256_slli_epi16(two, 2));
  const __m256i high = _mm256_and_si256(_mm256_srli_epi16(c, 2), _mm256_slli_epi16(two, 4));
  return _mm256_or_si256(low, _mm256_or_si256(middle, high));
}

inline Bytes top_bits(const Bytes &a, const Bytes &b, const Bytes &c) {
  return {{top_bits(a.half[0], b.half[0], c.half[0]), top_bits(a.half[1], b.half[1], c.half[1])}};
}

// 16 grid entries of one coordinate, in both halves of a register.
inline __m256i sixteen(const int8_t *grid, int p, int coordinate, int first) {
  alignas(16) int8_t entries[16];
  for (int i = 0; i < 16; ++i) entries[i] = grid[(first + i) * p + coordinate];
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i *>(entries)));
}

// Moves bit kBit of every byte to its top; the bits below are garbage.
template <int kBit>
inline __m256i to_top(__m256i v) {
  return _mm256_slli_epi16(v, 7 - kBit);
}

template <int kBits, int kCoordinate>
struct Table;

template <int kCoordinate>
struct Table<4, kCoordinate> {
  __m256i entries;
  Table(const int8_t *grid, int p) : entries(sixteen(grid, p, kCoordinate, 0)) {}
  __m256i look_up(__m256i codes) const { return _mm256_shuffle_epi8(entries, codes); }
  Bytes operator()(const Bytes &v) const { return {{look_up(v.half[0]), look_up(v.half[1])}}; }
};

// Quadrant-symmetric grids: look the magnitude up, then apply the sign bit of the coordinate.
template <int kSignBit>
inline __m256i with_sign(__m256i magnitude, __m256i codes) {
  const __m256i sign = _mm256_or_si256(to_top<kSignBit>(codes), _mm256_set1_epi8(1));
  return _mm256_sign_epi8(magnitude, sign);
}

template <int kCoordinate>
struct Table<6, kCoordinate> {
  __m256i entries;
  Table(const int8_t *grid, int p) : entries(sixteen(grid, p, kCoordinate, 0)) {}
  __m256i look_up(__m256i codes) const {
    const __m256i low = _mm256_and_si256(codes, _mm256_set1_epi8(15));
    return with_sign<4 + kCoordinate>(_mm256_shuffle_epi8(entries, low), codes);
  }
  Bytes operator()(const Bytes &v) const { return {{look_up(v.half[0]), look_up(v.half[1])}}; }
};

template <int kCoordinate>
struct Table<8, kCoordinate> {
  __m256i quarter[4];
  Table(const int8_t *grid, int p) {
    for (int i = 0; i < 4; ++i) quarter[i] = sixteen(grid, p, kCoordinate, 16 * i);
  }
  __m256i look_up(__m256i codes) const {
    const __m256i low = _mm256_and_si256(codes, _mm256_set1_epi8(15));
    const __m256i bit4 = to_top<4>(codes), bit5 = to_top<5>(codes);
    const auto pick = [&](int i) { return _mm256_shuffle_epi8(quarter[i], low); };
    const __m256i lower = _mm256_blendv_epi8(pick(0), pick(1), bit4);
    const __m256i upper = _mm256_blendv_epi8(pick(2), pick(3), bit4);
    return with_sign<6 + kCoordinate>(_mm256_blendv_epi8(lower, upper, bit5), codes);
  }
  Bytes operator()(const Bytes &v) const { return {{look_up(v.half[0]), look_up(v.half[1])}}; }
};

struct Table4 {
  const int *entries;  // 256 entries of four bytes
  explicit Table4(const int8_t *grid) : entries(reinterpret_cast<const int *>(grid)) {}
  template <int kSlot>
  __m256i gather(__m256i codes) const {
    const __m256i index =
        _mm256_and_si256(_mm256_srli_epi32(codes, 8 * kSlot), _mm256_set1_epi32(255));
    return _mm256_i32gather_epi32(entries, index, 4);
  }
  template <int kSlot>
  Bytes slot(const Bytes &v) const {
    return {{gather<kSlot>(v.half[0]), gather<kSlot>(v.half[1])}};
  }
};

inline Quad to_quad(const Bytes &w) {
  Quad quad;
  for (int i = 0; i < 2; ++i) {
    quad.four_rows[2 * i] = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(w.half[i]));
    quad.four_rows[2 * i + 1] = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(w.half[i], 1));
  }
  return quad;
}

inline Sums start_sums(int32_t) {
  const __m256i zero = _mm256_setzero_si256();
  return {{zero, zero, zero, zero}};
}

template <int kRows>
SMALTI_INLINE void multiply_add(const Quad &w, const Activation *x, int64_t stride, Sums *sums) {
  __m256i four[kRows];
  unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA {
    long long bits;
    memcpy(&bits, x + r * stride, sizeof bits);
    four[r] = _mm256_set1_epi64x(bits);
  });
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    __m256i weights = w.four_rows[i];
    asm("" : "+x"(weights));  // else the compiler loads them once a row
    unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA {
      const __m256i products = _mm256_madd_epi16(weights, four[r]);
      __m256i sum = _mm256_add_epi32(sums[r].four_rows[i], products);
      asm("" : "+x"(sum));  // else the compiler computes all products first, and spills
      sums[r].four_rows[i] = sum;
    });
  });
}

SMALTI_INLINE void add_scaled(const Sums &sums, const float *scales, float scale, float *out) {
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    const __m256i pairs = _mm256_hadd_epi32(sums.four_rows[2 * i], sums.four_rows[2 * i + 1]);
    const __m256 rows = _mm256_cvtepi32_ps(_mm256_permute4x64_epi64(pairs, 0xD8));
    const __m256 scaled =
        _mm256_mul_ps(_mm256_mul_ps(rows, _mm256_loadu_ps(scales + 8 * i)), _mm256_set1_ps(scale));
    _mm256_storeu_ps(out + 8 * i, _mm256_add_ps(_mm256_loadu_ps(out + 8 * i), scaled));
  });
}

inline void quad_to_floats(const Quad &w, float *out) {
  alignas(32) int16_t weights[64];
  memcpy(weights, &w, sizeof weights);
  for (int i = 0; i < 64; ++i) out[i % 4 * 16 + i / 4] = weights[i];
}

inline void halves_to_floats(const uint16_t *from, float *out) {
  for (int i = 0; i < 16; i += 8) {
    const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from + i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(eight));
  }
}

}  // namespace smalti::SMALTI_LEVEL
