// Values of an image, or of a volume, at the points of a grid. Points are located once, a block at
// a time: which pixels take part, and their weights. Every channel then adds up the same pixels.
#include "core/packed.h"
#include "core/sampling.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kGrid };
enum Attributes { kMode, kPaddingMode, kAlignCorners };

constexpr int kMaxTaps = 16;                      // cubic: 4 x 4 pixels a point
constexpr int kPoints = 128;                      // located at once: 16 KB of taps
constexpr int64_t kMaxPixels = int64_t{1} << 30;  // so that offsets are int32

Status check_attributes(const Value *a) {
  if (a[kMode].i < kLinear || a[kMode].i > kCubic)
    return fail(SMALTI_INVALID, "mode: %lld; pass 0 (linear), 1 (nearest) or 2 (cubic)",
                static_cast<long long>(a[kMode].i));
  if (a[kPaddingMode].i < kZeros || a[kPaddingMode].i > kReflection)
    return fail(SMALTI_INVALID, "padding_mode: %lld; pass 0 (zeros), 1 (border) or 2 (reflection)",
                static_cast<long long>(a[kPaddingMode].i));
  return Status();
}

Status check_rank(const char *name, int rank, int64_t mode) {
  if (rank < 0) return Status();
  if (rank != 4 && rank != 5)
    return fail(SMALTI_INVALID, "%s: rank %d; pass 4 (images) or 5 (volumes)", name, rank);
  if (rank == 5 && mode == kCubic)
    return fail(SMALTI_INVALID,
                "mode: 2 (cubic) samples images only, %s has rank 5; pass 0 (linear)", name);
  return Status();
}

Status check_pixels(const Shape &x) {
  for (int i = 2; i < x.rank; ++i) {
    if (x.dims[i] == 0)
      return fail(SMALTI_INVALID, "x: dimension %d is 0; pass images of at least one pixel", i);
  }
  return Status();
}

Status check_grid(const Shape &x, const Shape &grid) {
  const int axes = grid.rank - 2;
  const int64_t coordinates = grid.dims[grid.rank - 1];
  if (coordinates >= 0 && coordinates != axes)
    return fail(SMALTI_INVALID, "grid: %lld coordinates a point; a grid of rank %d takes %d",
                static_cast<long long>(coordinates), grid.rank, axes);
  if (x.rank < 0) return Status();
  if (x.rank != grid.rank)
    return fail(SMALTI_INVALID, "grid: rank %d; pass %d as for x", grid.rank, x.rank);
  if (x.dims[0] >= 0 && grid.dims[0] >= 0 && x.dims[0] != grid.dims[0])
    return fail(SMALTI_INVALID, "grid: a batch of %lld; pass one grid for each of x's %lld images",
                static_cast<long long>(grid.dims[0]), static_cast<long long>(x.dims[0]));
  return Status();
}

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  const Shape &x = inputs[kX], &grid = inputs[kGrid];
  SMALTI_TRY(check_attributes(attributes));
  SMALTI_TRY(check_rank("x", x.rank, attributes[kMode].i));
  SMALTI_TRY(check_rank("grid", grid.rank, attributes[kMode].i));
  SMALTI_TRY(check_pixels(x));
  if (grid.rank < 0) return Status();
  SMALTI_TRY(check_grid(x, grid));
  *output = {grid.rank, {grid.dims[0], x.rank < 0 ? -1 : x.dims[1]}};
  if (x.rank >= 0 && x.dims[0] >= 0) output->dims[0] = x.dims[0];
  for (int i = 2; i < grid.rank; ++i) output->dims[i] = grid.dims[i - 1];
  return Status();
}

// The pixels of up to kPoints points: offsets into the image (-1: a zero), weights.
struct Block {
  int32_t offsets[kMaxTaps][kPoints];
  float weights[kMaxTaps][kPoints];

  // Each tap of the slower axes, met with each of this axis: a row-major offset grows by an axis.
  void meet(const Axis &axis, float coordinate, int before, int64_t point) {
    int32_t pixels[4];
    float shares[4];
    axis.locate(coordinate, pixels, shares);
    const int taps_here = axis.taps();
    for (int i = before - 1; i >= 0; --i) {  // backwards, as results overwrite what they come from
      const int32_t offset = offsets[i][point];
      const float weight = weights[i][point];
      for (int j = 0; j < taps_here; ++j) {
        const bool zero = offset < 0 || pixels[j] < 0;
        offsets[i * taps_here + j][point] = zero ? -1 : offset * axis.size + pixels[j];
        weights[i * taps_here + j][point] = weight * shares[j];
      }
    }
  }

  // coordinates (count, axes), x first; axes from the slowest, x last.
  void locate(const Axis *axes, int axis_count, const float *coordinates, int64_t count) {
    for (int64_t point = 0; point < count; ++point, coordinates += axis_count) {
      offsets[0][point] = 0;
      weights[0][point] = 1.0f;
      int before = 1;
      for (int a = 0; a < axis_count; ++a) {
        meet(axes[a], coordinates[axis_count - 1 - a], before, point);
        before *= axes[a].taps();
      }
    }
  }

  void sample(const float *image, int taps, int64_t count, float *to) const {
    memset(to, 0, count * sizeof *to);
    for (int tap = 0; tap < taps; ++tap) {
      for (int64_t i = 0; i < count; ++i) {
        const int32_t offset = offsets[tap][i];
        const float pixel = image[offset < 0 ? 0 : offset];
        to[i] += weights[tap][i] * (offset < 0 ? 0.0f : pixel);
      }
    }
  }
};

Status run(const Call &call) {
  const Tensor &x = call.inputs[kX], &y = *call.output;
  const int axis_count = x.rank - 2;
  const int64_t channels = x.dims[1], pixels = elements(x) / (x.dims[0] * channels);
  if (pixels > kMaxPixels)
    return fail(SMALTI_INVALID, "x: images of %lld pixels; pass at most 2^30",
                static_cast<long long>(pixels));
  Axis axes[3];
  int taps = 1;
  for (int a = 0; a < axis_count; ++a) {
    axes[a] = {call.attributes[kMode].i, call.attributes[kPaddingMode].i,
               call.attributes[kAlignCorners].i != 0, static_cast<int32_t>(x.dims[2 + a])};
    taps *= axes[a].taps();
  }
  const float *from = static_cast<const float *>(x.data);
  const float *grid = static_cast<const float *>(call.inputs[kGrid].data);
  float *to = static_cast<float *>(y.data);
  const int64_t points = elements(y) / (y.dims[0] * channels);
  const int64_t blocks = (points + kPoints - 1) / kPoints;
  call.parallel(x.dims[0] * blocks, [&](int64_t task) {
    const int64_t n = task / blocks, first = task % blocks * kPoints;
    const int64_t count = points - first < kPoints ? points - first : kPoints;
    Block block;
    block.locate(axes, axis_count, grid + (n * points + first) * axis_count, count);
    for (int64_t plane = n * channels; plane < (n + 1) * channels; ++plane)
      block.sample(from + plane * pixels, taps, count, to + plane * points + first);
  });
  return Status();
}

}  // namespace

extern const Op GridSample;
const Op GridSample = {
    "GridSample",
    2,
    {{"x", SMALTI_F32}, {"grid", SMALTI_F32}},
    {"y", SMALTI_F32},
    3,
    {{"mode", Kind::kInt}, {"padding_mode", Kind::kInt}, {"align_corners", Kind::kInt}},
    shape,
    run};

}  // namespace smalti::SMALTI_LEVEL
