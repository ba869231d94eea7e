// One axis of an image that is sampled between its pixels: which pixels a point takes, with which
// weights. Positions are float32, in the order of operations that ONNX and Torch have, so that
// nearest pixels agree with theirs; they are clamped before they turn into integers.
#pragma once

#include "core/cubic.h"
#include "core/op.h"

namespace smalti::SMALTI_LEVEL {

enum Mode { kLinear, kNearest, kCubic };
enum Padding { kZeros, kBorder, kReflection };

constexpr float kFar = 1 << 30;  // pixels; what lies beyond counts as this far

// floor() is a call into libm below SSE 4.1. For |p| <= 2^30.
inline int32_t floor_of(float p) {
  const int32_t cut = static_cast<int32_t>(p);
  return cut - (static_cast<float>(cut) > p);
}

inline float clamped(float p, float low, float high) { return p < low ? low : p > high ? high : p; }

// How one axis of the image is read.
struct Axis {
  int64_t mode, padding;
  bool align_corners;
  int32_t size;

  int taps() const { return mode == kNearest ? 1 : mode == kLinear ? 2 : 4; }

  // From [-1, 1] to pixels, within kFar of 0.
  float position(float coordinate) const {
    const float half = 0.5f * static_cast<float>(align_corners ? size - 1 : size);
    const float p = (coordinate + 1.0f) * half - (align_corners ? 0.0f : 0.5f);
    return clamped(p, -kFar, kFar);
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
  float moved(float p) const {
    if (padding == kZeros) return p;
    return clamped(padding == kReflection ? reflected(p) : p, 0.0f, static_cast<float>(size - 1));
  }

  int32_t inside(int64_t i) const { return i >= 0 && i < size ? static_cast<int32_t>(i) : -1; }

  int32_t mirrored(int64_t i) const {
    const int64_t last = size - 1, period = align_corners ? 2 * last : 2 * int64_t{size};
    if (period == 0) return 0;
    const int64_t rest = i % period, at = rest < 0 ? rest + period : rest;
    return static_cast<int32_t>(at <= last ? at : period - at - !align_corners);
  }

  // Cubic moves each of the pixels.
  int32_t padded(int64_t i) const {
    if (padding == kZeros) return inside(i);
    if (padding == kReflection) return mirrored(i);
    return i < 0 ? 0 : i < size ? static_cast<int32_t>(i) : size - 1;
  }

  // taps() pixels (-1: a zero beside the image) and their weights.
  void locate(float coordinate, int32_t *pixels, float *weights) const {
    const float exact = position(clamped(coordinate, -kFar, kFar));
    const bool known = exact == exact;
    const float p = !known ? 0.0f : mode == kCubic ? exact : moved(exact);
    const int32_t first = floor_of(p);
    const float t = p - static_cast<float>(first);
    if (mode == kNearest) {
      pixels[0] = inside(first + (t > 0.5f || (t == 0.5f && first % 2 != 0)));
      weights[0] = 1.0f;
    } else if (mode == kLinear) {
      for (int i = 0; i < 2; ++i) pixels[i] = inside(first + i);
      weights[0] = 1.0f - t;
      weights[1] = t;
    } else {
      for (int i = 0; i < 4; ++i) pixels[i] = padded(first + i - 1);
      cubic_weights(t, weights);
    }
    for (int i = 0; i < taps() && !known; ++i) weights[i] = __builtin_nanf("");
  }
};

}  // namespace smalti::SMALTI_LEVEL
