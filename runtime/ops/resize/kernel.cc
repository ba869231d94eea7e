// Images at another size, one output row at a time: two or four input rows are blended into one,
// and then so many of its pixels into each output pixel.
#include "core/packed.h"
#include "core/ranges.h"
#include "ops/resize/columns.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Attributes { kSizes, kMode, kAlignCorners, kChannelsLast };
enum Mode { kLinear = 0, kCubic = 2 };  // as in GridSample

constexpr int64_t kMaxSize = int64_t{1} << 30;  // so that offsets into a line are int32

Status check_attributes(const Value *a) {
  const Value &sizes = a[kSizes];
  bool sound = sizes.count == 2;
  for (int i = 0; i < sizes.count; ++i) sound &= sizes.ints[i] > 0 && sizes.ints[i] <= kMaxSize;
  if (!sound)
    return fail(SMALTI_INVALID, "sizes: %d numbers; pass height and width, from 1 to 2^30",
                sizes.count);
  if (a[kMode].i != kLinear && a[kMode].i != kCubic)
    return fail(SMALTI_INVALID, "mode: %lld; pass 0 (linear) or 2 (cubic)",
                static_cast<long long>(a[kMode].i));
  return Status();
}

// first: the dimension of x that is its height.
Status check_x(const Shape &x, int first) {
  if (x.rank < 0) return Status();
  if (x.rank != 4)
    return fail(SMALTI_INVALID, "x: rank %d; pass 4 (%s)", x.rank,
                first == 1 ? "N, H, W, C" : "N, C, H, W");
  for (int i = first; i < first + 2; ++i) {
    if (x.dims[i] == 0 || x.dims[i] > kMaxSize)
      return fail(SMALTI_INVALID, "x: dimension %d is %lld; pass images of 1 to 2^30 pixels", i,
                  static_cast<long long>(x.dims[i]));
  }
  return Status();
}

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  const Shape &x = inputs[0];
  const int first = attributes[kChannelsLast].i != 0 ? 1 : 2;
  SMALTI_TRY(check_attributes(attributes));
  SMALTI_TRY(check_x(x, first));
  *output = {4, {-1, -1, -1, -1}};
  for (int i = 0; i < 4 && x.rank >= 0; ++i) output->dims[i] = x.dims[i];
  for (int i = 0; i < 2; ++i) output->dims[first + i] = attributes[kSizes].ints[i];
  return Status();
}

// x as rows of pixels: channels first, every channel is an image of its own.
struct Images {
  int64_t height, width, channels, line;  // line: numbers in a row with its margins

  Images(const Tensor &x, bool last)
      : height(x.dims[last ? 1 : 2]),
        width(x.dims[last ? 2 : 3]),
        channels(last ? x.dims[3] : 1),
        line((width + 2 * kMargin) * channels) {}
};

// Row i of the resized height, still as wide as the image, between margins.
template <int kTaps>
void blend_rows(const ResizedAxis<kTaps> &down, int64_t i, const float *image, const Images &x,
                float *line) {
  const float *rows[kTaps];
  float weights[kTaps];
  const int64_t first = down.locate(i, weights), numbers = x.width * x.channels;
  for (int tap = 0; tap < kTaps; ++tap) rows[tap] = image + down.inside(first + tap) * numbers;
  float *start = line + kMargin * x.channels, *end = start + numbers;
  blend<kTaps>(rows, weights, numbers, start);
  for (int64_t c = 0; c < kMargin * x.channels; ++c) {
    line[c] = start[c % x.channels];
    end[c] = end[c % x.channels - x.channels];
  }
}

template <int kTaps, class Columns>
Status resize(const Call &call) {
  const bool align = call.attributes[kAlignCorners].i != 0;
  const bool last = call.attributes[kChannelsLast].i != 0;
  const Images x(call.inputs[0], last), y(*call.output, last);
  if (x.line > kMaxSize)
    return fail(SMALTI_INVALID, "x: rows of %lld numbers; pass at most 2^30 with 4 pixels more",
                static_cast<long long>(x.width * x.channels));
  const ResizedAxis<kTaps> down = {x.height, y.height, align}, across = {x.width, y.width, align};
  const int64_t table = Columns::bytes(y.width * (x.channels < kLanes ? x.channels : 1));
  void *memory = scratch(Slot::kCall, table);
  if (memory == nullptr) return no_memory(table);
  const Columns columns(across, x.channels, memory);
  const float *from = static_cast<const float *>(call.inputs[0].data);
  float *to = static_cast<float *>(call.output->data);
  const int64_t row_size = y.width * y.channels, rows = elements(*call.output) / row_size;
  const int64_t work = kTaps * (x.line + row_size);
  const int64_t line_bytes = (x.line + kLanes) * static_cast<int64_t>(sizeof(float));
  bool exhausted = false;
  in_ranges(call.parallel, rows, work, [&](int64_t begin, int64_t end) {
    float *line = static_cast<float *>(scratch(Slot::kTask, line_bytes));
    if (line == nullptr) __atomic_store_n(&exhausted, true, __ATOMIC_RELAXED);
    for (int64_t row = begin; row < end && line != nullptr; ++row) {
      const float *image = from + row / y.height * x.height * x.width * x.channels;
      blend_rows(down, row % y.height, image, x, line);
      columns.blend_line(line, to + row * row_size);
    }
  });
  return exhausted ? no_memory(line_bytes) : Status();
}

template <int kTaps>
Status resize(const Call &call) {
  const bool last = call.attributes[kChannelsLast].i != 0;
  const bool wide = last && call.inputs[0].dims[3] >= kLanes;
  return wide ? resize<kTaps, WideColumns<kTaps>>(call) : resize<kTaps, NarrowColumns<kTaps>>(call);
}

Status run(const Call &call) {
  return call.attributes[kMode].i == kCubic ? resize<4>(call) : resize<2>(call);
}

}  // namespace

extern const Op Resize;
const Op Resize = {"Resize",
                   1,
                   {{"x", SMALTI_F32}},
                   {"y", SMALTI_F32},
                   4,
                   {{"sizes", Kind::kInts},
                    {"mode", Kind::kInt},
                    {"align_corners", Kind::kInt},
                    {"channels_last", Kind::kInt}},
                   shape,
                   run};

}  // namespace smalti::SMALTI_LEVEL
