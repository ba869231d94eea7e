// Affine changes of colour from a bilateral grid. A row of pixels shares its place along y: the
// grid is interpolated there once, to a slab of (z, x) cells that stays in the first-level cache.
// A pixel then adds up four cells, whose twelve coefficients lie side by side.
#include "core/packed.h"
#include "core/ranges.h"
#include "core/vector.h"
#include "ops/bilateral_slice/cells.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kGrid, kImage, kScales, kGuide };

constexpr int kPixels = 128;                      // located at once
constexpr int64_t kPixelWork = 64;                // multiplications, about
constexpr int64_t kMaxValues = int64_t{1} << 27;  // of a grid, so that offsets are int32

Status check_rank(const char *name, const Shape &given, int rank, const char *axes) {
  if (given.rank == rank || given.rank < 0) return Status();
  return fail(SMALTI_INVALID, "%s: rank %d; pass %s", name, given.rank, axes);
}

Status check_size(const char *name, const Shape &given, int axis, int64_t wanted) {
  const int64_t size = given.rank < 0 ? -1 : given.dims[axis];
  if (size < 0 || wanted < 0 || size == wanted) return Status();
  return fail(SMALTI_INVALID, "%s: dimension %d is %lld; pass %lld", name, axis,
              static_cast<long long>(size), static_cast<long long>(wanted));
}

Status check_grid(const Shape &grid) {
  SMALTI_TRY(check_rank("grid", grid, 5, "(B, 12, Lz, H, W)"));
  SMALTI_TRY(check_size("grid", grid, 1, kCoefficients));
  for (int i = 2; i < grid.rank; ++i) {
    if (grid.dims[i] == 0)
      return fail(SMALTI_INVALID, "grid: dimension %d is 0; pass a grid of at least one cell", i);
  }
  return Status();
}

Status check_guide(const Shape &guide, const Shape &image) {
  SMALTI_TRY(check_rank("guide", guide, 3, "(B, h, w)"));
  if (image.rank < 0) return Status();
  SMALTI_TRY(check_size("guide", guide, 0, image.dims[0]));
  SMALTI_TRY(check_size("guide", guide, 1, image.dims[2]));
  return check_size("guide", guide, 2, image.dims[3]);
}

Status shape(const Shape *inputs, const Value *, Shape *output) {
  const Shape &grid = inputs[kGrid], &image = inputs[kImage], &scales = inputs[kScales];
  SMALTI_TRY(check_grid(grid));
  SMALTI_TRY(check_rank("image", image, 4, "(B, 3, h, w)"));
  SMALTI_TRY(check_size("image", image, 1, 3));
  if (image.rank >= 0 && grid.rank >= 0 && grid.dims[0] != 1)
    SMALTI_TRY(check_size("grid", grid, 0, image.dims[0]));
  SMALTI_TRY(check_rank("scales", scales, 2, "(2, 12)"));
  SMALTI_TRY(check_size("scales", scales, 0, 2));
  SMALTI_TRY(check_size("scales", scales, 1, kCoefficients));
  SMALTI_TRY(check_guide(inputs[kGuide], image));
  *output = image;
  if (image.rank >= 0) output->dims[1] = 3;
  return Status();
}

// How a guide becomes a position along z.
struct Depth {
  float scale, shift, last;
  int32_t layer;

  Depth(const Cells &cells, bool align_corners)
      : scale(static_cast<float>(align_corners ? cells.depth - 1 : cells.depth)),
        shift(align_corners ? 0.0f : -0.5f),
        last(static_cast<float>(cells.depth - 1)),
        layer(static_cast<int32_t>(cells.layer())) {}
};

struct Block {
  int32_t offsets[kPixels];
  float weights[4][kPixels];  // of the cell, its neighbours along x, z, both

  // guide: where the pixels are along z; NaN gives NaN weights of cells that exist.
  void locate(const float *guide, const int32_t *columns, const float *shares, const Depth &depth,
              int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const float p = guide[i] * depth.scale + depth.shift;
      const float positive = p > 0.0f ? p : 0.0f;
      const float inside = positive < depth.last ? positive : depth.last;
      const int32_t first = static_cast<int32_t>(inside);
      const float z = (guide[i] == guide[i] ? inside : guide[i]) - static_cast<float>(first),
                  x = shares[i];
      offsets[i] = columns[i] + first * depth.layer;
      weights[0][i] = (1.0f - z) * (1.0f - x);
      weights[1][i] = (1.0f - z) * x;
      weights[2][i] = z * (1.0f - x);
      weights[3][i] = z * x;
    }
  }
};

typedef float Column __attribute__((vector_size(16)));

struct Planes {
  const float *in;
  float *out;
  int64_t stride;  // of a colour
};

