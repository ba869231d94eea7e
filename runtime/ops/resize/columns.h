// One axis of an image at another size, and rows of pixels resized along it.
#pragma once

#include "core/blend.h"
#include "core/cubic.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kMargin = 2;  // pixels beside a line of them that repeat its first and last

// An axis of `from` pixels, resized to `to`; kTaps: 2 linear, 4 cubic.
template <int kTaps>
struct ResizedAxis {
  int64_t from, to;
  bool align_corners;

  // Of output pixel i, in input pixels. Double: offsets near an edge keep all of float's bits.
  double position(int64_t i) const {
    const double in = static_cast<double>(from), out = static_cast<double>(to);
    if (!align_corners) return (static_cast<double>(i) + 0.5) * (in / out) - 0.5;
    return to == 1 ? 0.0 : static_cast<double>(i) * ((in - 1.0) / (out - 1.0));
  }

  // Returns the first of the pixels that output pixel i takes, from -kMargin to from + kMargin -
  // kTaps.
  int64_t locate(int64_t i, float *weights) const {
    const double p = position(i);
    const int64_t cut = static_cast<int64_t>(p), first = cut - (static_cast<double>(cut) > p);
    const float t = static_cast<float>(p - static_cast<double>(first));
    if (kTaps == 4) {
      cubic_weights(t, weights);
    } else {
      weights[0] = 1.0f - t;
      weights[1] = t;
    }
    return first - (kTaps / 2 - 1);
  }

  int64_t inside(int64_t pixel) const { return pixel < 0 ? 0 : pixel < from ? pixel : from - 1; }
};

// How a line becomes the output's columns, eight numbers at a time, for pixels of fewer than eight
// channels. A line starts with its margin.
template <int kTaps>
struct NarrowColumns {
  int64_t count, channels;  // numbers in an output row, and in a pixel
  int64_t *bases;           // of each eight: an offset into the line
  int32_t *at;              // of each number: behind its base
  float *weights;           // of each eight: (kTaps, 8)
  bool close = true;        // whether eight numbers always come from eight in a row

  static int64_t bytes(int64_t count) {
    const int64_t each = sizeof(int64_t) + kLanes * (sizeof(int32_t) + kTaps * sizeof(float));
    return (count + kLanes - 1) / kLanes * each;
  }

  NarrowColumns(const ResizedAxis<kTaps> &axis, int64_t channels_of_pixel, void *memory)
      : count(axis.to * channels_of_pixel), channels(channels_of_pixel) {
    const int64_t groups = (count + kLanes - 1) / kLanes;
    memset(memory, 0, bytes(count));
    bases = static_cast<int64_t *>(memory);
    at = reinterpret_cast<int32_t *>(bases + groups);
    weights = reinterpret_cast<float *>(at + groups * kLanes);
    for (int64_t pixel = 0; pixel < axis.to; ++pixel) {
      float shares[kTaps];
      const int64_t first = (axis.locate(pixel, shares) + kMargin) * channels;
      for (int64_t c = 0; c < channels; ++c) set(pixel * channels + c, first + c, shares);
    }
    for (int64_t group = 0; group < groups; ++group) start_at_least(group);
  }

  void set(int64_t i, int64_t offset, const float *shares) {
    const int64_t group = i / kLanes, lane = i % kLanes;
    at[i] = static_cast<int32_t>(offset);
    for (int tap = 0; tap < kTaps; ++tap)
      weights[(group * kTaps + tap) * kLanes + lane] = shares[tap];
  }

  // Lets a group's offsets count from the least of them.
  void start_at_least(int64_t group) {
    const int64_t left = count - group * kLanes, lanes = left < kLanes ? left : kLanes;
    int32_t *offsets = at + group * kLanes, least = offsets[0];
    for (int64_t i = 1; i < lanes; ++i) least = offsets[i] < least ? offsets[i] : least;
    bases[group] = least;
    for (int64_t i = 0; i < lanes; ++i) {
      offsets[i] -= least;
      close &= offsets[i] < kLanes;
    }
  }

  template <bool kClose>
  SMALTI_INLINE void eight(const float *line, int64_t group, float *to) const {
    Floats sum = {}, pixels, shares;
    Ints lanes;
    load(at + group * kLanes, lanes);
    unrolled<kTaps>([&](int tap) SMALTI_INLINE_LAMBDA {
      const float *from = line + bases[group] + tap * channels;
      if (kClose) {
        load(from, shares);
        permute(shares, lanes, pixels);
      } else {
        gather(from, lanes, pixels);
      }
      load(weights + (group * kTaps + tap) * kLanes, shares);
      sum += shares * pixels;
    });
    store(sum, to);
  }

  template <bool kClose>
  void all(const float *line, float *to) const {
    const int64_t whole = count / kLanes, rest = count % kLanes;
    for (int64_t group = 0; group < whole; ++group) eight<kClose>(line, group, to + group * kLanes);
    if (rest == 0) return;
    float last[kLanes];
    eight<kClose>(line, whole, last);
    memcpy(to + whole * kLanes, last, rest * sizeof *to);
  }

  void blend_line(const float *line, float *to) const {
    if (close) {
      all<true>(line, to);
    } else {
      all<false>(line, to);
    }
  }
};

// The same for pixels of eight channels and more, one output pixel at a time.
template <int kTaps>
struct WideColumns {
  int64_t count, channels;
  int64_t *firsts;  // of each output pixel: an offset into the line
  float *weights;   // (pixels, kTaps)

  static int64_t bytes(int64_t count) {
    return count * static_cast<int64_t>(sizeof(int64_t) + kTaps * sizeof(float));
  }

  WideColumns(const ResizedAxis<kTaps> &axis, int64_t channels_of_pixel, void *memory)
      : count(axis.to),
        channels(channels_of_pixel),
        firsts(static_cast<int64_t *>(memory)),
        weights(reinterpret_cast<float *>(firsts + count)) {
    for (int64_t i = 0; i < count; ++i)
      firsts[i] = (axis.locate(i, weights + i * kTaps) + kMargin) * channels;
  }

  void blend_line(const float *line, float *to) const {
    for (int64_t i = 0; i < count; ++i) {
      const float *rows[kTaps];
      for (int tap = 0; tap < kTaps; ++tap) rows[tap] = line + firsts[i] + tap * channels;
      blend<kTaps>(rows, weights + i * kTaps, channels, to + i * channels);
    }
  }
};

}  // namespace smalti::SMALTI_LEVEL
