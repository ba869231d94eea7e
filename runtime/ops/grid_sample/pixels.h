// Sampling all channels of a pixel at once, point by point.
#pragma once

#include "core/blend.h"
#include "ops/grid_sample/block.h"

namespace smalti::SMALTI_LEVEL {

constexpr int64_t kChunk = 256;     // channels
constexpr int64_t kTogether = 128;  // points, lest their taps drive pixels out of the cache
constexpr int64_t kAhead = 2;       // eights: how early their pixels are asked for
alignas(64) constexpr float kNothing[kChunk] = {};

// Asks for a point's pixels: which they are, no processor foresees. Of two taps in a row, the
// second is behind the first. kNarrow: a pair of pixels lies in one cache line, or nearly.
template <bool kNarrow, int kTaps>
SMALTI_INLINE void fetch(const Located<kTaps> &at, int64_t lane, const float *image,
                         int64_t channels) {
  constexpr int kRow = kTaps == 1 ? 1 : 2;
  const int64_t line = 64, bytes = channels * static_cast<int64_t>(sizeof(float));
  const int64_t most = kChunk * static_cast<int64_t>(sizeof(float));
  for (int tap = 0; tap < kTaps; tap += kRow) {
    // an address, as zeros have none in the image
    const uintptr_t pixel = reinterpret_cast<uintptr_t>(image) + at.offsets[tap][lane] * bytes;
    __builtin_prefetch(reinterpret_cast<const void *>(pixel));
    for (int64_t b = line; !kNarrow && b < kRow * (bytes < most ? bytes : most); b += line)
      __builtin_prefetch(reinterpret_cast<const void *>(pixel + b));
  }
}

// Calls body(eight points, lane, point) for every point of a block, whose pixels are on their way.
template <bool kNarrow, int kTaps, class Body>
SMALTI_INLINE void each_point(const Block<kTaps> &block, const float *image, int64_t channels,
                              const Body &body) {
  const int64_t eights = (block.count + kLanes - 1) / kLanes;
  for (int64_t i = 0; i < eights; ++i) {
    const Located<kTaps> &at = block.eights[i];
    const Located<kTaps> &later = block.eights[i + kAhead < eights ? i + kAhead : i];
    const int64_t left = block.count - i * kLanes, lanes = left < kLanes ? left : kLanes;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      fetch<kNarrow>(later, lane, image, channels);
      body(at, lane, i * kLanes + lane);
    }
  }
}

// For pixels of eight channels and more.
template <int kTaps>
void sample_wide(const Block<kTaps> &block, const float *image, int64_t channels, float *to) {
  each_point<false>(block, image, channels,
                    [=](const Located<kTaps> &at, int64_t lane, int64_t point)
                        SMALTI_INLINE_LAMBDA {
                          float weights[kTaps];
                          for (int tap = 0; tap < kTaps; ++tap)
                            weights[tap] = at.weights[tap][lane];
                          for (int64_t c = 0; c < channels; c += kChunk) {
                            const float *rows[kTaps];
                            for (int tap = 0; tap < kTaps; ++tap) {
                              const int64_t offset = at.offsets[tap][lane];
                              rows[tap] = offset < 0 ? kNothing : image + offset * channels + c;
                            }
                            const int64_t count = channels - c < kChunk ? channels - c : kChunk;
                            blend<kTaps>(rows, weights, count, to + point * channels + c);
                          }
                        });
}

typedef float Fours __attribute__((vector_size(16)));

// For pixels of fewer channels than Lanes has: whole vectors are read and written, and the numbers
// that are no channels of the point overwritten by the next.
template <int kTaps, class Lanes>
struct NarrowPixels {
  static constexpr int64_t kWidth = sizeof(Lanes) / sizeof(float);
  static constexpr bool kPairs = kTaps == 4 || kTaps == 8;  // taps are neighbours in twos
  const float *image;
  int64_t channels, safe;      // the last offset that a vector can be read from
  float end[2 * kWidth] = {};  // the image's last numbers, for vectors behind `safe`

  NarrowPixels(const float *pixels, int64_t count, int64_t channels_of_pixel)
      : image(pixels), channels(channels_of_pixel), safe(count * channels - kWidth) {
    const int64_t kept = safe < 0 ? safe + kWidth : kWidth;
    memcpy(end, image + count * channels - kept, kept * sizeof *end);
  }

  SMALTI_INLINE const float *pixel(int64_t offset) const {
    const int64_t at = offset * channels;
    if (offset < 0) return kNothing;
    return at <= safe ? image + at : end + at - (safe < 0 ? 0 : safe);
  }

  template <bool kInside>
  SMALTI_INLINE void add(const Located<kTaps> &at, int64_t lane, Lanes &sum) const {
    unrolled<kTaps>([&](int tap) SMALTI_INLINE_LAMBDA {
      Lanes numbers;
      if constexpr (kInside) {
        const int64_t second = kPairs ? tap % 2 : 0, offset = at.offsets[tap - second][lane];
        memcpy(&numbers, image + (offset + second) * channels, sizeof numbers);
      } else {
        memcpy(&numbers, pixel(at.offsets[tap][lane]), sizeof numbers);
      }
      sum += at.weights[tap][lane] * numbers;
    });
  }

  void sample(const Block<kTaps> &block, float *to) const {
    const NarrowPixels here = *this;  // a copy that stays in registers
    float line[kTogether * kWidth + kWidth];
    each_point<true>(
        block, image, channels,
        [&](const Located<kTaps> &at, int64_t lane, int64_t point) SMALTI_INLINE_LAMBDA {
          Lanes sum = {};
          // the last tap is the farthest, but for cubic ones that are mirrored
          if (kTaps <= 8 && at.inside && at.offsets[kTaps - 1][lane] * here.channels <= here.safe) {
            here.template add<true>(at, lane, sum);
          } else {
            here.template add<false>(at, lane, sum);
          }
          memcpy(line + point * here.channels, &sum, sizeof sum);
        });
    memcpy(to, line, block.count * channels * sizeof *to);
  }
};

template <int kTaps>
void sample_pixels(const Block<kTaps> &block, const float *image, int64_t pixels, int64_t channels,
                   float *to) {
  if (channels >= kLanes) return sample_wide<kTaps>(block, image, channels, to);
  if (channels <= 4) return NarrowPixels<kTaps, Fours>(image, pixels, channels).sample(block, to);
  NarrowPixels<kTaps, Floats>(image, pixels, channels).sample(block, to);
}

}  // namespace smalti::SMALTI_LEVEL
