// The window of a 2-D convolution: four attributes in a row, checked, and the shape they make.
#pragma once

#include "core/op.h"

namespace smalti::SMALTI_LEVEL {

enum Window { kKernelShape, kStrides, kPads, kDilations };  // pads: top, left, bottom, right

constexpr int64_t kMostTaps = int64_t{1} << 31;  // of one attribute: their products fit 64 bits

inline Status check_window(const Value *window) {
  const Window positive[] = {kKernelShape, kStrides, kDilations};
  for (const Window name : positive) {
    bool two = window[name].count == 2;
    for (int i = 0; i < 2; ++i)
      two = two && window[name].ints[i] > 0 && window[name].ints[i] < kMostTaps;
    if (!two)
      return fail(SMALTI_INVALID,
                  "kernel_shape, strides and dilations take two positive numbers below 2^31");
  }
  bool four = window[kPads].count == 4;
  for (int i = 0; i < 4; ++i)
    four = four && window[kPads].ints[i] >= 0 && window[kPads].ints[i] < kMostTaps;
  if (!four)
    return fail(SMALTI_INVALID,
                "pads takes four numbers from 0 to below 2^31: top, left, bottom, right");
  return Status();
}

inline int64_t window_extent(int64_t in, const Value *window, int axis) {
  if (in < 0) return -1;
  const int64_t reach = window[kDilations].ints[axis] * (window[kKernelShape].ints[axis] - 1) + 1;
  const int64_t padded = in + window[kPads].ints[axis] + window[kPads].ints[axis + 2];
  return padded < reach ? 0 : (padded - reach) / window[kStrides].ints[axis] + 1;
}

// (N, C, H, W) -> (N, channels, H', W')
inline Status convolved_shape(const Shape &x, int64_t channels, const Value *window,
                              Shape *output) {
  SMALTI_TRY(check_window(window));
  if (x.rank >= 0 && x.rank != 4)
    return fail(SMALTI_INVALID, "x: rank %d, a 2-D convolution takes 4 (N, C, H, W)", x.rank);
  *output = {
      4,
      {x.rank < 0 ? -1 : x.dims[0], channels, x.rank < 0 ? -1 : window_extent(x.dims[2], window, 0),
       x.rank < 0 ? -1 : window_extent(x.dims[3], window, 1)}};
  return Status();
}

}  // namespace smalti::SMALTI_LEVEL
