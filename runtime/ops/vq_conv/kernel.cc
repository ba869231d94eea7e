// 2-D convolution, NCHW: every output pixel's patch is gathered, rotated and met with the packed
// weights, eight pixels of a line at once. Patches are (channel, kernel row, kernel column), as
// Conv weights are. One group.
#include "core/hadamard.h"
#include "core/matmul.h"
#include "core/transpose.h"
#include "core/window.h"
#include "ops/vq_conv/patches.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kCodes, kScales, kGrid, kBias };
enum Attributes { kOutChannels, kStep, kInt8, kBlock, kSeed, kWindow };

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  return convolved_shape(inputs[kX], attributes[kOutChannels].i, attributes + kWindow, output);
}

Geometry geometry(const Call &call) {
  const int64_t *in = call.inputs[kX].dims, *out = call.output->dims;
  const Value *a = call.attributes + kWindow;
  Geometry found = {in[1],
                    in[2],
                    in[3],
                    out[2],
                    out[3],
                    {a[kKernelShape].ints[0], a[kKernelShape].ints[1]},
                    {a[kStrides].ints[0], a[kStrides].ints[1]},
                    {a[kPads].ints[0], a[kPads].ints[1]},
                    {a[kDilations].ints[0], a[kDilations].ints[1]}};
  found.flatten();
  return found;
}

Status check(const Call &call, const Weights &w, const Geometry &g) {
  const int64_t patch = g.channels * g.kernel[0] * g.kernel[1];
  if (patch != w.header.columns)
    return fail(SMALTI_INVALID,
                "x: %lld channels x a kernel of %lld x %lld make patches of %lld, the weights have "
                "%u columns",
                static_cast<long long>(g.channels), static_cast<long long>(g.kernel[0]),
                static_cast<long long>(g.kernel[1]), static_cast<long long>(patch),
                w.header.columns);
  if (call.attributes[kOutChannels].i != w.header.rows)
    return fail(SMALTI_CORRUPT, "out_channels is %lld, the weights have %u rows",
                static_cast<long long>(call.attributes[kOutChannels].i), w.header.rows);
  if (call.inputs[kBias].data != nullptr)
    SMALTI_TRY(expect_count("bias", elements(call.inputs[kBias]), w.header.rows));
  const int64_t block = call.attributes[kBlock].i;
  SMALTI_TRY(check_block(block, patch));
  return check_rotation(w.header, block, static_cast<uint64_t>(call.attributes[kSeed].i));
}

// Blocks of up to kLanes pixels of one output line, for multiply().
struct Pixels {
  Geometry g;
  int64_t images, columns, padded_columns, channels;
  int block;
  uint64_t seed;
  const float *x, *bias;
  float *y;  // (images, channels, pixels)

  // A thread's scratch: what columns see in a block of pixels, the columns, the taps.
  Floats *seen(void *scratch) const { return static_cast<Floats *>(scratch); }
  Tap *taps(void *scratch) const { return reinterpret_cast<Tap *>(seen(scratch) + padded_columns); }
  Column *all_columns(void *scratch) const {
    return reinterpret_cast<Column *>(taps(scratch) + g.taps());
  }
  int64_t scratch_bytes() const {
    return padded_columns * sizeof(Floats) + g.taps() * sizeof(Tap) + columns * sizeof(Column);
  }

  int64_t units() const { return images * g.image_blocks(); }
  int64_t image(int64_t unit) const { return unit / g.image_blocks(); }
  int64_t line(int64_t unit) const { return unit % g.image_blocks() / g.line_blocks(); }
  int64_t first_pixel(int64_t unit) const { return unit % g.line_blocks() * kLanes; }
  int rows(int64_t unit) const {
    const int64_t left = g.out_width - first_pixel(unit);
    return left < kLanes ? static_cast<int>(left) : kLanes;
  }

