// Piecewise polynomials: what is asked for is checked here, and evaluated in spline.h.
#include "core/packed.h"
#include "core/ranges.h"
#include "ops/spline_eval/spline.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kCoefficients, kKnots };
enum Attributes { kExtrapolate, kDerivative, kStart, kStep };
enum Extrapolate { kClamp, kLinear, kZero, kPeriodic };

constexpr int kMaxCount = 6;                     // coefficients an interval: degree 5
constexpr int64_t kMaxTable = int64_t{1} << 30;  // so that offsets are int32
constexpr int32_t kMaxUniform = 1 << 24;         // positions are floats
constexpr int64_t kBlockWork = 64;               // about, in multiplications

Status check_attributes(const Value *a) {
  if (a[kExtrapolate].i < kClamp || a[kExtrapolate].i > kPeriodic)
    return fail(SMALTI_INVALID,
                "extrapolate: %lld; pass 0 (clamp), 1 (linear), 2 (zero) or 3 (periodic)",
                static_cast<long long>(a[kExtrapolate].i));
  if (a[kDerivative].i < 0 || a[kDerivative].i > 2)
    return fail(SMALTI_INVALID, "derivative: %lld; pass 0, 1 or 2",
                static_cast<long long>(a[kDerivative].i));
  return Status();
}

Status check_coefficients(const Shape &c) {
  if (c.rank != 3)
    return fail(SMALTI_INVALID,
                "coefficients: rank %d; pass (channels or 1, intervals, degree + 1)", c.rank);
  if (c.dims[1] == 0) return fail(SMALTI_INVALID, "coefficients: 0 intervals; pass at least one");
  if (c.dims[2] == 0 || c.dims[2] > kMaxCount)
    return fail(SMALTI_INVALID, "coefficients: %lld an interval; pass 1 to %d, for degree 0 to %d",
                static_cast<long long>(c.dims[2]), kMaxCount, kMaxCount - 1);
  return Status();
}

Status check_knots(const Shape &knots, const Shape &c) {
  if (knots.rank != 2)
    return fail(SMALTI_INVALID, "knots: rank %d; pass (channels or 1, intervals + 1)", knots.rank);
  if (c.rank < 0 || c.dims[1] < 0 || knots.dims[1] < 0 || knots.dims[1] == c.dims[1] + 1)
    return Status();
  return fail(SMALTI_INVALID, "knots: %lld; pass %lld for %lld intervals",
              static_cast<long long>(knots.dims[1]), static_cast<long long>(c.dims[1] + 1),
              static_cast<long long>(c.dims[1]));
}

// One spline for all, or one for each channel, which are the last dimension of x.
Status check_channels(const char *name, const Shape &table, const Shape &x) {
  if (table.rank < 0 || x.rank < 0 || table.dims[0] < 0 || table.dims[0] == 1) return Status();
  const int64_t channels = x.rank == 0 ? 1 : x.dims[x.rank - 1];
  if (channels < 0 || channels == table.dims[0]) return Status();
  return fail(SMALTI_INVALID, "%s: of %lld channels; pass 1 or %lld, the last dimension of x", name,
              static_cast<long long>(table.dims[0]), static_cast<long long>(channels));
}

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  const Shape &x = inputs[kX], &c = inputs[kCoefficients], &knots = inputs[kKnots];
  SMALTI_TRY(check_attributes(attributes));
  if (c.rank >= 0) SMALTI_TRY(check_coefficients(c));
  if (knots.rank >= 0) SMALTI_TRY(check_knots(knots, c));
  SMALTI_TRY(check_channels("coefficients", c, x));
  SMALTI_TRY(check_channels("knots", knots, x));
  *output = x;
  return Status();
}

Status check_size(const char *name, const Tensor &table) {
  if (elements(table) <= kMaxTable) return Status();
  return fail(SMALTI_INVALID, "%s: %lld of them; pass at most 2^30", name,
              static_cast<long long>(elements(table)));
}

Status check_uniform(const Spline &s) {
  if (s.intervals > kMaxUniform)
    return fail(SMALTI_INVALID, "coefficients: %d intervals; without knots pass at most 2^24",
                static_cast<int>(s.intervals));
  if (!(s.step[0] > 0) || !(s.end[0] - s.start[0] <= kLargest))
    return fail(SMALTI_INVALID,
                "step: %g from start %g; without knots pass a step above 0, and an "
                "end that float32 has",
                static_cast<double>(s.step[0]), static_cast<double>(s.start[0]));
  return Status();
}

Status check_order(const float *knots, int64_t channels, int64_t count) {
  for (int64_t channel = 0; channel < channels; ++channel, knots += count) {
    bool sorted = knots[count - 1] - knots[0] <= kLargest;
    for (int64_t j = 1; j < count; ++j) sorted &= knots[j] >= knots[j - 1];
    if (!sorted)
      return fail(SMALTI_INVALID,
                  "knots: those of channel %lld do not ascend; pass finite ones, sorted",
                  static_cast<long long>(channel));
  }
  return Status();
}

