// Values of an image, or of a volume, at the points of a grid. Points are located once, a block at
// a time: which pixels take part, and their weights. Every channel then adds up the same pixels.
#include "core/packed.h"
#include "core/ranges.h"
#include "ops/grid_sample/pixels.h"
#include "ops/grid_sample/planes.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kGrid };
enum Attributes { kMode, kPaddingMode, kAlignCorners, kChannelsLast };

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

// first: the dimension of x that is its slowest axis.
Status check_pixels(const Shape &x, int first) {
  for (int i = first; i < first + x.rank - 2; ++i) {
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
  const bool last = attributes[kChannelsLast].i != 0;
  SMALTI_TRY(check_attributes(attributes));
  SMALTI_TRY(check_rank("x", x.rank, attributes[kMode].i));
  SMALTI_TRY(check_rank("grid", grid.rank, attributes[kMode].i));
  SMALTI_TRY(check_pixels(x, last ? 1 : 2));
  if (grid.rank < 0) return Status();
  SMALTI_TRY(check_grid(x, grid));
  const int channel = last ? grid.rank - 1 : 1, first = last ? 1 : 2;
  *output = {grid.rank, {grid.dims[0]}};
  if (x.rank >= 0 && x.dims[0] >= 0) output->dims[0] = x.dims[0];
  output->dims[channel] = x.rank < 0 ? -1 : x.dims[channel];
  for (int i = 0; i < grid.rank - 2; ++i) output->dims[first + i] = grid.dims[1 + i];
  return Status();
}

template <int kMode, int kAxes>
constexpr int taps = taps_of(kMode) * taps_of(kMode) * (kAxes == 2 ? 1 : taps_of(kMode));

// A call, read from its tensors.
struct Sampling {
  Axis axes[3];
  int axis_count;
  int64_t images, channels, pixels, points;  // pixels and points of one image
  bool last;
  const float *x, *grid;
  float *y;

  explicit Sampling(const Call &call)
      : axis_count(call.inputs[kX].rank - 2),
        images(call.inputs[kX].dims[0]),
        pixels(1),
        points(1),
        last(call.attributes[kChannelsLast].i != 0),
        x(static_cast<const float *>(call.inputs[kX].data)),
        grid(static_cast<const float *>(call.inputs[kGrid].data)),
        y(static_cast<float *>(call.output->data)) {
    const int64_t *dims = call.inputs[kX].dims;
    channels = dims[last ? axis_count + 1 : 1];
    for (int a = 0; a < axis_count; ++a) {
      const int64_t size = dims[a + (last ? 1 : 2)];
      axes[a] = {call.attributes[kPaddingMode].i, call.attributes[kAlignCorners].i != 0,
                 static_cast<int32_t>(size)};
      pixels *= size;
      points *= call.inputs[kGrid].dims[1 + a];
    }
  }

  // Points [first, first + count) of image n.
  template <int kMode, int kAxes>
  void sample(int64_t n, int64_t first, int64_t count) const {
    constexpr int kTaps = taps<kMode, kAxes>;
    Block<kTaps> block;
    block.count = count;
    block.template locate<kMode, kAxes>(axes, grid + (n * points + first) * kAxes);
    const float *image = x + n * pixels * channels;
    float *to = y + n * points * channels;
    if (last && channels > 1)
      return sample_pixels<kTaps>(block, image, pixels, channels, to + first * channels);
    for (int64_t c = 0; c < channels; ++c)
      Planes<kTaps>::sample(block, image + c * pixels, to + c * points + first);
  }

  template <int kMode, int kAxes>
  Status run(const Parallel &parallel) const {
    const int64_t size = last && channels > 1 ? kTogether : Block<taps<kMode, kAxes>>::kPoints;
    const int64_t blocks = (points + size - 1) / size, work = taps<kMode, kAxes> * channels;
    in_ranges(parallel, images * blocks, size * work, [&](int64_t i, int64_t end) {
      for (; i < end; ++i) {
        const int64_t first = i % blocks * size, left = points - first;
        sample<kMode, kAxes>(i / blocks, first, left < size ? left : size);
      }
    });
    return Status();
  }
};

Status run(const Call &call) {
  const Sampling sampling(call);
  if (sampling.pixels > kMaxPixels)
    return fail(SMALTI_INVALID, "x: images of %lld pixels; pass at most 2^30",
                static_cast<long long>(sampling.pixels));
  const int64_t mode = call.attributes[kMode].i;
  if (mode == kCubic) return sampling.run<kCubic, 2>(call.parallel);
  if (sampling.axis_count == 2)
    return mode == kNearest ? sampling.run<kNearest, 2>(call.parallel)
                            : sampling.run<kLinear, 2>(call.parallel);
  return mode == kNearest ? sampling.run<kNearest, 3>(call.parallel)
                          : sampling.run<kLinear, 3>(call.parallel);
}

}  // namespace

extern const Op GridSample;
const Op GridSample = {"GridSample",
                       2,
                       {{"x", SMALTI_F32}, {"grid", SMALTI_F32}},
                       {"y", SMALTI_F32},
                       4,
                       {{"mode", Kind::kInt},
                        {"padding_mode", Kind::kInt},
                        {"align_corners", Kind::kInt},
                        {"channels_last", Kind::kInt}},
                       shape,
                       run};

}  // namespace smalti::SMALTI_LEVEL
