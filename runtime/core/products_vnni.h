// Products with AVX-VNNI: vpdpbusd multiplies unsigned by signed bytes and adds four to each sum.
#pragma once

#include "core/dpbusd.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kBlockRows = 4;  // 8 sums, 4 registers of weights, 1 of activations

struct Octet {
  Looked quad[2];
};

// In place: left to itself, GCC 12 copies the sums of a loop around.
SMALTI_INLINE void add_products(const __m256i &w, const __m256i &x, __m256i &sum) {
#ifndef SMALTI_EMULATED
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(w), "x"(x));
#else
  sum = _mm256_dpbusd_avx_epi32(sum, w, x);
#endif
}

inline const Looked &to_offset(const Looked &w) { return w; }
inline Looked to_offset(const Bytes &w) { return {{flip_tops(w.half[0]), flip_tops(w.half[1])}}; }

// --- one row of activations, straight from the codes

// Chains: a product takes as long as ten take to start.
struct RowSums {
  __m256i v[2][2][2];  // (octet, quad, half)
  operator Sums() const {
    Sums sums;
    unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
      sums.half[i] = _mm256_add_epi32(_mm256_add_epi32(v[0][0][i], v[0][1][i]),
                                      _mm256_add_epi32(v[1][0][i], v[1][1][i]));
    });
    return sums;
  }
};

inline RowSums start_sums(int32_t activation_sum) {
  const __m256i start = _mm256_set1_epi32(-128 * activation_sum);
  return {{{{start, start}}}};
}

// Where decoding takes longer than the products, more chains would only take registers.
inline int chain(const Looked &, int octet) { return octet % 2; }
inline int chain(const Bytes &, int) { return 0; }

template <class Weights>
SMALTI_INLINE void multiply_one(const Weights &first, const Weights &second, const int8_t *x,
                                int octet, RowSums &sums) {
  const Octet w = {{to_offset(first), to_offset(second)}};
  unrolled<2>([&](int quad) SMALTI_INLINE_LAMBDA {
    const __m256i four = broadcast_four(x + 8 * octet + 4 * quad);
    unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
      add_products(w.quad[quad].half[i], four, sums.v[chain(first, octet)][quad][i]);
    });
  });
}

// --- many rows of activations, a block of kLanes at a time

template <class Weights>
SMALTI_INLINE Octet to_octet(const Weights &first, const Weights &second, Sums &) {
  return {{to_offset(first), to_offset(second)}};
}

template <int kRows>
SMALTI_INLINE void start_sums(const Sums &, const int32_t *rows, Sums *sums) {
  unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA {
    const __m256i row = broadcast_four(rows + r);
    sums[r] = {{row, row}};
  });
}

template <int kRows>
SMALTI_INLINE void multiply_add(const Octet &w, const BlockOctet &x, int row, Sums *sums) {
  unrolled<2>([&](int quad) SMALTI_INLINE_LAMBDA {
    unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA {
      const __m256i four = broadcast_four(x.at[quad][row + r]);
      unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
        add_products(w.quad[quad].half[i], four, sums[r].half[i]);
      });
    });
  });
}

}  // namespace smalti::SMALTI_LEVEL
