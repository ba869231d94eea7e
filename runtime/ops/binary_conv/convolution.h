// The geometry of one call: which bits meet which, and what of it is padding.
#pragma once

#include "core/window.h"
#include "ops/binary_conv/differences.h"
#include "ops/binary_conv/signs.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kChunk = 32;  // pixels that are counted before they are written: two lines of memory
static_assert(kChunk % kLanes == 0 && kLanes % kPixels == 0, "the hot loop takes kPixels");

struct Convolution {
  BinaryWeights w;
  Images in;
  Runs runs;
  int64_t out_height, out_width, kernel[2], stride[2], dilation[2];
  const float *alpha, *bias;  // bias: maybe nullptr
  uint8_t *packed;            // (images, padded_height, padded_width, bytes), after `bytes` zeros
  uint16_t *of_zeros;         // (taps, groups, kWide): in how many bits zeros differ from a tap

  int64_t pixels() const { return out_height * out_width; }
  int64_t groups() const { return (w.tiles + kMostTiles - 1) / kMostTiles; }
  bool padded() const { return in.padded_height > in.height || in.padded_width > in.width; }

  void set(const int64_t *x, const int64_t *y, const Value *window) {
    const int64_t *pads = window[kPads].ints;
    in = {x[0],
          x[1],
          x[2],
          x[3],
          pads[0],
          pads[1],
          x[2] + pads[0] + pads[2],
          x[3] + pads[1] + pads[3],
          w.bytes};
    out_height = y[2];
    out_width = y[3];
    for (int axis = 0; axis < 2; ++axis) {
      kernel[axis] = window[kKernelShape].ints[axis];
      stride[axis] = window[kStrides].ints[axis];
      dilation[axis] = window[kDilations].ints[axis];
    }
    const int64_t row = in.padded_width * in.bytes;
    runs = {kernel[0], kernel[1], in.bytes, dilation[0] * row, dilation[1] * in.bytes};
    if (dilation[1] == 1) runs.columns = 1, runs.bytes *= kernel[1];
  }

  // Adds to sums (kPixels, kWide), of a group's first tile on.
  void count_group(int64_t group, const uint8_t *weights, const Runs &given,
                   const uint8_t *const *at, uint16_t *sums) const {
    const uint8_t *from = weights + group * kMostTiles * w.tile_bytes;
    if (kMostTiles == 1 || w.tiles - group * kMostTiles == 1) {
      count_differences<1>(from, w.tile_bytes, given, at, sums);
    } else {
      count_differences<kMostTiles>(from, w.tile_bytes, given, at, sums);
    }
  }

  void count_of_zeros(int64_t group) const {
    const Runs one = {1, 1, in.bytes, 0, 0};
    const uint8_t *zeros[kPixels];
    for (const uint8_t *&at : zeros) at = packed - in.bytes;
    for (int64_t tap = 0; tap < w.taps; ++tap) {
      uint16_t sums[kPixels * kWide] = {};
      count_group(group, w.codes + tap * in.bytes * kTileOutputs, one, zeros, sums);
      memcpy(of_zeros + (tap * groups() + group) * kWide, sums, kWide * sizeof *sums);
    }
  }

  // Takes back what the window at (y, x) has counted of padding; returns how many bits are inside.
  int32_t mend(int64_t y, int64_t x, int64_t group, uint16_t *sums) const {
    const int64_t top = y * stride[0] - in.top, left = x * stride[1] - in.left;
    const bool inside = top >= 0 && top + (kernel[0] - 1) * dilation[0] < in.height && left >= 0 &&
                        left + (kernel[1] - 1) * dilation[1] < in.width;
    if (inside) return static_cast<int32_t>(w.taps * in.channels);
    int64_t taps = 0;
    for (int64_t tap = 0; tap < w.taps; ++tap) {
      const int64_t row = top + tap / kernel[1] * dilation[0];
      const int64_t column = left + tap % kernel[1] * dilation[1];
      if (row >= 0 && row < in.height && column >= 0 && column < in.width) {
        ++taps;
        continue;
      }
      const uint16_t *wrong = of_zeros + (tap * groups() + group) * kWide;
      for (int i = 0; i < kWide; ++i) sums[i] -= wrong[i];
    }
    return static_cast<int32_t>(taps * in.channels);
  }

  // kPixels output pixels of image n: adds to sums (kPixels, kWide), sets inside (kPixels). Those
  // beyond the end repeat the last.
  void count(int64_t n, int64_t group, int64_t first, uint16_t *sums, int32_t *inside) const {
    int64_t y[kPixels], x[kPixels];
    const uint8_t *at[kPixels];
    for (int i = 0; i < kPixels; ++i) {
      const int64_t pixel = first + i < pixels() ? first + i : pixels() - 1;
      y[i] = pixel / out_width;
      x[i] = pixel % out_width;
      const int64_t place = y[i] * stride[0] * in.padded_width + x[i] * stride[1];
      at[i] = packed + n * in.padded_bytes() + place * in.bytes;
    }
    count_group(group, w.codes, runs, at, sums);
    for (int i = 0; i < kPixels; ++i) inside[i] = mend(y[i], x[i], group, sums + i * kWide);
  }

  // The output pixel that sees an input pixel through a tap; -1: none.
  int64_t sees(int64_t pixel, int64_t tap) const {
    const int64_t y = pixel / in.width + in.top - tap / kernel[1] * dilation[0];
    const int64_t x = pixel % in.width + in.left - tap % kernel[1] * dilation[1];
    const bool hits = y >= 0 && x >= 0 && y % stride[0] == 0 && x % stride[1] == 0 &&
                      y / stride[0] < out_height && x / stride[1] < out_width;
    return hits ? y / stride[0] * out_width + x / stride[1] : -1;
  }
};

}  // namespace smalti::SMALTI_LEVEL
