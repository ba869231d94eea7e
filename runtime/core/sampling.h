// Axes of an image that is sampled between its pixels, for eight points at once: which pixels a
// point takes, with which weights. Positions are float32, in the order of operations that ONNX and
// Torch have, so that nearest pixels agree with theirs; they are clamped before they turn into
// integers.
#pragma once

#include "core/cubic.h"
#include "core/op.h"
#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

enum Mode { kLinear, kNearest, kCubic };
enum Padding { kZeros, kBorder, kReflection };

constexpr float kFar = 1 << 30;  // pixels; what lies beyond counts as this far

inline void clamp(Floats &p, float low, float high) {
  const Floats least = Floats{} + low, most = Floats{} + high;
  p = p < least ? least : p > most ? most : p;
}

// Pixels of an axis that a point takes.
constexpr int taps_of(int mode) { return mode == kNearest ? 1 : mode == kLinear ? 2 : 4; }

// How one axis of the image is read.
struct Axis {
  int64_t padding;
  bool align_corners;
  int32_t size;

  // From [-1, 1] to pixels, within kFar of 0.
  void position(const Floats &coordinate, Floats &p) const {
    const float half = 0.5f * static_cast<float>(align_corners ? size - 1 : size);
    p = coordinate;
    clamp(p, -kFar, kFar);
    p = (p + 1.0f) * half - (align_corners ? 0.0f : 0.5f);
    clamp(p, -kFar, kFar);
  }

  // There and back between the outermost pixels' centers, or without align_corners their edges.
  // Double: the distance has to survive the subtraction of many periods.
  float reflected(float p) const {
    const double low = align_corners ? 0.0 : -0.5, span = align_corners ? size - 1 : size;
    if (span == 0.0) return 0.0f;
    const double distance = p < low ? low - p : p - low;
    const int64_t flips = static_cast<int64_t>(distance / span);
    const double rest = distance - static_cast<double>(flips) * span;
    return static_cast<float>((flips % 2 ? span - rest : rest) + low);
  }

  // Linear and nearest move the point into the image.
  void move(Floats &p) const {
    if (padding == kZeros) return;
    const float last = static_cast<float>(size - 1);
    for (int i = 0; i < kLanes && padding == kReflection; ++i)
      if (p[i] < 0.0f || p[i] > last) p[i] = reflected(p[i]);
    clamp(p, 0.0f, last);
  }

  // -1 for what lies beside the image.
  void inside(Ints &pixel) const { pixel |= (pixel < 0) | (pixel >= size); }

  int32_t mirrored(int64_t i) const {
    const int64_t last = size - 1, period = align_corners ? 2 * last : 2 * int64_t{size};
    if (period == 0) return 0;
    const int64_t rest = i % period, at = rest < 0 ? rest + period : rest;
    return static_cast<int32_t>(at <= last ? at : period - at - !align_corners);
  }

  // Cubic moves each of the pixels.
  void padded(Ints &pixel) const {
    if (padding == kZeros) return inside(pixel);
    for (int i = 0; i < kLanes && padding == kReflection; ++i)
      if (pixel[i] < 0 || pixel[i] >= size) pixel[i] = mirrored(pixel[i]);
    const Ints last = Ints{} + (size - 1);
    pixel = pixel < 0 ? Ints{} : pixel > last ? last : pixel;
  }

  // The taps of every point: pixels (-1: a zero beside the image) and weights.
  template <int kMode>
  SMALTI_INLINE void locate(const Floats &coordinate, Ints *pixels, Floats *weights) const {
    Floats p, floor;
    Ints first;
    position(coordinate, p);
    const Ints known = p == p;
    p = known ? p : Floats{};
    if (kMode != kCubic) move(p);
    floor_of(p, first);
    to_floats(first, floor);
    const Floats t = p - floor, unknown = Floats{} + __builtin_nanf("");
    if constexpr (kMode == kNearest) {
      pixels[0] = first - ((t > 0.5f) | ((t == 0.5f) & ((first & 1) != 0)));
      weights[0] = Floats{} + 1.0f;
    } else if constexpr (kMode == kLinear) {
      weights[0] = 1.0f - t;
      weights[1] = t;
    } else {
      cubic_weights(t, weights);
    }
    unrolled<taps_of(kMode)>([&](int tap) SMALTI_INLINE_LAMBDA {
      if (kMode != kNearest) pixels[tap] = first + (kMode == kCubic ? tap - 1 : tap);
      if (kMode == kCubic) {
        padded(pixels[tap]);
      } else {
        inside(pixels[tap]);
      }
      weights[tap] = known ? weights[tap] : unknown;
    });
  }
};

}  // namespace smalti::SMALTI_LEVEL
