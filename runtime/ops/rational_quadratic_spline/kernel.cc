// Monotone curves, each point with one of its own: parameters as a network gives them, bins side by
// side, are turned eight points at a time so that a lane is a point.
#include "core/packed.h"
#include "core/ranges.h"
#include "core/transpose.h"
#include "ops/rational_quadratic_spline/spline.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kWidths, kHeights, kDerivatives };
enum Attributes { kInverse, kTailBound, kMinBinWidth, kMinBinHeight, kMinDerivative };

constexpr int kMaxBins = 64;
constexpr float kLeastBin = 1e-4f;  // of the whole: float32 has to tell its bounds apart
constexpr int64_t kWorkOfBin = 12;  // multiplications

Status check_attributes(const Value *a) {
  const float bound = a[kTailBound].f, least = a[kMinDerivative].f;
  if (!(bound > 0 && bound < kInfinity))
    return fail(SMALTI_INVALID, "tail_bound: %g; pass more than 0", bound);
  if (!(least > 0 && least < kInfinity))
    return fail(SMALTI_INVALID, "min_derivative: %g; pass more than 0", least);
  return Status();
}

Status check_least(const char *name, float least, int64_t bins) {
  const bool room = bins < 0 || least * static_cast<float>(bins) < 1;
  if (least >= kLeastBin && room) return Status();
  return fail(SMALTI_INVALID, "%s: %g; pass 1e-4 to less than 1 / %lld", name, least,
              static_cast<long long>(bins < 0 ? kMaxBins : bins));
}

// Parameters have x's shape, then `last` values (-1: not known yet).
Status check_parameters(const char *name, const Shape &x, const Shape &given, int64_t last) {
  if (given.rank < 0) return Status();
  if (given.rank == 0 || (x.rank >= 0 && given.rank != x.rank + 1))
    return fail(SMALTI_INVALID, "%s: rank %d; pass %d, the shape of x and the bins", name,
                given.rank, x.rank < 0 ? 1 : x.rank + 1);
  for (int i = 0; i < x.rank; ++i) {
    if (x.dims[i] >= 0 && given.dims[i] >= 0 && x.dims[i] != given.dims[i])
      return fail(SMALTI_INVALID, "%s: dimension %d is %lld; pass %lld as for x", name, i,
                  static_cast<long long>(given.dims[i]), static_cast<long long>(x.dims[i]));
  }
  const int64_t have = given.dims[given.rank - 1];
  if (have < 0 || last < 0 || have == last) return Status();
  return fail(SMALTI_INVALID, "%s: %lld values a point; pass %lld", name,
              static_cast<long long>(have), static_cast<long long>(last));
}

Status shape(const Shape *inputs, const Value *a, Shape *output) {
  const Shape &x = inputs[kX], &widths = inputs[kWidths];
  SMALTI_TRY(check_attributes(a));
  const int64_t bins = widths.rank < 1 ? -1 : widths.dims[widths.rank - 1];
  if (bins >= 0 && (bins < 2 || bins > kMaxBins))
    return fail(SMALTI_INVALID, "widths: %lld bins; pass 2 to %d", static_cast<long long>(bins),
                kMaxBins);
  SMALTI_TRY(check_least("min_bin_width", a[kMinBinWidth].f, bins));
  SMALTI_TRY(check_least("min_bin_height", a[kMinBinHeight].f, bins));
  SMALTI_TRY(check_parameters("widths", x, widths, bins));
  SMALTI_TRY(check_parameters("heights", x, inputs[kHeights], bins));
  SMALTI_TRY(check_parameters("derivatives", x, inputs[kDerivatives], bins < 0 ? -1 : bins - 1));
  if (x.rank < 0) return Status();
  if (x.rank >= SMALTI_MAX_RANK)
    return fail(SMALTI_INVALID, "x: rank %d; pass at most %d", x.rank, SMALTI_MAX_RANK - 1);
  *output = {x.rank + 1, {2}};
  for (int i = 0; i < x.rank; ++i) output->dims[i + 1] = x.dims[i];
  return Status();
}

// The knots of eight points on one axis.
struct Knots {
  Floats at[kMaxBins + 1];

  // From parameters before the softmax.
  void fill(const float *const *raw, int64_t bins, float least, float bound) {
    Floats *e = at + 1, most, sum = {};
    load_columns(raw, bins, e);
    most = e[0];
    for (int64_t k = 1; k < bins; ++k) select(e[k] > most, e[k], most, most);
    for (int64_t k = 0; k < bins; ++k) {
      exponential(e[k] - most, e[k]);
      sum += e[k];
    }
    const float share = 1.0f - least * static_cast<float>(bins);
    const Floats scale = 2.0f * bound * share / sum;
    Floats before = {};
    for (int64_t k = 1; k < bins; ++k) {
      before += at[k];
      at[k] = before * scale + (2.0f * bound * least * static_cast<float>(k) - bound);
    }
    broadcast(-bound, at[0]);
    broadcast(bound, at[bins]);
  }

