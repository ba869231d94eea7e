// The signs of images, packed: a byte has eight channels of a pixel, and around every image lies
// its padding, all zero.
#pragma once

#include "core/ranges.h"
#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

struct Images {
  int64_t count, channels, height, width;
  int64_t top, left, padded_height, padded_width;
  int64_t bytes;  // of a pixel

  int64_t area() const { return height * width; }
  int64_t padded_bytes() const { return padded_height * padded_width * bytes; }
};

// Bit c of to[i]: whether channel c of pixel i is at least 0. Of kVectors times eight pixels, or of
// the `pixels` that a tiny image has; channels are `area` apart. NaN in a pixel leaves something in
// its lane of nan.
template <int kVectors>
inline void sign_bits(const float *from, int64_t area, int64_t channels, int64_t pixels, Words *to,
                      Ints &nan) {
  unrolled<kVectors>([&](int i) SMALTI_INLINE_LAMBDA { to[i] = Words{}; });
  Words bit = Words{} + 1;
  for (int64_t c = 0; c < channels; ++c, from += area, bit += bit) {
    unrolled<kVectors>([&](int i) SMALTI_INLINE_LAMBDA {
      Floats x = {};
      Ints below, strange;
      if (kVectors > 1 || pixels >= kLanes) {
        load(from + i * kLanes, x);
      } else {
        memcpy(&x, from, pixels * sizeof(float));
      }
      is_above(Floats{}, x, below);
      is_nan(x, strange);
      nan |= strange;
      to[i] |= ~reinterpret_cast<Words>(below) & bit;
    });
  }
}

// Packs kVectors times eight pixels of an image from `first` on, or all of a tiny one, but for the
// first `done` of them. Returns whether there is a NaN among them.
template <int kVectors>
inline bool pack_pixels(const Images &g, const float *image, int64_t first, int64_t done,
                        uint8_t *packed) {
  const int64_t pixels = g.area() < kVectors * kLanes ? g.area() : kVectors * kLanes;
  int64_t y = first / g.width, x = first % g.width;
  uint8_t *places[kVectors * kLanes];
  for (int64_t i = 0; i < pixels; ++i) {
    places[i] = packed + ((y + g.top) * g.padded_width + x + g.left) * g.bytes;
    if (++x == g.width) x = 0, ++y;
  }
  Ints nan = {};
  for (int64_t c = 0; c < g.channels; c += 32) {
    Words bits[kVectors];
    const int64_t left = g.channels - c;
    sign_bits<kVectors>(image + c * g.area() + first, g.area(), left < 32 ? left : 32, pixels, bits,
                        nan);
    uint32_t words[kVectors * kLanes];
    memcpy(words, bits, sizeof words);
    if (left > 24) {
      for (int64_t i = done; i < pixels; ++i) memcpy(places[i] + c / 8, &words[i], sizeof *words);
    } else {
      for (int64_t i = done; i < pixels; ++i) memcpy(places[i] + c / 8, &words[i], (left + 7) / 8);
    }
  }
  return any(nan);
}

}  // namespace smalti::SMALTI_LEVEL
