// Products and sums on 64-bit ARM. By the compiler's flags rows of activations meet weights by
// smull; by sdot; or by sdot one row and by smmla two. The vocabulary is in simd_portable.h.
#pragma once

#include "core/simd_neon.h"

namespace smalti::SMALTI_LEVEL {

struct BlockOctet {
  int8_t at[kLanes][8];
};

// Narrows to 16 bits and to pairs of 8, then transposes by zips of pairs and fours.
inline void pack_octet(const Words *columns, BlockOctet *to, Ints &) {
  const auto pair = [&](int i) SMALTI_INLINE_LAMBDA {
    uint16x8_t wide[2][2];
    memcpy(wide, columns + i, sizeof wide);
    const uint16x8_t even = vuzp1q_u16(wide[0][0], wide[0][1]);
    return vsliq_n_u16(even, vuzp1q_u16(wide[1][0], wide[1][1]), 8);
  };
  const uint16x8x2_t low = vzipq_u16(pair(0), pair(2)), high = vzipq_u16(pair(4), pair(6));
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    const uint32x4x2_t four =
        vzipq_u32(vreinterpretq_u32_u16(low.val[i]), vreinterpretq_u32_u16(high.val[i]));
    memcpy(to->at[4 * i], &four, sizeof four);
  });
}

#ifdef __ARM_FEATURE_DOTPROD
constexpr int kBlockRows = 4;  // 16 sums, 8 weights and 2 activations of 32 registers
struct Sums {
  int32x4_t four_rows[4];
};
using RowSums = Sums;

// first, second: Bytes or ByFourRows
template <class First, class Second>
SMALTI_INLINE void multiply_one(const First &first, const Second &second, const int8_t *x,
                                int octet, RowSums &sums) {
  const int8x8_t eight = vld1_s8(x + 8 * octet);
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    int32x4_t &sum = sums.four_rows[i];
    sum = vdotq_lane_s32(sum, vreinterpretq_s8_u8(first(i)), eight, 0);
    sum = vdotq_lane_s32(sum, vreinterpretq_s8_u8(second(i)), eight, 1);
  });
}
#else
constexpr int kBlockRows = 2;
struct Sums {
  int32x4_t two_rows[8];  // two partial sums a row
};
using RowSums = Sums;

SMALTI_INLINE int8x16_t four_times(const int8_t *from) {
  int32_t four;
  memcpy(&four, from, sizeof four);
  int8x16_t times = vreinterpretq_s8_s32(vdupq_n_s32(four));
  asm("" : "+w"(times));  // else clang sees that its halves are equal, and moves the other factor's
  return times;
}

// Two products of 7-bit magnitudes fit 16 bits.
template <class First, class Second>
SMALTI_INLINE void multiply_one(const First &first, const Second &second, const int8_t *x,
                                int octet, RowSums &sums) {
  const int8x16_t a = four_times(x + 8 * octet), b = four_times(x + 8 * octet + 4);
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    const int8x16_t v = vreinterpretq_s8_u8(first(i)), w = vreinterpretq_s8_u8(second(i));
    const int16x8_t low = vmull_s8(vget_low_s8(v), vget_low_s8(a)), high = vmull_high_s8(v, a);
    int32x4_t *to = sums.two_rows + 2 * i;
    to[0] = vpadalq_s16(to[0], vmlal_s8(low, vget_low_s8(w), vget_low_s8(b)));
    to[1] = vpadalq_s16(to[1], vmlal_high_s8(high, w, b));
  });
}
#endif

inline RowSums start_sums(int32_t) { return {}; }

template <int kRows>
SMALTI_INLINE void start_sums(const Sums &, const int32_t *, Sums *sums) {
  unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA { sums[r] = {}; });
}

#ifdef __ARM_FEATURE_MATMUL_INT8
struct Octet {
  int8x16_t two_rows[8];  // eight columns of rows 2i and 2i + 1
};

