// Sampling all channels of a pixel at once, point by point.
#pragma once

#include "core/blend.h"
#include "ops/grid_sample/block.h"

namespace smalti::SMALTI_LEVEL {

constexpr int64_t kChunk = 256;     // channels
constexpr int64_t kTogether = 128;  // points, lest their taps drive pixels out of the cache
constexpr int64_t kAhead = 12;      // points: how early their pixels are asked for
alignas(64) constexpr float kNothing[kChunk] = {};

// Asks for a point's pixels: which they are, no processor foresees. Neighbours in a row are next to
// each other.
template <int kTaps>
SMALTI_INLINE void fetch(const Block<kTaps> &block, const float *image, int64_t channels,
                         int64_t point) {
  if (point >= block.count) return;
  const int64_t width = channels < kChunk ? channels : kChunk;
  constexpr int kStep = kTaps == 1 ? 1 : 2;
  for (int tap = 0; tap < kTaps; tap += kStep) {
    const int64_t at = block.offset(tap, point);
    const float *pixel = at < 0 ? image : image + at * channels;
    for (int64_t c = 0; c < kStep * width; c += 16) __builtin_prefetch(pixel + c);
  }
}

// For pixels of eight channels and more.
template <int kTaps>
void sample_wide(const Block<kTaps> &block, const float *image, int64_t channels, float *to) {
  for (int64_t point = 0; point < block.count; ++point, to += channels) {
    fetch(block, image, channels, point + kAhead);
    float weights[kTaps];
    for (int tap = 0; tap < kTaps; ++tap) weights[tap] = block.weight(tap, point);
    for (int64_t c = 0; c < channels; c += kChunk) {
      const float *rows[kTaps];
      for (int tap = 0; tap < kTaps; ++tap) {
        const int64_t offset = block.offset(tap, point);
        rows[tap] = offset < 0 ? kNothing : image + offset * channels + c;
      }
      blend<kTaps>(rows, weights, channels - c < kChunk ? channels - c : kChunk, to + c);
    }
  }
}

typedef float Fours __attribute__((vector_size(16)));

// For pixels of fewer channels than Lanes has: whole vectors are read and written, and the numbers
// that are no channels of the point overwritten by the next.
template <int kTaps, class Lanes>
struct NarrowPixels {
  static constexpr int64_t kWidth = sizeof(Lanes) / sizeof(float);
  const float *image;
  int64_t channels, safe;      // the last offset that a vector can be read from
  float end[2 * kWidth] = {};  // the image's last numbers, as vectors behind `safe` need them

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

  void sample(const Block<kTaps> &block, float *to) const {
    float line[kTogether * kWidth + kWidth];
    for (int64_t point = 0; point < block.count; ++point) {
      fetch(block, image, channels, point + kAhead);
      Lanes sum = {}, numbers;
      unrolled<kTaps>([&](int tap) SMALTI_INLINE_LAMBDA {
        memcpy(&numbers, pixel(block.offset(tap, point)), sizeof numbers);
        sum += block.weight(tap, point) * numbers;
      });
      memcpy(line + point * channels, &sum, sizeof sum);
    }
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
