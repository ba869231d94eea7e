// Features of points from grids of several resolutions. One level at a time, so that its table
// stays in the cache: a block of points is located, eight at once, then every point adds up rows.
#include "core/packed.h"
#include "core/ranges.h"
#include "ops/grid_encode/check.h"
#include "ops/grid_encode/rows.h"

namespace smalti::SMALTI_LEVEL {
namespace {

// What all blocks share.
struct Encoding {
  const Call &call;
  int axes;
  int64_t level_count, stride;  // elements of a row
  Level *levels;
  float *codebook;
  Points points;

  int64_t option(Attributes which) const { return call.attributes[which].i; }

  Status read() {
    const Tensor &table = call.inputs[kTable];
    const int64_t *from = static_cast<const int64_t *>(call.inputs[kLevels].data);
    for (int64_t i = 0; i < level_count; ++i, from += axes + 2)
      SMALTI_TRY(read_level(from, axes, option(kAlignCorners) != 0, table, levels + i));
    const Tensor &entries = call.inputs[kCodebook];
    for (int64_t i = 0; entries.data != nullptr && i < elements(entries); ++i) {
      codebook[i] = entries.type == SMALTI_F16
                        ? half_to_float(static_cast<const uint16_t *>(entries.data)[i])
                        : static_cast<const float *>(entries.data)[i];
    }
    return Status();
  }

  // Clamps and warps points [8 group, 8 group + 8).
  void prepare(int64_t group, float *to) const {
    const Tensor &x = call.inputs[kX];
    const int64_t first = group * kLanes, left = x.dims[0] - first;
    const int64_t count = left < kLanes ? left : kLanes;
    const float *from = static_cast<const float *>(x.data) + first * axes;
    for (int axis = 0; axis < axes; ++axis) {
      float lanes[kLanes] = {};
      for (int64_t i = 0; i < count; ++i) lanes[i] = from[i * axes + axis];
      Floats values;
      load(lanes, values);
      warp_unit(option(kWarp), values);
      store(values, to + axis * points.count + first);
    }
  }

  template <int kAxes, bool kDense>
  void locate(const Level &level, int64_t first, int64_t groups, Taps &taps) const {
    const Locator<kAxes, kDense> locator = {level, option(kAlignCorners) != 0 ? 0.0f : 0.5f,
                                            option(kInterpolation) == kSmoothstep};
    switch (option(kInterpolation)) {
      case kNearest:
        return locator.template run<kNearest>(points, first, groups, taps);
      case kSimplex:
        return locator.template run<kSimplex>(points, first, groups, taps);
      default:
        return locator.template run<kLinear>(points, first, groups, taps);
    }
  }

  template <int kAxes>
  void locate(const Level &level, int64_t first, int64_t groups, Taps &taps) const {
    level.dense ? locate<kAxes, true>(level, first, groups, taps)
                : locate<kAxes, false>(level, first, groups, taps);
  }

  void locate(const Level &level, int64_t first, int64_t groups, Taps &taps) const {
    switch (axes) {
      case 1:
        return locate<1>(level, first, groups, taps);
      case 2:
        return locate<2>(level, first, groups, taps);
      case 3:
        return locate<3>(level, first, groups, taps);
      default:
        return locate<4>(level, first, groups, taps);
    }
  }

  // The largest power of two, up to 8, of the columns that are left.
  template <class Element>
  void sum(const Element *from, const Taps &taps, Target target) const {
    for (int64_t column = 0, width; column < stride; column += width) {
      const int64_t left = stride - column;
      width = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
      sum_columns(width, from + column, taps, target);
      target.y += width;
    }
  }

  void sum_entries(const uint8_t *from, const Taps &taps, Target target) const {
    const int64_t p = call.inputs[kCodebook].dims[1];
    for (int64_t column = 0; column < stride; ++column, target.y += p)
      sum_columns(p, Codes{from + column, codebook}, taps, target);
  }

  void sum(const Level &level, const Taps &taps, const Target &target) const {
    const Tensor &table = call.inputs[kTable];
    const int64_t first = level.first_row * stride;
    switch (table.type) {
      case SMALTI_F32:
        return sum(static_cast<const float *>(table.data) + first, taps, target);
      case SMALTI_F16:
        return sum(static_cast<const uint16_t *>(table.data) + first, taps, target);
      case SMALTI_I8:
        return sum(static_cast<const int8_t *>(table.data) + first, taps, target);
      default:
        return sum_entries(static_cast<const uint8_t *>(table.data) + first, taps, target);
    }
  }

  // Level and block of points.
  void encode(int64_t index, int64_t first) const {
    const Tensor &y = *call.output, &scales = call.inputs[kScales];
    const int64_t left = y.dims[0] - first, count = left < kBlock ? left : kBlock;
    Taps taps;
    locate(levels[index], first, (count + kLanes - 1) / kLanes, taps);
    const float scale =
        scales.data == nullptr ? 1.0f : static_cast<const float *>(scales.data)[index];
    float *to = static_cast<float *>(y.data) + first * y.dims[1] + index * option(kFeatures);
    sum(levels[index], taps,
        {to, y.dims[1], count, scale, vertices_of(option(kInterpolation), axes)});
  }
};

Status run(const Call &call) {
  SMALTI_TRY(check_table(call));
  const Tensor &x = call.inputs[kX], &table = call.inputs[kTable];
  const int axes = static_cast<int>(x.dims[1]);
  const int64_t level_count = call.inputs[kLevels].dims[0], groups = (x.dims[0] + 7) / kLanes;
  const int64_t blocks = (x.dims[0] + kBlock - 1) / kBlock;
  const int64_t level_bytes = round_up(level_count * static_cast<int64_t>(sizeof(Level)), 64);
  const int64_t bytes = level_bytes + kCodes * 8 * 4 + groups * kLanes * axes * 4;
  char *memory = static_cast<char *>(scratch(Slot::kCall, bytes));
  if (memory == nullptr) return no_memory(bytes);
  float *codebook = reinterpret_cast<float *>(memory + level_bytes),
        *prepared = codebook + 8 * kCodes;
  Encoding encoding = {call,
                       axes,
                       level_count,
                       table.dims[1],
                       reinterpret_cast<Level *>(memory),
                       codebook,
                       {prepared, groups * kLanes}};
  SMALTI_TRY(encoding.read());
  in_ranges(call.parallel, groups, 64 * axes, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) encoding.prepare(group, prepared);
  });
  const int64_t work =
      kBlock * vertices_of(encoding.option(kInterpolation), axes) * encoding.option(kFeatures);
  in_ranges(call.parallel, level_count * blocks, work, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) encoding.encode(i / blocks, i % blocks * kBlock);
  });
  return Status();
}

}  // namespace

extern const Op GridEncode;
const Op GridEncode = {
    "GridEncode",
    5,
    {{"x", SMALTI_F32},
     {"table", SMALTI_F32, false, type_bit(SMALTI_F16) | type_bit(SMALTI_I8) | type_bit(SMALTI_U8)},
     {"levels", SMALTI_I64},
     {"scales", SMALTI_F32, true},
     {"codebook", SMALTI_F32, true, type_bit(SMALTI_F16)}},
    {"y", SMALTI_F32},
    4,
    {{"features", Kind::kInt},
     {"interpolation", Kind::kInt},
     {"warp", Kind::kInt},
     {"align_corners", Kind::kInt}},
    encoded_shape,
    run};

}  // namespace smalti::SMALTI_LEVEL