SMALTI_INLINE Octet to_octet(const Bytes &first, const Bytes &second, Sums &) {
  Octet octet;
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    const uint32x4_t a = vreinterpretq_u32_u8(first(i)), b = vreinterpretq_u32_u8(second(i));
    octet.two_rows[2 * i] = vreinterpretq_s8_u32(vzip1q_u32(a, b));
    octet.two_rows[2 * i + 1] = vreinterpretq_s8_u32(vzip2q_u32(a, b));
  });
  return octet;
}

// One row takes the place of the first of two, then of the second: its sums come in order.
SMALTI_INLINE void multiply_add_one(const Octet &w, const int8_t *x, Sums &sums) {
  const int8x8_t eight = vld1_s8(x), zero = vdup_n_s8(0);
  const int8x16_t first = vcombine_s8(eight, zero), second = vcombine_s8(zero, eight);
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    const int32x4_t half = vmmlaq_s32(sums.four_rows[i], first, w.two_rows[2 * i]);
    sums.four_rows[i] = vmmlaq_s32(half, second, w.two_rows[2 * i + 1]);
  });
}

// Two rows of activations share their Sums: number i of the eight has those of rows 2i and 2i + 1
// of weights with the first, then with the second.
template <int kRows>
SMALTI_INLINE void multiply_add(const Octet &w, const BlockOctet &x, int row, Sums *sums) {
  if constexpr (kRows == 1) return multiply_add_one(w, x.at[row], *sums);
  unrolled<kRows / 2>([&](int pair) SMALTI_INLINE_LAMBDA {
    const int8x16_t two = vld1q_s8(x.at[row + 2 * pair]);
    unrolled<8>([&](int i) SMALTI_INLINE_LAMBDA {
      int32x4_t &sum = sums[2 * pair + i / 4].four_rows[i % 4];
      sum = vmmlaq_s32(sum, two, w.two_rows[i]);
    });
  });
}
#else
struct Octet {
  Bytes quad[2];
};

SMALTI_INLINE Octet to_octet(const Bytes &first, const Bytes &second, Sums &) {
  return {{first, second}};
}

template <int kRows>
SMALTI_INLINE void multiply_add(const Octet &w, const BlockOctet &x, int row, Sums *sums) {
  unrolled<kRows>([&](int r) SMALTI_INLINE_LAMBDA {
    multiply_one(w.quad[0], w.quad[1], x.at[row + r], 0, sums[r]);
  });
}
#endif

// Of rows 4i .. 4i + 3 of weights.
template <int kRows>
SMALTI_INLINE int32x4_t four_sums(const Sums *sums, int r, int i) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
  if constexpr (kRows > 1) {
    const int32x4_t *two = sums[r / 2 * 2 + i / 2].four_rows + i % 2 * 2;
    const int64x2_t a = vreinterpretq_s64_s32(two[0]), b = vreinterpretq_s64_s32(two[1]);
    return vreinterpretq_s32_s64(r % 2 == 0 ? vzip1q_s64(a, b) : vzip2q_s64(a, b));
  }
#endif
#ifdef __ARM_FEATURE_DOTPROD
  return sums[r].four_rows[i];
#else
  return vpaddq_s32(sums[r].two_rows[2 * i], sums[r].two_rows[2 * i + 1]);
#endif
}

template <int kRows>
SMALTI_INLINE void add_scaled(const Sums *sums, int r, const float *scales, float scale,
                              float *out) {
  unrolled<4>([&](int i) SMALTI_INLINE_LAMBDA {
    const float32x4_t rows = vcvtq_f32_s32(four_sums<kRows>(sums, r, i));
    const float32x4_t scaled = vmulq_n_f32(vmulq_f32(rows, vld1q_f32(scales + 4 * i)), scale);
    vst1q_f32(out + 4 * i, vaddq_f32(vld1q_f32(out + 4 * i), scaled));
  });
}

}  // namespace smalti::SMALTI_LEVEL
