// Cubic convolution to another size, one output row at a time: four input rows are blended into
// one, and four of its pixels into each output pixel.
#include "core/cubic.h"
#include "core/packed.h"
#include "core/ranges.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Attributes { kSizes, kAlignCorners };

constexpr int64_t kMaxSize = int64_t{1} << 30;  // so that columns are int32
constexpr int kTaps = 4;

Status check_sizes(const Value &sizes) {
  bool sound = sizes.count == 2;
  for (int i = 0; i < sizes.count; ++i) sound &= sizes.ints[i] > 0 && sizes.ints[i] <= kMaxSize;
  if (sound) return Status();
  return fail(SMALTI_INVALID, "sizes: %d numbers; pass height and width, from 1 to 2^30",
              sizes.count);
}

Status check_x(const Shape &x) {
  if (x.rank < 0) return Status();
  if (x.rank != 4) return fail(SMALTI_INVALID, "x: rank %d; pass 4 (N, C, H, W)", x.rank);
  for (int i = 2; i < 4; ++i) {
    if (x.dims[i] == 0 || x.dims[i] > kMaxSize)
      return fail(SMALTI_INVALID, "x: dimension %d is %lld; pass images of 1 to 2^30 pixels", i,
                  static_cast<long long>(x.dims[i]));
  }
  return Status();
}

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  const Shape &x = inputs[0];
  const Value &sizes = attributes[kSizes];
  SMALTI_TRY(check_sizes(sizes));
  SMALTI_TRY(check_x(x));
  const bool known = x.rank >= 0;
  *output = {4, {known ? x.dims[0] : -1, known ? x.dims[1] : -1, sizes.ints[0], sizes.ints[1]}};
  return Status();
}

// An axis of `from` pixels, resized to `to`.
struct Axis {
  int64_t from, to;
  bool align_corners;

  // Of output pixel i, in input pixels. Double: offsets near an edge keep all of float's bits.
  double position(int64_t i) const {
    const double in = static_cast<double>(from), out = static_cast<double>(to);
    if (!align_corners) return (static_cast<double>(i) + 0.5) * (in / out) - 0.5;
    return to == 1 ? 0.0 : static_cast<double>(i) * ((in - 1.0) / (out - 1.0));
  }

  void locate(int64_t i, int32_t *pixels, float *weights) const {
    const double p = position(i);
    const int64_t cut = static_cast<int64_t>(p), first = cut - (static_cast<double>(cut) > p);
    for (int tap = 0; tap < kTaps; ++tap) {
      const int64_t pixel = first + tap - 1;
      pixels[tap] = static_cast<int32_t>(pixel < 0 ? 0 : pixel < from ? pixel : from - 1);
    }
    cubic_weights(static_cast<float>(p - static_cast<double>(first)), weights);
  }
};

// Of every output column: pixels and weights (kTaps, columns).
struct Columns {
  int64_t count;
  int32_t *pixels;
  float *weights;

  Columns(const Axis &axis, void *memory)
      : count(axis.to),
        pixels(static_cast<int32_t *>(memory)),
        weights(reinterpret_cast<float *>(pixels + kTaps * count)) {
    for (int64_t i = 0; i < count; ++i) {
      int32_t found[kTaps];
      float shares[kTaps];
      axis.locate(i, found, shares);
      for (int tap = 0; tap < kTaps; ++tap) {
        pixels[tap * count + i] = found[tap];
        weights[tap * count + i] = shares[tap];
      }
    }
  }

  static int64_t bytes(int64_t count) { return kTaps * count * (sizeof(int32_t) + sizeof(float)); }

  void blend(const float *line, float *to) const {
    memset(to, 0, count * sizeof *to);
    for (int tap = 0; tap < kTaps; ++tap) {
      const int32_t *pixel = pixels + tap * count;
      const float *weight = weights + tap * count;
      for (int64_t i = 0; i < count; ++i) to[i] += weight[i] * line[pixel[i]];
    }
  }
};

// Row i of the resized height, still as wide as the image.
void blend_rows(const Axis &axis, int64_t i, const float *image, int64_t width, float *line) {
  int32_t rows[kTaps];
  float weights[kTaps];
  axis.locate(i, rows, weights);
  memset(line, 0, width * sizeof *line);
  for (int tap = 0; tap < kTaps; ++tap) {
    const float *row = image + rows[tap] * width;
    for (int64_t x = 0; x < width; ++x) line[x] += weights[tap] * row[x];
  }
}

Status run(const Call &call) {
  const Tensor &x = call.inputs[0], &y = *call.output;
  const bool align_corners = call.attributes[kAlignCorners].i != 0;
  const int64_t height = x.dims[2], width = x.dims[3], out_height = y.dims[2];
  const Axis down = {height, out_height, align_corners}, across = {width, y.dims[3], align_corners};
  void *memory = scratch(Slot::kCall, Columns::bytes(across.to));
  if (memory == nullptr) return no_memory(Columns::bytes(across.to));
  const Columns columns(across, memory);
  const float *from = static_cast<const float *>(x.data);
  float *to = static_cast<float *>(y.data);
  const int64_t rows = y.dims[0] * y.dims[1] * out_height, work = kTaps * (width + across.to);
  bool exhausted = false;
  in_ranges(call.parallel, rows, work, [&](int64_t begin, int64_t end) {
    float *line = static_cast<float *>(scratch(Slot::kTask, width * sizeof *line));
    if (line == nullptr) __atomic_store_n(&exhausted, true, __ATOMIC_RELAXED);
    for (int64_t row = begin; row < end && line != nullptr; ++row) {
      const float *image = from + row / out_height * height * width;
      blend_rows(down, row % out_height, image, width, line);
      columns.blend(line, to + row * across.to);
    }
  });
  return exhausted ? no_memory(width * sizeof(float)) : Status();
}

}  // namespace

extern const Op ResizeCubic;
const Op ResizeCubic = {"ResizeCubic",
                        1,
                        {{"x", SMALTI_F32}},
                        {"y", SMALTI_F32},
                        2,
                        {{"sizes", Kind::kInts}, {"align_corners", Kind::kInt}},
                        shape,
                        run};

}  // namespace smalti::SMALTI_LEVEL
