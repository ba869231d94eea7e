// The SIMD primitives on AVX2. The vocabulary is in simd_portable.h.
//
// pshufb looks codes up. One row of activations: pmaddubsw of |x| and of weights with the signs of
// x (it wants one unsigned side; both within 127, two products never saturate). Blocks: Winograd's
// inner product (1968), w0 x0 + w1 x1 = (w0 + x1)(w1 + x0) - w0 w1 - x0 x1. It takes half of the
// multiplications, for which there are two ports, and makes additions of them, for which there are
// four; sums start from the last two terms.
#pragma once

#include <immintrin.h>

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kBlockRows = 4;  // 8 sums, 4 registers of weights, 2 of activations, 2 of products

struct Bytes {
  __m256i half[2];  // rows 0-7, rows 8-15
};
struct Mirrored {  // weights of a quadrant-symmetric grid: the sign bit of `sign` counts
  __m256i magnitude[2], sign[2];
  operator Bytes() const {
    return {{_mm256_sign_epi8(magnitude[0], sign[0]), _mm256_sign_epi8(magnitude[1], sign[1])}};
  }
};
struct Octet {                    // int16: columns 0 and 2, 1 and 3 of a quad's rows
  __m256i even[2][2], odd[2][2];  // (quad, half)
};
struct BlockOctet {
  int16_t odd[2][kLanes][2], even[2][kLanes][2];  // (quad, row, columns)
};
struct Sums {
  __m256i half[2];
};
using RowSums = Sums;

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
  Table(const int8_t *grid, int p) : entries(sixteen(grid, p, kCoordinate, 0)) {}
  __m256i look_up(__m256i codes) const { return _mm256_shuffle_epi8(entries, codes); }
  Bytes operator()(const Bytes &v) const { return {{look_up(v.half[0]), look_up(v.half[1])}}; }
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
  Bytes slot(const uint8_t *codes) const {
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

// In place: left to itself, GCC 12 copies the sums of a loop around.
SMALTI_INLINE void add_to(__m256i &sum, __m256i more) {
  asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(more));
}

inline __m256i broadcast_four(const void *from) {
  int bits;
  memcpy(&bits, from, sizeof bits);
  return _mm256_set1_epi32(bits);
}

// --- one row of activations, straight from the codes

inline RowSums start_sums(int32_t) { return {{_mm256_setzero_si256(), _mm256_setzero_si256()}}; }

// sum += products of unsigned and signed bytes, four by four
SMALTI_INLINE void add_products(__m256i unsigned_bytes, __m256i signed_bytes, __m256i &sum) {
  const __m256i pairs = _mm256_maddubs_epi16(unsigned_bytes, signed_bytes);
  add_to(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

SMALTI_INLINE void multiply_quad(const Bytes &w, const int8_t *x, RowSums &sums) {
  const __m256i four = broadcast_four(x), magnitudes = _mm256_abs_epi8(four);
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    add_products(magnitudes, _mm256_sign_epi8(w.half[i], four), sums.half[i]);
  });
}

SMALTI_INLINE void multiply_quad(const Mirrored &w, const int8_t *x, RowSums &sums) {
  const __m256i four = broadcast_four(x);
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    add_products(w.magnitude[i], _mm256_sign_epi8(four, w.sign[i]), sums.half[i]);
  });
}

template <class Weights>
SMALTI_INLINE void multiply_one(const Weights &first, const Weights &second, const int8_t *x,
                                RowSums &sums) {
  multiply_quad(first, x, sums);
  multiply_quad(second, x + 4, sums);
}

// --- many rows of activations, a block of kLanes at a time

SMALTI_INLINE Octet to_octet(const Bytes &first, const Bytes &second, Sums &start) {
  Octet w;
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    const Bytes &quad = i == 0 ? first : second;
    unrolled<2>([&](int j) SMALTI_INLINE_LAMBDA {
      w.even[i][j] = _mm256_maddubs_epi16(_mm256_set1_epi16(1), quad.half[j]);  // times 1 and 0
      w.odd[i][j] = _mm256_srai_epi16(quad.half[j], 8);
      start.half[j] = _mm256_sub_epi32(start.half[j], _mm256_madd_epi16(w.even[i][j], w.odd[i][j]));
    });
  });
  return w;
}

// The low 16 bits of both, side by side.
inline __m256i zip(const Words &low, const Words &high) {
  const __m256i shifted = _mm256_slli_epi32(reinterpret_cast<__m256i>(high), 16);
  return _mm256_blend_epi16(reinterpret_cast<__m256i>(low), shifted, 0xAA);
}

SMALTI_INLINE void pack_octet(const Words *columns, BlockOctet *to, Ints &start) {
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    const Words *c = columns + 4 * i;
    const __m256i odd = zip(c[1], c[3]), even = zip(c[0], c[2]);
    memcpy(to->odd[i], &odd, sizeof odd);
    memcpy(to->even[i], &even, sizeof even);
    start -= reinterpret_cast<Ints>(_mm256_madd_epi16(odd, even));
  });
}

template <int kRows>
SMALTI_INLINE void start_sums(const Sums &weights, const int32_t *rows, Sums *sums) {
  unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA {
    const __m256i row = broadcast_four(rows + r);
    sums[r] = {{_mm256_add_epi32(weights.half[0], row), _mm256_add_epi32(weights.half[1], row)}};
  });
}

template <int kRows>
SMALTI_INLINE void multiply_add(const Octet &w, const BlockOctet &x, int row, Sums *sums) {
  const char *rows = reinterpret_cast<const char *>(&x) + row * sizeof x.odd[0][0];
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA {
      const __m256i odd = broadcast_four(rows + (i * kLanes + r) * sizeof x.odd[0][0]);
      const __m256i even = broadcast_four(rows + ((2 + i) * kLanes + r) * sizeof x.odd[0][0]);
      unrolled<2>([&](int j) SMALTI_INLINE_LAMBDA {
        const __m256i left = _mm256_add_epi16(w.even[i][j], odd);
        const __m256i right = _mm256_add_epi16(w.odd[i][j], even);
        add_to(sums[r].half[j], _mm256_madd_epi16(left, right));
      });
    });
  });
}

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

inline void quad_to_floats(const Bytes &w, float *out) {
  alignas(32) int8_t weights[64];
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
