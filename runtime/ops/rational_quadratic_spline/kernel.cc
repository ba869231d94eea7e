// Monotone curves, each point with one of its own: parameters as a network gives them, bins side by
// side, are turned eight points at a time so that a lane is a point.
#include "core/packed.h"
#include "core/ranges.h"
#include "ops/rational_quadratic_spline/knots.h"
#include "ops/rational_quadratic_spline/spline.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kWidths, kHeights, kDerivatives };
enum Attributes { kInverse, kTailBound, kMinBinWidth, kMinBinHeight, kMinDerivative };

constexpr float kLeastBin = 1e-4f;  // of the whole: float32 has to tell its bounds apart
constexpr int64_t kGroups = 16;     // of eight points, found before any of them is evaluated
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

struct Splines {
  const float *x, *widths, *heights, *derivatives;
  float *y, *log_slope;
  int64_t points, bins;
  bool inverse;
  float bound, min_width, min_height, min_derivative;

  // Up to eight points from `first` on; lanes beyond the last point repeat its spline.
  void find(int64_t first, Found &to) const {
    const int64_t count = points - first < kLanes ? points - first : kLanes;
    Bins across, up;
    across.count = up.count = bins;
    across.bound = up.bound = bound;
    across.least = min_width;
    up.least = min_height;
    across.fill(widths + first * bins, count);
    up.fill(heights + first * bins, count);
    to.x = Floats{};
    read(x + first, count, to.x);
    if (inverse) {
      to.at.run<true>(to.x, across, up);
    } else {
      to.at.run<false>(to.x, across, up);
    }
    to.pick(derivatives + first * (bins - 1), static_cast<int32_t>(count),
            static_cast<int32_t>(bins) - 1);
  }

  // The curve's slope at a knot; 1 at the bounds.
  SMALTI_INLINE void derivative(const Floats &raw, const Ints &outer, Floats &to) const {
    Floats one;
    softplus(raw, to);
    broadcast(1.0f, one);
    select(outer, one, to + min_derivative, to);
  }

  void evaluate(const Found &found, int64_t first) const {
    const Walk &at = found.at;
    const Floats &x = found.x, width = at.right - at.left, height = at.high - at.low;
    const Ints inside = (x >= -bound) & (x <= bound);
    Piece piece;
    piece.slope = height / width;
    derivative(found.before, at.bin == 0, piece.d0);
    derivative(found.after, at.bin == static_cast<int32_t>(bins) - 1, piece.d1);
    Floats share, log, result;
    if (inverse) {
      piece.inverse((x - at.low) / height, share);
      piece.log_slope(share, log);
      result = at.left + width * share;
      log = -log;
    } else {
      share = (x - at.left) / width;
      piece.forward(share, result);
      piece.log_slope(share, log);
      result = at.low + height * result;
    }
    select(x == x, Floats{}, x, share);  // of the identity, or NaN
    select(inside, result, x, result);
    select(inside, log, share, log);
    write(result, points - first, y + first);
    write(log, points - first, log_slope + first);
  }

  // In two passes: one would wait for its own gathers.
  void run(int64_t first, int64_t last) const {
    Found found[kGroups];
    while (first < last) {
      const int64_t groups = last - first < kGroups ? last - first : kGroups;
      for (int64_t i = 0; i < groups; ++i) find((first + i) * kLanes, found[i]);
      for (int64_t i = 0; i < groups; ++i) evaluate(found[i], (first + i) * kLanes);
      first += groups;
    }
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
                           points,
                           bins,
                           a[kInverse].i != 0,
                           a[kTailBound].f,
                           a[kMinBinWidth].f,
                           a[kMinBinHeight].f,
                           a[kMinDerivative].f};
  const int64_t groups = (points + kLanes - 1) / kLanes;
  in_ranges(call.parallel, groups, (bins + 4) * kWorkOfBin * kLanes,
            [&](int64_t begin, int64_t end) { splines.run(begin, end); });
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
