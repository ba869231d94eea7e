// The hot loop: in how many bits the activations of a few pixels differ from the weights of a few
// tiles. A byte has the bits of eight channels; the lanes of a vector are outputs, so that nothing
// is added up across lanes.
#pragma once

#include "core/vector.h"
#include "ops/binary_conv/weights.h"

#ifdef __ARM_NEON
#include <arm_neon.h>
#endif

namespace smalti::SMALTI_LEVEL {

constexpr int kSteps = 31;  // bytes whose differences fit a byte: 31 * 8 <= 255

#ifdef __AVX2__
constexpr int kPixels = 4, kMostTiles = 2;  // 8 sums, 4 weights, mask, table: 14 registers
typedef __m256i Lanes;

// For each byte of activations, in how many bits its halves differ from each of 16 halves of a byte
// of weights. Two look-ups do for 32 outputs what takes six instructions of counting.
struct Tables {
  alignas(64) uint8_t of[256][2][16] = {};

  constexpr Tables() {
    for (int i = 0; i < 256 * 32; ++i) {
      const int shift = i / 16 % 2 * 4, x = i / 32 >> shift & 15;
      of[i / 32][i / 16 % 2][i % 16] = static_cast<uint8_t>(__builtin_popcount(x ^ i % 16));
    }
  }
};
constexpr Tables kTables;

struct Weights32 {
  __m256i low, high;  // halves of each byte

  SMALTI_INLINE void read(const uint8_t *from) {
    const __m256i mask = _mm256_set1_epi8(15);
    memcpy(&low, from, sizeof low);
    high = _mm256_and_si256(_mm256_srli_epi16(low, 4), mask);
    low = _mm256_and_si256(low, mask);
  }
};

template <int kTiles>
SMALTI_INLINE void add_differences(const Weights32 *weights, uint8_t x, Lanes *sums) {
  unrolled<2>([&](int half) SMALTI_INLINE_LAMBDA {
    __m128i entries;
    memcpy(&entries, kTables.of[x][half], sizeof entries);
    const __m256i table = _mm256_broadcastsi128_si256(entries);
    unrolled<kTiles>([&](int i) SMALTI_INLINE_LAMBDA {
      const __m256i found = _mm256_shuffle_epi8(table, half ? weights[i].high : weights[i].low);
      sums[i] = _mm256_add_epi8(sums[i], found);
      asm("" : "+x"(sums[i]));  // else the compiler adds products first, and spills
    });
  });
}
#else
typedef uint64_t Part __attribute__((vector_size(16)));  // of bytes: their sums stay below 256

#ifdef __ARM_NEON
constexpr int kPixels = 4, kMostTiles = 2;  // 16 sums, 4 weights

inline Part spread(uint8_t x) { return reinterpret_cast<Part>(vdupq_n_u8(x)); }
inline Part count_bits(const Part &x) {
  return reinterpret_cast<Part>(vcntq_u8(reinterpret_cast<uint8x16_t>(x)));
}
#else
constexpr int kPixels = 2, kMostTiles = 1;

inline Part spread(uint8_t x) { return Part{} + x * 0x0101010101010101u; }

// Sums of neighbours in fields of 2, 4 and 8 bits.
inline Part count_bits(const Part &x) {
  const Part pairs = x - (x >> 1 & 0x5555555555555555u);
  const Part fours = (pairs & 0x3333333333333333u) + (pairs >> 2 & 0x3333333333333333u);
  return (fours + (fours >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}
#endif

struct Lanes {
  Part half[2];
};

struct Weights32 : Lanes {
  SMALTI_INLINE void read(const uint8_t *from) {
    memcpy(&half[0], from, sizeof *half);
    memcpy(&half[1], from + sizeof *half, sizeof *half);
  }
};

template <int kTiles>
SMALTI_INLINE void add_differences(const Weights32 *weights, uint8_t x, Lanes *sums) {
  const Part all = spread(x);
  unrolled<2 * kTiles>([&](int i) SMALTI_INLINE_LAMBDA {
    sums[i / 2].half[i % 2] += count_bits(weights[i / 2].half[i % 2] ^ all);
  });
}
#endif

constexpr int kWide = kMostTiles * kTileOutputs;  // sums of one pixel

// What a window sees of packed activations: runs of neighbouring bytes.
struct Runs {
  int64_t rows, columns, bytes;  // of a window; bytes of each run
  int64_t row_step, column_step;
};

template <int kTiles>
struct Counts {
  Lanes of[kPixels][kTiles] = {};
  int64_t room = kSteps;

  // Adds to sums (kPixels, kWide), and starts again.
  SMALTI_INLINE void flush(uint16_t *sums) {
    unrolled<kPixels>([&](int p) SMALTI_INLINE_LAMBDA {
      unrolled<kTiles>([&](int i) SMALTI_INLINE_LAMBDA {
        uint8_t bytes[kTileOutputs];
        memcpy(bytes, &of[p][i], sizeof bytes);
        uint16_t *to = sums + p * kWide + i * kTileOutputs;
        for (int j = 0; j < kTileOutputs; ++j) to[j] += bytes[j];
        of[p][i] = Lanes{};
      });
    });
    room = kSteps;
  }

  // A run of activations, and the weights that they meet.
  SMALTI_INLINE void add(const uint8_t *weights, int64_t tile_bytes, const uint8_t *const *pixels,
                         int64_t bytes, uint16_t *sums) {
    for (int64_t k = 0; k < bytes;) {
      const int64_t end = room < bytes - k ? k + room : bytes;
      room -= end - k;
      for (; k < end; ++k) {
        Weights32 w[kTiles];
        unrolled<kTiles>([&](int i) SMALTI_INLINE_LAMBDA {
          w[i].read(weights + i * tile_bytes + k * kTileOutputs);
        });
        unrolled<kPixels>(
            [&](int p) SMALTI_INLINE_LAMBDA { add_differences<kTiles>(w, pixels[p][k], of[p]); });
      }
      if (room == 0) flush(sums);
    }
  }
};

// Adds to sums (kPixels, kWide) in how many bits windows at `pixels` differ from the weights of
// each output of kTiles tiles, which are tile_bytes apart.
template <int kTiles>
inline void count_differences(const uint8_t *weights, int64_t tile_bytes, const Runs &runs,
                              const uint8_t *const *pixels, uint16_t *sums) {
  Counts<kTiles> counts;
  for (int64_t row = 0; row < runs.rows; ++row) {
    for (int64_t column = 0; column < runs.columns; ++column) {
      const uint8_t *at[kPixels];
      for (int p = 0; p < kPixels; ++p)
        at[p] = pixels[p] + row * runs.row_step + column * runs.column_step;
      counts.add(weights, tile_bytes, at, runs.bytes, sums);
      weights += runs.bytes * kTileOutputs;
    }
  }
  counts.flush(sums);
}

}  // namespace smalti::SMALTI_LEVEL
