// A bilateral grid as its kernel reads it: the twelve coefficients of a cell lie side by side, and
// what one row of pixels needs, its cells along z and x, is one piece.
#pragma once

#include <stdint.h>
#include <string.h>

namespace smalti::SMALTI_LEVEL {

constexpr int kCoefficients = 12;  // a matrix of three rows (A | b)
constexpr int kCell = 16;          // floats: its four columns, each padded to four

// Where pixel i of `size` lies among `cells`, within the centers of the outermost ones.
struct Place {
  int64_t first;
  float share;  // of the cell after it

  Place(int64_t i, int64_t size, int64_t cells, bool align_corners) {
    const double span = static_cast<double>(align_corners ? cells - 1 : cells);
    const double center = align_corners ? static_cast<double>(i) : static_cast<double>(i) + 0.5;
    const double steps = static_cast<double>(align_corners ? (size > 1 ? size - 1 : 1) : size);
    const double last = static_cast<double>(cells - 1);
    const double p = center * span / steps - (align_corners ? 0.0 : 0.5);
    const double inside = p < 0.0 ? 0.0 : p > last ? last : p;
    first = static_cast<int64_t>(inside);
    share = static_cast<float>(inside - static_cast<double>(first));
  }
};

// One grid, its cells as (H, Lz + 1, W + 1, kCell): the last cells along z and x are there twice,
// for pixels on them.
struct Cells {
  int64_t depth, height, width;
  float *data;

  int64_t layer() const { return (width + 1) * kCell; }
  int64_t slab() const { return (depth + 1) * layer(); }

  template <class Number>
  void fill(const Number *grid, const float *scales) const {
    memset(data, 0, height * slab() * sizeof *data);
    const int64_t plane = depth * height * width;
    for (int c = 0; c < kCoefficients; ++c) {
      const float scale = scales[c], offset = scales[kCoefficients + c];
      float *to = data + c % 4 * 4 + c / 4;  // column, row
      for (int64_t y = 0; y < height; ++y) {
        for (int64_t z = 0; z <= depth; ++z) {
          const int64_t layer = z < depth ? z : depth - 1;
          const Number *from = grid + c * plane + (layer * height + y) * width;
          for (int64_t x = 0; x <= width; ++x, to += kCell)
            *to = static_cast<float>(from[x < width ? x : width - 1]) * scale + offset;
        }
      }
    }
  }

  // to (slab()): the cells at a place along y.
  void blend(const Place &y, float *to) const {
    const float *a = data + y.first * slab();
    const float *b = data + (y.first + 1 < height ? y.first + 1 : y.first) * slab();
    const float share = y.share, rest = 1.0f - share;
    for (int64_t i = 0; i < slab(); ++i) to[i] = rest * a[i] + share * b[i];
  }
};

// All columns of an image: their first cell's offset in a slab, and the share of the second.
struct Columns {
  int32_t *offsets;
  float *shares;

  void fill(int64_t size, int64_t cells, bool align_corners) const {
    for (int64_t i = 0; i < size; ++i) {
      const Place x(i, size, cells, align_corners);
      offsets[i] = static_cast<int32_t>(x.first) * kCell;
      shares[i] = x.share;
    }
  }
};

}  // namespace smalti::SMALTI_LEVEL