  // How many of the knots between the bounds are not above x.
  SMALTI_INLINE void count(const Floats &x, int64_t bins, Ints &to) const {
    to = Ints{};
    for (int64_t k = 1; k < bins; ++k) to -= x >= at[k];
  }

  SMALTI_INLINE void pick(const Ints &lanes, const Ints &bin, Floats &first, Floats &size) const {
    const float *from = reinterpret_cast<const float *>(at);
    gather(from, bin * kLanes + lanes, first);
    gather(from, bin * kLanes + lanes + kLanes, size);
    size -= first;
  }
};

struct Splines {
  const float *x, *widths, *heights, *derivatives;
  float *y, *log_slope;
  int64_t bins;
  bool inverse;
  float bound, min_width, min_height, min_derivative;

  // The curve's slope at inner knot `knot`, counted from 0; 1 at the bounds.
  SMALTI_INLINE void derivative(const float *from, const Ints &rows, const Ints &knot,
                                Floats &to) const {
    const int32_t last = static_cast<int32_t>(bins) - 2;
    const Ints outer = (knot < 0) | (knot > last);
    const Ints none = {};
    const Ints inner = (knot & ~outer) | (none & outer);
    Floats raw, one;
    gather(from, rows * (last + 1) + inner, raw);
    softplus(raw, raw);
    broadcast(1.0f, one);
    select(outer, one, raw + min_derivative, to);
  }

  // `count` points from `first` on, at most eight; lanes beyond repeat the last point.
  void run(int64_t first, int64_t count) const {
    const float *to_widths[kLanes], *to_heights[kLanes];
    Ints rows, lanes, bin;
    Floats given = {}, at, left, low, width, height;
    memcpy(&given, x + first, count * sizeof *x);
    for (int i = 0; i < kLanes; ++i) {
      lanes[i] = i;
      rows[i] = i < count ? i : static_cast<int32_t>(count - 1);
      to_widths[i] = widths + (first + rows[i]) * bins;
      to_heights[i] = heights + (first + rows[i]) * bins;
    }
    Knots horizontal, vertical;
    horizontal.fill(to_widths, bins, min_width, bound);
    vertical.fill(to_heights, bins, min_height, bound);
    const Ints inside = (given >= -bound) & (given <= bound);
    select(inside, given, Floats{}, at);
    (inverse ? vertical : horizontal).count(at, bins, bin);
    horizontal.pick(lanes, bin, left, width);
    vertical.pick(lanes, bin, low, height);
    Piece piece;
    piece.slope = height / width;
    const float *slopes = derivatives + first * (bins - 1);
    derivative(slopes, rows, bin - 1, piece.d0);
    derivative(slopes, rows, bin, piece.d1);
    Floats share, log, result;
    if (inverse) {
      piece.inverse((at - low) / height, share);
      piece.log_slope(share, log);
      result = left + width * share;
      log = -log;
    } else {
      share = (at - left) / width;
      piece.forward(share, result);
      result = low + height * result;
      piece.log_slope(share, log);
    }
    select(inside, result, given, result);
    select(inside, log, given - given, log);
    memcpy(y + first, &result, count * sizeof *y);
    memcpy(log_slope + first, &log, count * sizeof *y);
  }
};

Status run(const Call &call) {
  const int64_t points = elements(call.inputs[kX]);
  const Tensor &widths = call.inputs[kWidths];
  const auto data = [&](int i) { return static_cast<const float *>(call.inputs[i].data); };
  const Value *a = call.attributes;
  float *to = static_cast<float *>(call.output->data);
  const int64_t bins = widths.dims[widths.rank - 1];
  const Splines splines = {data(kX),
                           data(kWidths),
                           data(kHeights),
                           data(kDerivatives),
                           to,
                           to + points,
                           bins,
                           a[kInverse].i != 0,
                           a[kTailBound].f,
                           a[kMinBinWidth].f,
                           a[kMinBinHeight].f,
                           a[kMinDerivative].f};
  const int64_t groups = (points + kLanes - 1) / kLanes;
  in_ranges(call.parallel, groups, (bins + 4) * kWorkOfBin * kLanes,
            [&](int64_t begin, int64_t end) {
              for (int64_t first = begin * kLanes; first < end * kLanes; first += kLanes)
                splines.run(first, points - first < kLanes ? points - first : kLanes);
            });
  return Status();
}

}  // namespace

extern const Op RationalQuadraticSpline;
const Op RationalQuadraticSpline = {"RationalQuadraticSpline",
                                    4,
                                    {{"x", SMALTI_F32},
                                     {"widths", SMALTI_F32},
                                     {"heights", SMALTI_F32},
                                     {"derivatives", SMALTI_F32}},
                                    {"y", SMALTI_F32},
                                    5,
                                    {{"inverse", Kind::kInt},
                                     {"tail_bound", Kind::kFloat},
                                     {"min_bin_width", Kind::kFloat},
                                     {"min_bin_height", Kind::kFloat},
                                     {"min_derivative", Kind::kFloat}},
                                    shape,
                                    run};

}  // namespace smalti::SMALTI_LEVEL
