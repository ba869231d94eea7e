// The SIMD primitives on AVX2. The vocabulary is in simd_portable.h.
//
// pshufb looks codes up. Products are in products_avx2.h, or with AVX-VNNI in products_vnni.h.
#pragma once

#include <immintrin.h>

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kFoursApart = 1;
#ifdef __AVXVNNI__
constexpr int kOctets = 2;
#else
constexpr int kOctets = 1;
#endif

inline __m256i flip_tops(__m256i v) {
  return _mm256_xor_si256(v, _mm256_set1_epi8(static_cast<char>(0x80)));
}

struct Bytes {
  __m256i half[2];  // rows 0-7, rows 8-15
};
struct Mirrored {  // weights of a quadrant-symmetric grid: the sign bit of `sign` counts
  __m256i magnitude[2], sign[2];
  operator Bytes() const {
    return {{_mm256_sign_epi8(magnitude[0], sign[0]), _mm256_sign_epi8(magnitude[1], sign[1])}};
  }
};
#ifdef __AVXVNNI__
struct Looked {  // weights + 128, unsigned, as vpdpbusd wants them
  __m256i half[2];
  operator Bytes() const { return {{flip_tops(half[0]), flip_tops(half[1])}}; }
};
#else
using Looked = Bytes;
#endif
struct Sums {
  __m256i half[2];
};

inline Bytes load_bytes(const uint8_t *from) {
  const __m256i *v = reinterpret_cast<const __m256i *>(from);
  return {{_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)}};
}

template <int kShift>
inline Bytes nibbles(const Bytes &v) {
  const __m256i mask = _mm256_set1_epi8(15);
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

inline Bytes top_bits(const uint8_t *codes) {
  const Bytes a = load_bytes(codes), b = load_bytes(codes + 64), c = load_bytes(codes + 128);
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
  Table(const int8_t *grid, int p) : entries(sixteen(grid, p, kCoordinate, 0)) {
#ifdef __AVXVNNI__
    entries = flip_tops(entries);
#endif
  }
  __m256i look_up(__m256i codes) const { return _mm256_shuffle_epi8(entries, codes); }
  Looked operator()(const Bytes &v) const { return {{look_up(v.half[0]), look_up(v.half[1])}}; }
};

// Codes of quadrant-symmetric grids: a magnitude's index under the sign bits of both coordinates.
template <int kSignBit>
inline __m256i sign_of(__m256i codes) {
  return _mm256_or_si256(to_top<kSignBit>(codes), _mm256_set1_epi8(1));  // psignb takes 0 for 0
}

template <int kCoordinate>
struct Table<6, kCoordinate> {
  __m256i entries;
  Table(const int8_t *grid, int p) : entries(sixteen(grid, p, kCoordinate, 0)) {}
  __m256i look_up(__m256i codes) const {
    return _mm256_shuffle_epi8(entries, _mm256_and_si256(codes, _mm256_set1_epi8(15)));
  }
  Mirrored operator()(const Bytes &v) const {
    return {{look_up(v.half[0]), look_up(v.half[1])},
            {sign_of<4 + kCoordinate>(v.half[0]), sign_of<4 + kCoordinate>(v.half[1])}};
  }
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
    return _mm256_blendv_epi8(lower, upper, bit5);
  }
  Mirrored operator()(const Bytes &v) const {
    return {{look_up(v.half[0]), look_up(v.half[1])},
            {sign_of<6 + kCoordinate>(v.half[0]), sign_of<6 + kCoordinate>(v.half[1])}};
  }
};

struct Table4 {
  const int8_t *entries;  // 256 entries of four bytes
  explicit Table4(const int8_t *grid) : entries(grid) {}

  // One by one: a gather instruction takes twice as long.
  template <int kSlot>
  Bytes quad(const uint8_t *codes) const {
    return {{eight_rows<kSlot>(codes), eight_rows<kSlot>(codes + 32)}};
  }

 private:
  template <int kSlot>
  SMALTI_INLINE __m256i eight_rows(const uint8_t *codes) const {
    const __m128i first = four_rows<kSlot>(codes), second = four_rows<kSlot>(codes + 16);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
  }

  template <int kSlot>
  SMALTI_INLINE __m128i four_rows(const uint8_t *codes) const {
    uint64_t two[2];  // rows' codes
    memcpy(two, codes, sizeof two);
    __m128i rows = _mm_cvtsi32_si128(entry(two[0] >> 8 * kSlot));
    rows = _mm_insert_epi32(rows, entry(two[0] >> (8 * kSlot + 32)), 1);
    rows = _mm_insert_epi32(rows, entry(two[1] >> 8 * kSlot), 2);
    return _mm_insert_epi32(rows, entry(two[1] >> (8 * kSlot + 32)), 3);
  }

  int entry(uint64_t code) const {
    int four;
    memcpy(&four, entries + 4 * (code & 255), sizeof four);
    return four;
  }
};

inline __m256i broadcast_four(const void *from) {
  int bits;
  memcpy(&bits, from, sizeof bits);
  return _mm256_set1_epi32(bits);
}

}  // namespace smalti::SMALTI_LEVEL

#ifdef __AVXVNNI__
#include "core/products_vnni.h"
#else
#include "core/products_avx2.h"
#endif

namespace smalti::SMALTI_LEVEL {

// --- sums to floats

template <int kRows>
SMALTI_INLINE void add_scaled(const Sums *sums, int r, const float *scales, float scale,
                              float *out) {
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    const __m256 rows = _mm256_cvtepi32_ps(sums[r].half[i]);
    const __m256 scaled =
        _mm256_mul_ps(_mm256_mul_ps(rows, _mm256_loadu_ps(scales + 8 * i)), _mm256_set1_ps(scale));
    _mm256_storeu_ps(out + 8 * i, _mm256_add_ps(_mm256_loadu_ps(out + 8 * i), scaled));
  });
}

inline void quad_to_floats(const Bytes &w, int apart, float *out) {
  alignas(32) int8_t weights[64];
  memcpy(weights, &w, sizeof weights);
  for (int i = 0; i < 64; ++i) out[i % 4 * apart * 16 + i / 4] = weights[i];
}

inline void halves_to_floats(const uint16_t *from, float *out) {
  for (int i = 0; i < 16; i += 8) {
    const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from + i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(eight));
  }
}

}  // namespace smalti::SMALTI_LEVEL
