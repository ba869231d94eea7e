// Rows of a table, as floats, whatever they are stored as, and weighted sums of them. A vector is
// kWidth columns of 8 / kWidth points: 1, 2, 4 or 8 columns.
#pragma once

#include "core/half.h"
#include "ops/grid_encode/locate.h"

namespace smalti::SMALTI_LEVEL {

typedef float Quad __attribute__((vector_size(16)));
typedef double Pairs __attribute__((vector_size(32)));  // of floats
typedef int8_t Bytes __attribute__((vector_size(8)));
typedef uint16_t BytePairs __attribute__((vector_size(8)));
typedef uint32_t ByteQuads __attribute__((vector_size(8)));
typedef uint16_t Halves __attribute__((vector_size(16)));
typedef uint32_t HalfPairs __attribute__((vector_size(16)));
typedef uint64_t HalfQuads __attribute__((vector_size(16)));

template <class Unit>
SMALTI_INLINE Unit unit(const void *from) {
  Unit found;
  memcpy(&found, from, sizeof found);
  return found;
}

SMALTI_INLINE void join(const Quad &low, const Quad &high, Floats &to) {
  to = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
}

template <int kWidth>
SMALTI_INLINE void read_rows(const float *from, const uint32_t *at, Floats &to) {
  if constexpr (kWidth == 1) {
    Ints offsets;
    memcpy(&offsets, at, sizeof offsets);
    gather(from, offsets, to);
  } else if constexpr (kWidth == 2) {
    const Pairs pairs = {unit<double>(from + at[0]), unit<double>(from + at[1]),
                         unit<double>(from + at[2]), unit<double>(from + at[3])};
    to = reinterpret_cast<Floats>(pairs);
  } else if constexpr (kWidth == 4) {
    join(unit<Quad>(from + at[0]), unit<Quad>(from + at[1]), to);
  } else {
    load(from + at[0], to);
  }
}

template <int kWidth>
SMALTI_INLINE void read_rows(const int8_t *from, const uint32_t *at, Floats &to) {
  Bytes bytes;
  if constexpr (kWidth == 1) {
    for (int i = 0; i < kLanes; ++i) bytes[i] = from[at[i]];
  } else if constexpr (kWidth == 2) {
    bytes = reinterpret_cast<Bytes>(
        BytePairs{unit<uint16_t>(from + at[0]), unit<uint16_t>(from + at[1]),
                  unit<uint16_t>(from + at[2]), unit<uint16_t>(from + at[3])});
  } else if constexpr (kWidth == 4) {
    bytes = reinterpret_cast<Bytes>(
        ByteQuads{unit<uint32_t>(from + at[0]), unit<uint32_t>(from + at[1])});
  } else {
    bytes = unit<Bytes>(from + at[0]);
  }
  to = __builtin_convertvector(bytes, Floats);
}

// As half_to_float.
SMALTI_INLINE void widen(const Halves &halves, Floats &to) {
  const Words wide = __builtin_convertvector(halves, Words), magnitude = wide & 0x7FFF;
  const Floats finite = reinterpret_cast<Floats>(magnitude << 13) * 0x1p112f;
  const Words special = reinterpret_cast<Words>(magnitude >= 0x7C00) & 0x7F800000;
  to = reinterpret_cast<Floats>(reinterpret_cast<Words>(finite) | special | (wide & 0x8000) << 16);
}

template <int kWidth>
SMALTI_INLINE void read_rows(const uint16_t *from, const uint32_t *at, Floats &to) {
  Halves halves;
  if constexpr (kWidth == 1) {
    for (int i = 0; i < kLanes; ++i) halves[i] = from[at[i]];
  } else if constexpr (kWidth == 2) {
    halves = reinterpret_cast<Halves>(
        HalfPairs{unit<uint32_t>(from + at[0]), unit<uint32_t>(from + at[1]),
                  unit<uint32_t>(from + at[2]), unit<uint32_t>(from + at[3])});
  } else if constexpr (kWidth == 4) {
    halves = reinterpret_cast<Halves>(
        HalfQuads{unit<uint64_t>(from + at[0]), unit<uint64_t>(from + at[1])});
  } else {
    halves = unit<Halves>(from + at[0]);
  }
  widen(halves, to);
}

// Codes of entries of a codebook (256, kWidth).
struct Codes {
  const uint8_t *from;
  const float *codebook;
};

template <int kWidth>
SMALTI_INLINE void read_rows(const Codes &codes, const uint32_t *at, Floats &to) {
  uint32_t entries[kLanes / kWidth];
  for (int i = 0; i < kLanes / kWidth; ++i) entries[i] = kWidth * codes.from[at[i]];
  read_rows<kWidth>(codes.codebook, entries, to);
}

// Each weight beside the columns of its point.
template <int kWidth>
SMALTI_INLINE void spread(const float *weights, Floats &to) {
  if constexpr (kWidth == 1) {
    load(weights, to);
  } else if constexpr (kWidth == 2) {
    const Quad four = unit<Quad>(weights);
    to = __builtin_shufflevector(four, four, 0, 0, 1, 1, 2, 2, 3, 3);
  } else if constexpr (kWidth == 4) {
    join(Quad{} + weights[0], Quad{} + weights[1], to);
  } else {
    broadcast(weights[0], to);
  }
}

// What a block of points makes of kWidth columns of a level.
struct Target {
  float *y;  // of the first point
  int64_t stride, count;
  float scale;
  int vertices;
};

// By value: what is behind a reference might change with every store.
template <int kWidth, class Rows>
void sum_rows(Rows rows, const Taps &taps, Target target) {
  constexpr int kPoints = kLanes / kWidth;
  for (int64_t i = 0; i < target.count; i += kPoints, target.y += kPoints * target.stride) {
    Floats sum{}, row, weight;
    for (int k = 0; k < target.vertices; ++k) {
      read_rows<kWidth>(rows, taps.offsets[i / kLanes][k] + i % kLanes, row);
      spread<kWidth>(taps.weights[i / kLanes][k] + i % kLanes, weight);
      sum += row * weight;
    }
    sum *= target.scale;
    float found[kLanes];
    store(sum, found);
    unrolled<kPoints>([&](int point) SMALTI_INLINE_LAMBDA {
      if (i + point < target.count)
        memcpy(target.y + point * target.stride, found + point * kWidth, 4 * kWidth);
    });
  }
}

template <class Rows>
void sum_columns(int64_t width, const Rows &rows, const Taps &taps, const Target &target) {
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
