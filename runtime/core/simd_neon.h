// The SIMD primitives on 64-bit ARM, the same at all its levels but for the products: tbl looks 16
// codes up. The vocabulary is in simd_portable.h.
#pragma once

#include <arm_neon.h>

#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kOctets = 1;
constexpr int kFoursApart = 1;

struct Bytes {
  uint8x16_t four_rows[4];  // rows 4i .. 4i + 3
  SMALTI_INLINE uint8x16_t operator()(int i) const { return four_rows[i]; }
};

// Bytes that are computed four rows at a time, when they are needed: together they may take too
// many registers.
template <class Body>
struct ByFourRows {
  Body body;
  SMALTI_INLINE uint8x16_t operator()(int i) const { return body(i); }
  SMALTI_INLINE operator Bytes() const { return {{body(0), body(1), body(2), body(3)}}; }
};

template <class Body>
SMALTI_INLINE ByFourRows<Body> by_four_rows(const Body &body) {
  return {body};
}

SMALTI_INLINE Bytes load_bytes(const uint8_t *from) {
  return by_four_rows([&](int i) SMALTI_INLINE_LAMBDA { return vld1q_u8(from + 16 * i); });
}

template <int kShift>
SMALTI_INLINE Bytes nibbles(const Bytes &codes) {
  return by_four_rows([&](int i) SMALTI_INLINE_LAMBDA {
    if constexpr (kShift == 0) {
      return vandq_u8(codes(i), vdupq_n_u8(15));
    } else {
      return vshrq_n_u8(codes(i), kShift);
    }
  });
}

// Shifts right under bits that stay: c's top two bits, then b's, then a's.
SMALTI_INLINE Bytes top_bits(const uint8_t *codes) {
#ifndef __ARM_FEATURE_DOTPROD
  asm("" : "+r"(codes));  // loads the planes again: smull leaves too few registers for them
#endif
  const Bytes a = load_bytes(codes), b = load_bytes(codes + 64), c = load_bytes(codes + 128);
  return by_four_rows([&](int i) SMALTI_INLINE_LAMBDA {
    return vshrq_n_u8(vsriq_n_u8(c(i), vsriq_n_u8(b(i), a(i), 2), 2), 2);
  });
}

// 16 grid entries of one coordinate.
inline uint8x16_t sixteen(const int8_t *grid, int p, int coordinate, int first) {
  uint8_t entries[16];
  for (int i = 0; i < 16; ++i)
    entries[i] = static_cast<uint8_t>(grid[(first + i) * p + coordinate]);
  return vld1q_u8(entries);
}

// What tables return refers to them and to the codes.
template <int kBits, int kCoordinate>
struct Table;

template <int kCoordinate>
struct Table<4, kCoordinate> {
  uint8x16_t entries;
  Table(const int8_t *grid, int p) : entries(sixteen(grid, p, kCoordinate, 0)) {}
  SMALTI_INLINE auto operator()(const Bytes &codes) const {
    return by_four_rows([&](int i) SMALTI_INLINE_LAMBDA { return vqtbl1q_u8(entries, codes(i)); });
  }
};

// Quadrant-symmetric grids: the sign bit of the other coordinate does not matter. Without it, 32 or
// 48 entries do; every register that tbl has to read may cost a cycle.
template <>
struct Table<6, 0> {
  uint8x16x2_t entries;
  Table(const int8_t *grid, int p) : entries{{sixteen(grid, p, 0, 0), sixteen(grid, p, 0, 16)}} {}
  SMALTI_INLINE auto operator()(const Bytes &codes) const {
    return by_four_rows([&](int i) SMALTI_INLINE_LAMBDA {
      return vqtbl2q_u8(entries, vandq_u8(codes(i), vdupq_n_u8(31)));
    });
  }
};

template <>
struct Table<6, 1> {
  uint8x16x3_t entries;
  Table(const int8_t *grid, int p)
      : entries{{sixteen(grid, p, 1, 0), sixteen(grid, p, 1, 16), sixteen(grid, p, 1, 32)}} {}
  SMALTI_INLINE auto operator()(const Bytes &codes) const {
    return by_four_rows([&](int i) SMALTI_INLINE_LAMBDA {
      return vqtbl3q_u8(entries, vandq_u8(codes(i), vdupq_n_u8(47)));
    });
  }
};

template <int kCoordinate>
struct Table<8, kCoordinate> {  // magnitude, then the coordinate's sign bit
  uint8x16x4_t entries;
  Table(const int8_t *grid, int p) {
    for (int i = 0; i < 4; ++i) entries.val[i] = sixteen(grid, p, kCoordinate, 16 * i);
  }
  SMALTI_INLINE auto operator()(const Bytes &codes) const {
    return by_four_rows([&](int i) SMALTI_INLINE_LAMBDA {
      const uint8x16_t magnitude = vqtbl4q_u8(entries, vandq_u8(codes(i), vdupq_n_u8(63)));
      uint8x16_t negative = vtstq_u8(codes(i), vdupq_n_u8(64 << kCoordinate));
      asm("" : "+w"(negative));  // else clang selects, which takes more instructions
      return vsubq_u8(veorq_u8(magnitude, negative), negative);
    });
  }
};

struct Table4 {
  struct Entry {
    int8_t at[4];
  };
  const Entry *entries;
  explicit Table4(const int8_t *grid) : entries(reinterpret_cast<const Entry *>(grid)) {}

  // Of a row and the next.
  SMALTI_INLINE uint64x1_t two(const uint8_t *codes) const {
    uint32_t low, high;
    memcpy(&low, entries + codes[0], sizeof low);
    memcpy(&high, entries + codes[4], sizeof high);
    return vcreate_u64(low | uint64_t{high} << 32);
  }

  template <int kSlot>
  SMALTI_INLINE auto quad(const uint8_t *codes) const {
    return by_four_rows([this, codes](int i) SMALTI_INLINE_LAMBDA {
      const uint8_t *four = codes + 16 * i + kSlot;
      return vreinterpretq_u8_u64(vcombine_u64(two(four), two(four + 8)));
    });
  }
};

// 16 int8 -> floats
SMALTI_INLINE void widen(uint8x16_t from, float *to) {
  const int8x16_t weights = vreinterpretq_s8_u8(from);
  const int16x8_t halves[] = {vmovl_s8(vget_low_s8(weights)), vmovl_high_s8(weights)};
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    vst1q_f32(to + 8 * i, vcvtq_f32_s32(vmovl_s16(vget_low_s16(halves[i]))));
    vst1q_f32(to + 8 * i + 4, vcvtq_f32_s32(vmovl_high_s16(halves[i])));
  });
}

inline void quad_to_floats(const Bytes &w, int apart, float *out) {
  const uint8x16x2_t top = vuzpq_u8(w.four_rows[0], w.four_rows[1]);
  const uint8x16x2_t bottom = vuzpq_u8(w.four_rows[2], w.four_rows[3]);
  const uint8x16x2_t even = vuzpq_u8(top.val[0], bottom.val[0]);
  const uint8x16x2_t odd = vuzpq_u8(top.val[1], bottom.val[1]);
  unrolled<2>([&](int i) SMALTI_INLINE_LAMBDA {
    widen(even.val[i], out + 32 * apart * i);
    widen(odd.val[i], out + 32 * apart * i + 16 * apart);
  });
}

inline void halves_to_floats(const uint16_t *from, float *out) {
  for (int i = 0; i < 16; i += 4)
    vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + i))));
}

}  // namespace smalti::SMALTI_LEVEL

#include "core/products_neon.h"