// (rows, count) -> (rows, count - 1); one zero remains of a constant. In place too.
void differentiate(const float *from, int64_t rows, int64_t count, float *to) {
  const int64_t left = count > 1 ? count - 1 : 1;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < left; ++i)
      to[row * left + i] = count > 1 ? from[row * count + i + 1] * static_cast<float>(i + 1) : 0.0f;
  }
}

// Lets s evaluate a derivative's table instead, in scratch memory.
Status take_derivative(int64_t times, int64_t rows, int64_t *count, Spline *s) {
  const int64_t bytes = rows * *count * static_cast<int64_t>(sizeof(float));
  float *table = static_cast<float *>(scratch(Slot::kCall, bytes));
  if (table == nullptr) return no_memory(bytes);
  for (; times > 0; --times, *count -= *count > 1) {
    differentiate(s->table, rows, *count, table);
    s->table = table;
  }
  return Status();
}

template <int kCount>
void evaluate(const Call &call, const Spline &s) {
  const float *x = static_cast<const float *>(call.inputs[kX].data);
  float *y = static_cast<float *>(call.output->data);
  const int64_t points = elements(*call.output);
  in_ranges(call.parallel, (points + kLanes - 1) / kLanes, kBlockWork,
            [&](int64_t begin, int64_t end) {
              const int64_t last = end * kLanes < points ? end * kLanes : points;
              if (s.knots == nullptr) {
                Spline::range<kCount, true>(s, x, begin * kLanes, last, y);
              } else {
                Spline::range<kCount, false>(s, x, begin * kLanes, last, y);
              }
            });
}

Status check_values(const Spline &s, const Tensor &knots) {
  if (s.knots == nullptr) return check_uniform(s);
  return check_order(s.knots, knots.dims[0], knots.dims[1]);
}

void describe(const Call &call, Spline &s) {
  const Tensor &x = call.inputs[kX], &c = call.inputs[kCoefficients], &k = call.inputs[kKnots];
  const Value *a = call.attributes;
  const int64_t beyond = a[kExtrapolate].i, derivative = a[kDerivative].i;
  s.table = static_cast<const float *>(c.data);
  s.knots = static_cast<const float *>(k.data);
  s.intervals = static_cast<int32_t>(c.dims[1]);
  s.table_rows = c.dims[0] > 1 ? s.intervals : 0;
  s.knot_rows = s.knots != nullptr && k.dims[0] > 1 ? s.intervals + 1 : 0;
  s.channels = s.table_rows + s.knot_rows > 0 ? x.dims[x.rank - 1] : 1;
  const float step = a[kStep].f, start = s.knots != nullptr ? s.knots[0] : a[kStart].f;
  const float end = start + static_cast<float>(s.intervals) * step;
  broadcast(start, s.start);
  broadcast(s.knots != nullptr ? s.knots[s.intervals] : end, s.end);
  broadcast(step, s.step);
  broadcast(static_cast<float>(s.intervals - 1), s.last);
  s.periodic = beyond == kPeriodic;
  s.extended = beyond == kLinear && derivative == 0;
  s.zeroed = beyond == kZero || (beyond != kPeriodic && derivative > beyond);  // of lines: 2nd
}

Status run(const Call &call) {
  const Tensor &c = call.inputs[kCoefficients];
  SMALTI_TRY(check_size("coefficients", c));
  if (call.inputs[kKnots].data != nullptr) SMALTI_TRY(check_size("knots", call.inputs[kKnots]));
  Spline s = {};
  describe(call, s);
  SMALTI_TRY(check_values(s, call.inputs[kKnots]));
  int64_t count = c.dims[2];
  const int64_t times = call.attributes[kDerivative].i;
  if (times > 0) SMALTI_TRY(take_derivative(times, c.dims[0] * c.dims[1], &count, &s));
  constexpr void (*kEvaluate[])(const Call &, const Spline &) = {
      evaluate<1>, evaluate<2>, evaluate<3>, evaluate<4>, evaluate<5>, evaluate<6>};
  kEvaluate[count - 1](call, s);
  return Status();
}

}  // namespace

extern const Op SplineEval;
const Op SplineEval = {
    "SplineEval",
    3,
    {{"x", SMALTI_F32}, {"coefficients", SMALTI_F32}, {"knots", SMALTI_F32, true}},
    {"y", SMALTI_F32},
    4,
    {{"extrapolate", Kind::kInt},
     {"derivative", Kind::kInt},
     {"start", Kind::kFloat},
     {"step", Kind::kFloat}},
    shape,
    run};

}  // namespace smalti::SMALTI_LEVEL
