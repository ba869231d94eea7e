// Patches of eight output pixels side by side, lanes = pixels: what a position of the kernel sees
// in all of them lies side by side in the image, or with a step between.
#pragma once

#include "core/packed.h"
#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {

struct Geometry {
  int64_t channels, height, width;  // input
  int64_t out_height, out_width;
  int64_t kernel[2], stride[2], pad[2], dilation[2];

  int64_t taps() const { return kernel[0] * kernel[1]; }
  int64_t pixels() const { return out_height * out_width; }
  int64_t plane() const { return height * width; }
  int64_t line_blocks() const { return (out_width + kLanes - 1) / kLanes; }
  int64_t image_blocks() const { return out_height * line_blocks(); }

  // Where every tap meets every pixel in turn, lines of an image do not matter.
  void flatten() {
    const bool pointwise = kernel[0] == 1 && kernel[1] == 1 && stride[0] == 1 && stride[1] == 1;
    if (!pointwise || height != out_height || width != out_width) return;
    width = out_width = height * width;
    height = out_height = 1;
  }
};

// A position of the kernel in a block of pixels: which numbers from the first pixel's on are to be
// read, the others being padding or between pixels. With a stride above two, only the first eight
// count, and are for the pixels.
struct Tap {
  Ints reads[2];
};

// A column of patches (channels, kernel height, kernel width).
struct Column {
  int64_t offset;  // of its number in an image, from that of column 0
  const Tap *tap;
  float factor;
};

inline void find_columns(const Geometry &g, const Tap *taps, Column *to) {
  for (int64_t c = 0; c < g.channels; ++c) {
    for (int64_t i = 0; i < g.kernel[0]; ++i) {
      for (int64_t j = 0; j < g.kernel[1]; ++j, ++to) {
        to->offset = c * g.plane() + i * g.dilation[0] * g.width + j * g.dilation[1];
        to->tap = taps + i * g.kernel[1] + j;
      }
    }
  }
}

// The block of pixels from (line, first) on, as its first tap sees it.
struct Corner {
  int64_t y, x, pixels;

  Corner(const Geometry &g, int64_t line, int64_t first)
      : y(line * g.stride[0] - g.pad[0]),
        x(first * g.stride[1] - g.pad[1]),
        pixels(g.out_width - first < kLanes ? g.out_width - first : kLanes) {}
};

inline Tap tap_at(const Geometry &g, int64_t y, int64_t x, int64_t pixels) {
  Tap tap = {};
  if (y < 0 || y >= g.height) return tap;
  for (int64_t k = 0; k < pixels; ++k) {
    const int64_t at = g.stride[1] == 2 ? 2 * k : k, pixel = x + k * g.stride[1];
    tap.reads[at / kLanes][at % kLanes] = pixel >= 0 && pixel < g.width ? -1 : 0;
  }
  return tap;
}

inline void find_taps(const Geometry &g, const Corner &at, Tap *to) {
  for (int64_t i = 0; i < g.kernel[0]; ++i) {
    for (int64_t j = 0; j < g.kernel[1]; ++j)
      *to++ = tap_at(g, at.y + i * g.dilation[0], at.x + j * g.dilation[1], at.pixels);
  }
}

template <int kStep>  // 0: any, `step`
SMALTI_INLINE void look(const Column &column, const float *corner, int64_t step, Floats &to) {
  const float *from = corner + column.offset;
  const Ints *reads = column.tap->reads;
  if constexpr (kStep == 1) {
    load_some(from, reads[0], to);
  } else if constexpr (kStep == 2) {
    Floats low, high, odds;
    load_some(from, reads[0], low);
    load_some(from + kLanes, reads[1], high);
    split_pairs(low, high, to, odds);
  } else {
    float values[kLanes];
    for (int k = 0; k < kLanes; ++k) values[k] = reads[0][k] ? from[k * step] : 0.0f;
    load(values, to);
  }
  to *= column.factor;
}

// What `columns` see; mix(Floats *eight) changes eight of them before they go to memory.
template <int kStep, class Mix>
inline void gather(const Column *columns, int64_t count, const float *corner, int64_t step,
                   const Mix &mix, Floats *to) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    Floats eight[8];
    unrolled<8>([&](int k)
                    SMALTI_INLINE_LAMBDA { look<kStep>(columns[i + k], corner, step, eight[k]); });
    mix(eight);
    unrolled<8>([&](int k) SMALTI_INLINE_LAMBDA { to[i + k] = eight[k]; });
  }
  for (; i < count; ++i) look<kStep>(columns[i], corner, step, to[i]);
}

template <class Mix>
inline void gather(const Column *columns, int64_t count, const float *corner, int64_t step,
                   const Mix &mix, Floats *to) {
  if (step == 1) return gather<1>(columns, count, corner, step, mix, to);
  if (step == 2) return gather<2>(columns, count, corner, step, mix, to);
  gather<0>(columns, count, corner, step, mix, to);
}

}  // namespace smalti::SMALTI_LEVEL
