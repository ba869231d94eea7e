// The rotation: seeded random signs, then an orthonormal Hadamard transform of every block.
//
// A block of 2^k uses Sylvester's matrix; one of m 2^k, m in {12, 20, 28}, the Kronecker product of
// Paley's second construction (q = 5, 9, 13) with Sylvester's. Both are symmetric, so the transform
// is its own inverse. All levels add in the same order: same bits everywhere.
#pragma once

#include <math.h>

#include "core/paley.h"

namespace smalti::SMALTI_LEVEL {

// SplitMix64 (Steele, Lea, Flood 2014), word `index` of the stream that starts at `seed`.
inline uint64_t split_mix_64(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// Flips eight lanes whose bit of `bits` is set, lane 0 for the lowest.
inline void flip_lanes(uint32_t bits, const float *from, float *to) {
  constexpr uint32_t kSign = 1u << 31;
  const Words to_sign = {kSign,      kSign >> 1, kSign >> 2, kSign >> 3,
                         kSign >> 4, kSign >> 5, kSign >> 6, kSign >> 7};
  Words lanes;
  memcpy(&lanes, from, sizeof lanes);
  by_halves(
      lanes,
      [bits](const auto &a, const auto &b)
          SMALTI_INLINE_LAMBDA { return a ^ ((bits * b) & kSign); },
      lanes, to_sign);
  memcpy(to, &lanes, sizeof lanes);
}

inline void flip_signs(uint64_t seed, int64_t count, const float *from, float *to) {
  uint64_t word = 0;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes, word >>= kLanes) {
    if (i % 64 == 0) word = split_mix_64(seed, i / 64);
    flip_lanes(static_cast<uint32_t>(word & 255), from + i, to + i);
  }
  for (; i < count; ++i, word >>= 1) {
    if (i % 64 == 0) word = split_mix_64(seed, i / 64);
    to[i] = word & 1 ? -from[i] : from[i];
  }
}

// One butterfly stage inside eight lanes: (a, b) -> (a + b, a - b) at distance `kDistance`.
template <int kDistance>
inline void stage_in_register(Floats &x) {
  constexpr int d = kDistance;
  const Floats swapped =
      __builtin_shufflevector(x, x, 0 ^ d, 1 ^ d, 2 ^ d, 3 ^ d, 4 ^ d, 5 ^ d, 6 ^ d, 7 ^ d);
  const Words lanes = {0, 1, 2, 3, 4, 5, 6, 7};
  const Words flipped = reinterpret_cast<Words>(x) ^ (lanes & d) * ((1u << 31) / d);
  x = swapped + reinterpret_cast<Floats>(flipped);
}

inline void stage(float *x, int64_t count, int distance) {
  for (int64_t base = 0; base < count; base += 2 * distance) {
    for (int64_t i = base; i < base + distance; ++i) {
      const float a = x[i], b = x[i + distance];
      x[i] = a + b;
      x[i + distance] = a - b;
    }
  }
}

inline void stage_of_lanes(float *x, int64_t count, int64_t distance) {
  for (int64_t base = 0; base < count; base += 2 * distance) {
    for (int64_t i = base; i < base + distance; i += kLanes) {
      Floats a, b;
      load(x + i, a);
      load(x + i + distance, b);
      store(a + b, x + i);
      store(a - b, x + i + distance);
    }
  }
}

// Three stages, of eight values, the nearest first.
SMALTI_INLINE void three_stages(Floats *v) {
  unrolled<3>([&](int log) SMALTI_INLINE_LAMBDA {
    unrolled<4>([&](int k) SMALTI_INLINE_LAMBDA {
      const int d = 1 << log, first = k / d * 2 * d + k % d;
      const Floats a = v[first], b = v[first + d];
      v[first] = a + b;
      v[first + d] = a - b;
    });
  });
}

// The stages at `distance`, twice and four times that, in one pass over memory.
inline void three_stages_of_lanes(float *x, int64_t count, int64_t distance) {
  for (int64_t base = 0; base < count; base += 8 * distance) {
    for (int64_t i = base; i < base + distance; i += kLanes) {
      Floats v[8];
      unrolled<8>([&](int k) SMALTI_INLINE_LAMBDA { load(x + i + k * distance, v[k]); });
      three_stages(v);
      unrolled<8>([&](int k) SMALTI_INLINE_LAMBDA { store(v[k], x + i + k * distance); });
    }
  }
}

// The stages at distances from `distance`, kLanes or more, up to below `end`.
inline void stages_of_lanes(float *x, int64_t count, int64_t distance, int64_t end) {
  for (; 4 * distance < end; distance *= 8) three_stages_of_lanes(x, count, distance);
  for (; distance < end; distance *= 2) stage_of_lanes(x, count, distance);
}

// norm times Sylvester's matrix of order 64, in registers.
inline void sylvester_64(float *x, float norm) {
  Floats v[8];
  unrolled<8>([&](int k) SMALTI_INLINE_LAMBDA {
    load(x + k * kLanes, v[k]);
    v[k] *= norm;
    stage_in_register<1>(v[k]);
    stage_in_register<2>(v[k]);
    stage_in_register<4>(v[k]);
  });
  three_stages(v);
  unrolled<8>([&](int k) SMALTI_INLINE_LAMBDA { store(v[k], x + k * kLanes); });
}

// norm times Sylvester's matrix of order `power`, on every run of that many values.
inline void sylvester(float *x, int64_t count, int power, float norm) {
  if (power >= 64) {
    for (int64_t k = 0; k < count; k += 64) sylvester_64(x + k, norm);
    return stages_of_lanes(x, count, 64, power);
  }
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Floats lanes;
    load(x + i, lanes);
    lanes *= norm;
    if (power > 1) stage_in_register<1>(lanes);
    if (power > 2) stage_in_register<2>(lanes);
    if (power > 4) stage_in_register<4>(lanes);
    store(lanes, x + i);
  }
  for (int64_t k = i; k < count; ++k) x[k] *= norm;
  for (int distance = 1; i < count && distance < power; distance *= 2)
    stage(x + i, count - i, distance);
  stages_of_lanes(x, count, kLanes, power);
}

inline float hadamard_norm(int block) { return 1.0f / sqrtf(static_cast<float>(block)); }

// In place, orthonormal, every block of `block` values of x (count is a multiple of block).
inline void hadamard_blocks(float *x, int64_t count, int block) {
  if (block == 1) return;
  const int m = paley_order(block);
  const int64_t chunk = block % kLanes == 0 ? block : count;  // stays in cache, if lanes fit
  for (int64_t base = 0; base < count; base += chunk)
    sylvester(x + base, chunk, block / m, hadamard_norm(block));
  for (int64_t base = 0; base < count && m > 1; base += block) paley_rows(x + base, block, m);
}

// The same of one block of x (block), lane by lane, but for the norm: x has it already. So it may
// have the stages at distances below `distance`.
inline void hadamard_of_lanes(Floats *x, int block, int distance) {
  const int m = paley_order(block);
  float *floats = reinterpret_cast<float *>(x);
  stages_of_lanes(floats, block * kLanes, distance * kLanes, block / m * kLanes);
  if (m > 1) paley_rows(floats, block * kLanes, m);
}

inline Status check_block(int64_t block, int64_t width) {
  if (paley_order(block) != 0 && width % block == 0) return Status();
  return fail(
      SMALTI_INVALID,
      "block %lld is no Hadamard order up to %d that divides the width %lld; use a power of "
      "two, or 12, 20 or 28 times one",
      static_cast<long long>(block), kMaxBlock, static_cast<long long>(width));
}

}  // namespace smalti::SMALTI_LEVEL
