// Patches of up to eight output pixels of one row, side by side: what a tap sees in all of them is
// (nearly) contiguous in the image, so taps are read eight pixels at once and then transposed.
#pragma once

#include "core/packed.h"
#include "core/transpose.h"

namespace smalti::SMALTI_LEVEL {

struct Geometry {
  int64_t channels, height, width;  // input
  int64_t out_height, out_width;
  int64_t kernel[2], stride[2], pad[2], dilation[2];

  int64_t pixels() const { return out_height * out_width; }
  int64_t image() const { return channels * height * width; }

  // Where every tap meets every pixel in turn, rows of an image do not matter.
  void flatten() {
    const bool pointwise = kernel[0] == 1 && kernel[1] == 1 && stride[0] == 1 && stride[1] == 1;
    if (!pointwise || height != out_height || width != out_width) return;
    width = out_width = height * width;
    height = out_height = 1;
  }
};

// A line of an image as one row of a kernel sees it; nullptr in the padding above or below.
struct Line {
  const float *at;
  int64_t width, count, stride;

  // What a tap sees of pixels that lie beyond the edges, or apart.
  __attribute__((noinline)) void tap(int64_t x, float *to) const {
    for (int64_t k = 0; k < kLanes; ++k, x += stride)
      to[k] = at != nullptr && k < count && x >= 0 && x < width ? at[x] : 0.0f;
  }
};

// taps (8 columns, 8 pixels) -> to (count, stride)
inline void write_taps(Floats *taps, int64_t count, float *to, int64_t stride) {
  transpose(taps);
  for (int64_t k = 0; k < count; ++k) store(taps[k], to + k * stride);
}

// Patches (channels, kernel height, kernel width) of `count` pixels of one output row, zero where
// it is padding: to (count, stride), where stride is a multiple of 8. What lies between a patch and
// the next multiple of 8 is overwritten.
inline void gather_patches(const Geometry &g, const float *image, int64_t pixel, int64_t count,
                           float *to, int64_t stride) {
  const int64_t top = pixel / g.out_width * g.stride[0] - g.pad[0];
  const int64_t left = pixel % g.out_width * g.stride[1] - g.pad[1];
  const int64_t taps = g.kernel[1], step = g.dilation[1];
  const float *last = image + g.image() - kLanes;  // where eight numbers may be read
  Floats eight[kLanes] = {};
  int64_t column = 0;
  for (int64_t row = 0; row < g.channels * g.kernel[0]; ++row) {
    const int64_t y = top + row % g.kernel[0] * g.dilation[0];
    const bool inside = y >= 0 && y < g.height;
    const float *from = image + (row / g.kernel[0] * g.height + (inside ? y : 0)) * g.width;
    const Line line = {inside ? from : nullptr, g.width, count, g.stride[1]};
    int64_t most = inside && g.stride[1] == 1 ? g.width - count : -1;
    most = most < last - from ? most : last - from;
    for (int64_t j = 0, x = left; j < taps; ++j, x += step) {
      if (x >= 0 && x <= most) {
        load(from + x, eight[column % kLanes]);
      } else {
        float values[kLanes];
        line.tap(x, values);
        load(values, eight[column % kLanes]);
      }
      if (++column % kLanes == 0) write_taps(eight, count, to + column - kLanes, stride);
    }
  }
  if (column % kLanes != 0) write_taps(eight, count, to + column / kLanes * kLanes, stride);
}

}  // namespace smalti::SMALTI_LEVEL
