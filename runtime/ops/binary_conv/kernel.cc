// 2-D convolution of signs with weights of one bit, NCHW, one group: where they agree they add one,
// where they differ they take one away, and padding does neither.
#include <math.h>

#include "core/transpose.h"
#include "ops/binary_conv/convolution.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kCodes, kAlpha, kBias };
enum Attributes { kOutChannels, kWindow };

constexpr int64_t kMostPacked = int64_t{1} << 32;  // bytes of all images
constexpr int64_t kAtOnce = 64;    // multiplications of bits that take as long as one of floats
constexpr int kPackedVectors = 2;  // whose pixels are packed at once

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  return convolved_shape(inputs[kX], attributes[kOutChannels].i, attributes + kWindow, output);
}

Status check(const Call &call, const BinaryHeader &h) {
  const auto number = [](int64_t value) { return static_cast<long long>(value); };
  const int64_t channels = call.inputs[kX].dims[1], outputs = call.attributes[kOutChannels].i;
  const int64_t *kernel = call.attributes[kWindow + kKernelShape].ints;
  if (channels != h.channels)
    return fail(SMALTI_INVALID, "x: %lld channels, the weights have %u", number(channels),
                h.channels);
  if (outputs != h.outputs)
    return fail(SMALTI_CORRUPT, "out_channels is %lld, the weights have %u", number(outputs),
                h.outputs);
  if (kernel[0] != h.kernel[0] || kernel[1] != h.kernel[1])
    return fail(SMALTI_CORRUPT, "kernel_shape is %lld x %lld, that of the weights %u x %u",
                number(kernel[0]), number(kernel[1]), h.kernel[0], h.kernel[1]);
  SMALTI_TRY(expect_count("alpha", elements(call.inputs[kAlpha]), h.outputs));
  if (call.inputs[kBias].data == nullptr) return Status();
  return expect_count("bias", elements(call.inputs[kBias]), h.outputs);
}

// Scratch memory: zeros for one tap, all images, what zeros differ in, and for each image whether
// it has a NaN.
Status allocate(Convolution *c, uint8_t **nan) {
  const Images &in = c->in;
  const double size = 1.0 * in.count * in.padded_height * in.padded_width * in.bytes;
  if (size > kMostPacked)
    return fail(SMALTI_INVALID, "x: %.3g bytes of signs with their padding; pass fewer at once",
                size);
  const int64_t images = round_up(in.bytes + in.count * in.padded_bytes(), 64);
  const int64_t of_zeros = c->w.taps * c->groups() * kWide * sizeof(uint16_t);
  const int64_t bytes = images + of_zeros + in.count;
  uint8_t *memory = static_cast<uint8_t *>(scratch(Slot::kCall, bytes));
  if (memory == nullptr) return no_memory(bytes);
  c->packed = memory + in.bytes;
  c->of_zeros = reinterpret_cast<uint16_t *>(memory + images);
  *nan = memory + images + of_zeros;
  if (c->padded()) memset(memory, 0, images);
  memset(*nan, 0, in.count);
  return Status();
}

template <int kVectors>
void pack(const Call &call, const Convolution &c, uint8_t *nan) {
  const Images &in = c.in;
  const int64_t size = kVectors * kLanes, parts = (in.area() + size - 1) / size;
  const float *x = static_cast<const float *>(call.inputs[kX].data);
  in_ranges(call.parallel, in.count * parts, in.channels * size, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      const int64_t n = i / parts, wanted = i % parts * size, last = in.area() - size;
      const int64_t first = wanted < last ? wanted
                            : last < 0    ? 0
                                          : last;  // full vectors at the end
      const float *image = x + n * in.channels * in.area();
      if (pack_pixels<kVectors>(in, image, first, wanted - first, c.packed + n * in.padded_bytes()))
        __atomic_store_n(nan + n, 1, __ATOMIC_RELAXED);
    }
  });
}

