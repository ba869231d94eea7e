// Rows of a table, as floats, whatever they are stored as, and sums of them.
#pragma once

#include "core/half.h"
#include "ops/grid_encode/locate.h"

namespace smalti::SMALTI_LEVEL {

// kWidth neighbours in a row. GCC 12 drops a vector size that depends on a template's parameter.
template <int kWidth>
struct Wide;

template <>
struct Wide<1> {
  typedef float F32;
};

#define SMALTI_WIDE(width)                                          \
  template <>                                                       \
  struct Wide<width> {                                              \
    typedef float F32 __attribute__((vector_size(4 * (width))));    \
    typedef uint32_t U32 __attribute__((vector_size(4 * (width)))); \
    typedef uint16_t U16 __attribute__((vector_size(2 * (width)))); \
    typedef int8_t I8 __attribute__((vector_size(width)));          \
  };
SMALTI_WIDE(2)
SMALTI_WIDE(4)
SMALTI_WIDE(8)
#undef SMALTI_WIDE

template <int kWidth>
SMALTI_INLINE void widen(const int8_t *from, typename Wide<kWidth>::F32 &to) {
  if constexpr (kWidth == 1) {
    to = static_cast<float>(*from);
  } else {
    typename Wide<kWidth>::I8 bytes;
    memcpy(&bytes, from, sizeof bytes);
    to = __builtin_convertvector(bytes, typename Wide<kWidth>::F32);
  }
}

// As half_to_float.
template <int kWidth>
SMALTI_INLINE void widen(const uint16_t *from, typename Wide<kWidth>::F32 &to) {
  if constexpr (kWidth == 1) {
    to = half_to_float(*from);
  } else {
    using F32 = typename Wide<kWidth>::F32;
    using U32 = typename Wide<kWidth>::U32;
    typename Wide<kWidth>::U16 halves;
    memcpy(&halves, from, sizeof halves);
    const U32 wide = __builtin_convertvector(halves, U32), magnitude = wide & 0x7FFF;
    const F32 finite = reinterpret_cast<F32>(magnitude << 13) * 0x1p112f;
    const U32 special = reinterpret_cast<U32>(magnitude >= 0x7C00) & 0x7F800000;
    const U32 sign = (wide & 0x8000) << 16;
    to = reinterpret_cast<F32>(reinterpret_cast<U32>(finite) | special | sign);
  }
}

// Elements that turn into floats one by one: int8 and half precision.
template <class Element>
struct Narrow {
  const Element *from;
  template <int kWidth>
  SMALTI_INLINE void read(uint32_t offset, typename Wide<kWidth>::F32 &to) const {
    widen<kWidth>(from + offset, to);
  }
};

template <>
struct Narrow<float> {
  const float *from;
  template <int kWidth>
  SMALTI_INLINE void read(uint32_t offset, typename Wide<kWidth>::F32 &to) const {
    memcpy(&to, from + offset, sizeof to);
  }
};

// Codes of entries of a codebook (256, kWidth).
struct Coded {
  const uint8_t *from;
  const float *codebook;
  template <int kWidth>
  SMALTI_INLINE void read(uint32_t offset, typename Wide<kWidth>::F32 &to) const {
    memcpy(&to, codebook + kWidth * from[offset], sizeof to);
  }
};

// What a block of points makes of kWidth columns of a level.
struct Target {
  float *y;  // of the first point
  int64_t stride, count;
  float scale;
  int vertices;
};

template <int kWidth, class Rows>
void sum_rows(const Rows &rows, const Taps &taps, const Target &target) {
  using F32 = typename Wide<kWidth>::F32;
  float *to = target.y;
  for (int64_t i = 0; i < target.count; ++i, to += target.stride) {
    const auto &offsets = taps.offsets[i / kLanes];
    const auto &weights = taps.weights[i / kLanes];
    const int64_t lane = i % kLanes;
    F32 sum{}, row;
    for (int k = 0; k < target.vertices; ++k) {
      rows.template read<kWidth>(offsets[k][lane], row);
      sum += row * weights[k][lane];
    }
    sum *= target.scale;
    memcpy(to, &sum, sizeof sum);
  }
}

template <class Rows>
void sum_columns(int width, const Rows &rows, const Taps &taps, const Target &target) {
  switch (width) {
    case 8:
      return sum_rows<8>(rows, taps, target);
    case 4:
      return sum_rows<4>(rows, taps, target);
    case 2:
      return sum_rows<2>(rows, taps, target);
    default:
      return sum_rows<1>(rows, taps, target);
  }
}

}  // namespace smalti::SMALTI_LEVEL
