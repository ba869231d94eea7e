// 2-D convolution, NCHW: every output pixel's patch is gathered, rotated and met with the packed
// weights. Patches are (channel, kernel row, kernel column), as Conv weights are. One group.
#include "core/hadamard.h"
#include "core/matmul.h"
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

// Patches of `count` pixels from number `first` on, maybe of several images: to (count, stride).
void gather(const Geometry &g, const float *images, int64_t first, int64_t count, float *to,
            int64_t stride) {
  for (int64_t done = 0; done < count;) {
    const int64_t pixel = (first + done) % g.pixels(), left = g.out_width - pixel % g.out_width;
    const int64_t part = left < count - done ? left : count - done;
    const float *image = images + (first + done) / g.pixels() * g.image();
    gather_patches(g, image, pixel, part, to + done * stride, stride);
    done += part;
  }
}

// One tile's channels of `count` pixels of one image: out (count, 16) -> y (channels, pixels).
void scatter(const float *out, const float *bias, int64_t channels, int64_t count, int64_t pixels,
             float *y) {
  for (int64_t base = 0; base < channels; base += kLanes) {
    for (int64_t k = 0; k < count; k += kLanes) {
      const int64_t rows = count - k < kLanes ? count - k : kLanes;
      Floats eight[kLanes] = {};
      for (int64_t i = 0; i < rows; ++i) load(out + (k + i) * kTileRows + base, eight[i]);
      transpose(eight);
      for (int64_t c = 0; c < kLanes && base + c < channels; ++c) {
        if (bias != nullptr) eight[c] += bias[base + c];
        float values[kLanes];
        store(eight[c], values);
        memcpy(y + (base + c) * pixels + k, values, rows * sizeof *values);
      }
    }
  }
}

Status run(const Call &call) {
  Weights w;
  SMALTI_TRY(open_weights(call.inputs[kCodes], call.inputs[kScales], call.inputs[kGrid], &w));
  const Geometry g = geometry(call);
  SMALTI_TRY(check(call, w, g));
  const int64_t pixels = g.pixels(), columns = w.header.columns, channels = w.header.rows;
  const int block = static_cast<int>(call.attributes[kBlock].i);
  const uint64_t seed = static_cast<uint64_t>(call.attributes[kSeed].i);
  const float *from = static_cast<const float *>(call.inputs[kX].data);
  const float *bias = static_cast<const float *>(call.inputs[kBias].data);
  float *to = static_cast<float *>(call.output->data);

  const auto fill = [&](int64_t first, int64_t count, float *buffer) -> const float * {
    gather(g, from, first, count, buffer, w.padded_columns);
    for (int64_t i = 0; i < count; ++i) {
      float *row = buffer + i * w.padded_columns;
      flip_signs(seed, columns, row);
      hadamard_blocks(row, columns, block);
      memset(row + columns, 0, (w.padded_columns - columns) * sizeof *row);
    }
    return buffer;
  };
  // Rows of one tile are pixels, maybe of several images; out is (rows, 16).
  const auto write = [&](int64_t first, int64_t rows, int64_t tile, const float *out) {
    const int64_t channel = tile * kTileRows, left = channels - channel;
    for (int64_t row = 0; row < rows;) {
      const int64_t n = (first + row) / pixels, pixel = (first + row) % pixels;
      const int64_t count = pixels - pixel < rows - row ? pixels - pixel : rows - row;
      scatter(out + row * kTileRows, bias == nullptr ? nullptr : bias + channel,
              left < kTileRows ? left : kTileRows, count, pixels,
              to + (n * channels + channel) * pixels + pixel);
      row += count;
    }
  };
  return multiply(w, call.attributes[kStep].f, call.attributes[kInt8].i != 0,
                  call.output->dims[0] * pixels, call.parallel, fill, write);
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