  void start(void *scratch) const {
    Column *column = all_columns(scratch);
    find_columns(g, taps(scratch), column);
    float *factors = reinterpret_cast<float *>(seen(scratch));
    for (int64_t i = 0; i < columns; ++i) factors[i] = hadamard_norm(block);
    flip_signs(seed, columns, factors, factors);
    for (int64_t i = 0; i < columns; ++i) column[i].factor = factors[i];
    memset(seen(scratch) + columns, 0, (padded_columns - columns) * sizeof(Floats));
  }

  Floats *fill(int64_t unit, void *scratch) const {
    const Corner corner(g, line(unit), first_pixel(unit));
    const float *from = x + image(unit) * g.channels * g.plane() + corner.y * g.width + corner.x;
    const Column *column = all_columns(scratch);
    Floats *to = seen(scratch);
    find_taps(g, corner, taps(scratch));
    if (block / paley_order(block) < 8) {
      gather(column, columns, from, g.stride[1], [](Floats *) {}, to);
      for (int64_t i = 0; i < columns; i += block) hadamard_of_lanes(to + i, block, 1);
      return to;
    }
    for (int64_t i = 0; i < columns; i += block) {
      const auto mix = [](Floats *eight) SMALTI_INLINE_LAMBDA { three_stages(eight); };
      gather(column + i, block, from, g.stride[1], mix, to + i);
      hadamard_of_lanes(to + i, block, 8);
    }
    return to;
  }

  void write(int64_t unit, int64_t tile, const float *out) const {
    const int64_t first = tile * kTileRows, count = rows(unit);
    float *to = y + (image(unit) * channels + first) * g.pixels() + line(unit) * g.out_width +
                first_pixel(unit);
    for (int64_t half = 0; half < kTileRows; half += kLanes) {
      Floats eight[kLanes];
      for (int i = 0; i < kLanes; ++i) load(out + i * kTileRows + half, eight[i]);
      transpose(eight);
      for (int64_t i = half; i < half + kLanes && first + i < channels; ++i, to += g.pixels()) {
        if (bias != nullptr) eight[i - half] += bias[first + i];
        store_first(eight[i - half], count, to);
      }
    }
  }
};

Status run(const Call &call) {
  Weights w;
  SMALTI_TRY(open_weights(call.inputs[kCodes], call.inputs[kScales], call.inputs[kGrid], &w));
  const Geometry g = geometry(call);
  SMALTI_TRY(check(call, w, g));
  const Pixels pixels = {g,
                         call.output->dims[0],
                         w.header.columns,
                         w.padded_columns,
                         w.header.rows,
                         static_cast<int>(call.attributes[kBlock].i),
                         static_cast<uint64_t>(call.attributes[kSeed].i),
                         static_cast<const float *>(call.inputs[kX].data),
                         static_cast<const float *>(call.inputs[kBias].data),
                         static_cast<float *>(call.output->data)};
  const float step = call.attributes[kStep].f;
  if (call.attributes[kInt8].i != 0) return multiply<IntegerBlocks>(w, step, pixels, call.parallel);
  return multiply<FloatBlocks>(w, step, pixels, call.parallel);
}

}  // namespace

extern const Op VQConv;
const Op VQConv = {"VQConv",
                   5,
                   {{"x", SMALTI_F32},
                    {"codes", SMALTI_U8},
                    {"scales", SMALTI_F16},
                    {"grid", SMALTI_I8},
                    {"bias", SMALTI_F32, true}},
                   {"y", SMALTI_F32},
                   9,
                   {{"out_channels", Kind::kInt},
                    {"step", Kind::kFloat},
                    {"int8", Kind::kInt},
                    {"block", Kind::kInt},
                    {"seed", Kind::kInt},
                    {"kernel_shape", Kind::kInts},
                    {"strides", Kind::kInts},
                    {"pads", Kind::kInts},
                    {"dilations", Kind::kInts}},
                   shape,
                   run};

}  // namespace smalti::SMALTI_LEVEL