// A group's outputs of eight pixels: y (outputs, pixels) = alpha (inside - 2 sums) + bias.
void write(const Convolution &c, const uint16_t *sums, const int32_t *inside, int64_t output,
           int64_t count, float *y) {
  Floats eight[kLanes];
  unrolled<kLanes>([&](int i) SMALTI_INLINE_LAMBDA {
    Shorts differing;
    memcpy(&differing, sums + i * kWide, sizeof differing);
    to_floats(inside[i] - 2 * __builtin_convertvector(differing, Ints), eight[i]);
  });
  transpose(eight);
  const int64_t left = c.w.header.outputs - output, pixels = c.pixels();
  const auto finish = [&](int64_t i, Floats &v) SMALTI_INLINE_LAMBDA {
    v *= c.alpha[output + i];
    if (c.bias != nullptr) v += c.bias[output + i];
    return y + (output + i) * pixels;
  };
  if (left >= kLanes && count >= kLanes) {
    unrolled<kLanes>([&](int i) SMALTI_INLINE_LAMBDA {
      float *to = finish(i, eight[i]);
      store(eight[i], to);
    });
    return;
  }
  Floats some[kLanes];  // apart, since only registers that no variable indexes stay registers
  unrolled<kLanes>([&](int i) SMALTI_INLINE_LAMBDA { some[i] = eight[i]; });
  for (int64_t i = 0; i < kLanes && i < left; ++i) {
    float *to = finish(i, some[i]);
    memcpy(to, &some[i], (count < kLanes ? count : kLanes) * sizeof *to);
  }
}

void multiply(const Call &call, const Convolution &c) {
  const int64_t chunks = (c.pixels() + kChunk - 1) / kChunk, outputs = c.w.header.outputs;
  const int64_t work = kChunk * kWide * c.w.taps * c.in.channels / kAtOnce;
  float *y = static_cast<float *>(call.output->data);
  in_ranges(call.parallel, c.in.count * c.groups() * chunks, work, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      const int64_t n = i / chunks / c.groups(), group = i / chunks % c.groups();
      const int64_t first = i % chunks * kChunk, left = c.pixels() - first;
      uint16_t sums[kChunk * kWide] = {};
      int32_t inside[kChunk];
      for (int64_t k = 0; k < kChunk && k < left; k += kPixels)
        c.count(n, group, first + k, sums + k * kWide, inside + k);
      float *to = y + n * outputs * c.pixels() + first;
      for (int64_t channel = 0; channel < kWide; channel += kLanes) {
        for (int64_t k = 0; k < kChunk && k < left; k += kLanes)
          write(c, sums + k * kWide + channel, inside + k, group * kWide + channel, left - k,
                to + k);
      }
    }
  });
}

// A NaN among the channels of a pixel makes all outputs whose windows see the pixel NaN.
void spread_nan(const Convolution &c, const float *image, float *y) {
  const int64_t area = c.in.area(), outputs = c.w.header.outputs;
  for (int64_t pixel = 0; pixel < area; ++pixel) {
    bool found = false;
    for (int64_t k = 0; k < c.in.channels; ++k) found |= isnan(image[k * area + pixel]) != 0;
    if (!found) continue;
    for (int64_t tap = 0; tap < c.w.taps; ++tap) {
      const int64_t at = c.sees(pixel, tap);
      for (int64_t k = 0; at >= 0 && k < outputs; ++k) y[k * c.pixels() + at] = NAN;
    }
  }
}

Status run(const Call &call) {
  Convolution c;
  SMALTI_TRY(open_weights(call.inputs[kCodes], &c.w));
  SMALTI_TRY(check(call, c.w.header));
  c.set(call.inputs[kX].dims, call.output->dims, call.attributes + kWindow);
  c.alpha = static_cast<const float *>(call.inputs[kAlpha].data);
  c.bias = static_cast<const float *>(call.inputs[kBias].data);
  uint8_t *nan;
  SMALTI_TRY(allocate(&c, &nan));
  if (c.in.area() < kPackedVectors * kLanes) {
    pack<1>(call, c, nan);
  } else {
    pack<kPackedVectors>(call, c, nan);
  }
  if (c.padded()) call.parallel(c.groups(), [&](int64_t group) { c.count_of_zeros(group); });
  multiply(call, c);
  const float *x = static_cast<const float *>(call.inputs[kX].data);
  float *y = static_cast<float *>(call.output->data);
  for (int64_t n = 0; n < c.in.count; ++n) {
    if (nan[n] != 0)
      spread_nan(c, x + n * c.in.channels * c.in.area(), y + n * c.w.header.outputs * c.pixels());
  }
  return Status();
}

}  // namespace

extern const Op BinaryConv;
const Op BinaryConv = {
    "BinaryConv",
    4,
    {{"x", SMALTI_F32}, {"codes", SMALTI_U8}, {"alpha", SMALTI_F32}, {"bias", SMALTI_F32, true}},
    {"y", SMALTI_F32},
    5,
    {{"out_channels", Kind::kInt},
     {"kernel_shape", Kind::kInts},
     {"strides", Kind::kInts},
     {"pads", Kind::kInts},
     {"dilations", Kind::kInts}},
    shape,
    run};

}  // namespace smalti::SMALTI_LEVEL