void apply(const Block &block, const float *slab, int64_t layer, const Planes &at, int64_t count) {
  const float *in = at.in;
  float *out = at.out;
  for (int64_t i = 0; i < count; ++i) {
    const float *cell = slab + block.offsets[i];
    Floats low, high, a, b;
    for (int corner = 0; corner < 4; ++corner) {
      const float *from = cell + (corner / 2) * layer + (corner % 2) * kCell;
      load(from, a);
      load(from + 8, b);
      const float w = block.weights[corner][i];
      low = corner == 0 ? w * a : low + w * a;
      high = corner == 0 ? w * b : high + w * b;
    }
    const float red = in[i], green = in[at.stride + i], blue = in[2 * at.stride + i];
    const Floats first = {red, red, red, red, green, green, green, green};
    const Floats second = {blue, blue, blue, blue, 1.0f, 1.0f, 1.0f, 1.0f};
    const Floats sum = low * first + high * second;
    const Column y = __builtin_shufflevector(sum, sum, 0, 1, 2, 3) +
                     __builtin_shufflevector(sum, sum, 4, 5, 6, 7);
    out[i] = y[0];
    out[at.stride + i] = y[1];
    out[2 * at.stride + i] = y[2];
  }
}

void luma(const float *rgb, int64_t stride, int64_t count, float *to) {
  for (int64_t i = 0; i < count; ++i)
    to[i] = 0.299f * rgb[i] + 0.587f * rgb[stride + i] + 0.114f * rgb[2 * stride + i];
}

// One image, its grid and its guide (nullptr: luma).
struct Slice {
  const Cells &cells;
  const Columns &columns;
  const Depth &depth;
  const float *image, *guide;
  float *to;
  int64_t height, width;

  void row(int64_t y, const float *slab) const {
    const int64_t stride = height * width;
    Block block;
    float gray[kPixels];
    for (int64_t x = 0; x < width; x += kPixels) {
      const int64_t at = y * width + x, count = width - x < kPixels ? width - x : kPixels;
      if (guide == nullptr) luma(image + at, stride, count, gray);
      block.locate(guide == nullptr ? gray : guide + at, columns.offsets + x, columns.shares + x,
                   depth, count);
      apply(block, slab, cells.layer(), {image + at, to + at, stride}, count);
    }
  }
};

// Rows in ranges, each range with a slab of its own.
Status slice(const Call &call, const Slice &image) {
  const bool align_corners = call.attributes[0].i != 0;
  const Cells &cells = image.cells;
  const int64_t bytes = cells.slab() * static_cast<int64_t>(sizeof(float));
  bool exhausted = false;
  const int64_t work = image.width * kPixelWork + cells.slab();
  in_ranges(call.parallel, image.height, work, [&](int64_t begin, int64_t end) {
    float *slab = static_cast<float *>(scratch(Slot::kTask, bytes));
    if (slab == nullptr) __atomic_store_n(&exhausted, true, __ATOMIC_RELAXED);
    for (int64_t y = begin; y < end && slab != nullptr; ++y) {
      cells.blend(Place(y, image.height, cells.height, align_corners), slab);
      image.row(y, slab);
    }
  });
  return exhausted ? no_memory(bytes) : Status();
}

void fill(const Cells &cells, const Tensor &grid, int64_t first, const float *scales) {
  if (grid.type == SMALTI_I8) {
    cells.fill(static_cast<const int8_t *>(grid.data) + first, scales);
  } else {
    cells.fill(static_cast<const float *>(grid.data) + first, scales);
  }
}

Status run(const Call &call) {
  const Tensor &grid = call.inputs[kGrid], &image = call.inputs[kImage];
  const bool align_corners = call.attributes[0].i != 0;
  const int64_t height = image.dims[2], width = image.dims[3], pixels = height * width;
  Cells cells = {grid.dims[2], grid.dims[3], grid.dims[4], nullptr};
  const int64_t values = kCoefficients * cells.depth * cells.height * cells.width;
  if (values > kMaxValues)
    return fail(SMALTI_INVALID, "grid: %lld values for an image; pass at most 2^27",
                static_cast<long long>(values));
  const int64_t floats = cells.height * cells.slab(), bytes = (floats + 2 * width) * 4;
  cells.data = static_cast<float *>(scratch(Slot::kCall, bytes));
  if (cells.data == nullptr) return no_memory(bytes);
  float *shares = cells.data + floats;
  const Columns columns = {reinterpret_cast<int32_t *>(shares + width), shares};
  columns.fill(width, cells.width, align_corners);
  const Depth depth(cells, align_corners);
  const float *scales = static_cast<const float *>(call.inputs[kScales].data);
  const float *rgb = static_cast<const float *>(image.data);
  const float *guide = static_cast<const float *>(call.inputs[kGuide].data);
  float *to = static_cast<float *>(call.output->data);
  for (int64_t n = 0; n < image.dims[0]; ++n, rgb += 3 * pixels, to += 3 * pixels) {
    if (n < grid.dims[0]) fill(cells, grid, n * values, scales);
    const float *z = guide == nullptr ? nullptr : guide + n * pixels;
    SMALTI_TRY(slice(call, {cells, columns, depth, rgb, z, to, height, width}));
  }
  return Status();
}

}  // namespace

extern const Op BilateralSlice;
const Op BilateralSlice = {"BilateralSlice",
                           4,
                           {{"grid", SMALTI_F32, false, type_bit(SMALTI_I8)},
                            {"image", SMALTI_F32},
                            {"scales", SMALTI_F32},
                            {"guide", SMALTI_F32, true}},
                           {"y", SMALTI_F32},
                           1,
                           {{"align_corners", Kind::kInt}},
                           shape,
                           run};

}  // namespace smalti::SMALTI_LEVEL
