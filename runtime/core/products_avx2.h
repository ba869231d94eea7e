// Products on AVX2. One row of activations: pmaddubsw of |x| and of weights with the signs of x (it
// wants one unsigned side; both within 127, two products never saturate). Blocks: Winograd's inner
// product (1968), w0 x0 + w1 x1 = (w0 + x1)(w1 + x0) - w0 w1 - x0 x1. It takes half of the
// multiplications, for which there are two ports, and makes additions of them, for which there are
// four; sums start from the last two terms.
#pragma once

namespace smalti::SMALTI_LEVEL {

constexpr int kBlockRows = 4;  // 8 sums, 4 registers of weights, 2 of activations, 2 of products
using RowSums = Sums;

struct Octet {                    // int16: columns 0 and 2, 1 and 3 of a quad's rows
  __m256i even[2][2], odd[2][2];  // (quad, half)
};
struct BlockOctet {
  int16_t odd[2][kLanes][2], even[2][kLanes][2];  // (quad, row, columns)
};

// In place: left to itself, GCC 12 copies the sums of a loop around.
SMALTI_INLINE void add_to(__m256i &sum, __m256i more) {
  asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(more));
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
                                int octet, RowSums &sums) {
  multiply_quad(first, x + 8 * octet, sums);
  multiply_quad(second, x + 8 * octet + 4, sums);
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

}  // namespace smalti::SMALTI_LEVEL
