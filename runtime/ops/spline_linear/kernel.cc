// A layer of a Kolmogorov-Arnold network: splines and SiLU on every edge, summed over the inputs.
#include "core/packed.h"
#include "core/ranges.h"
#include "ops/spline_linear/layer.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kCoefficients, kBase };
enum Attributes { kDegree, kLow, kHigh };

constexpr int64_t kFewTasks = 4;                     // that threads can still share
constexpr int64_t kMaxIntervals = int64_t{1} << 20;  // float32 has to tell them apart

Status check_attributes(const Value *a) {
  if (a[kDegree].i < 0 || a[kDegree].i > kMaxDegree)
    return fail(SMALTI_INVALID, "degree: %lld; pass 0 to 3", static_cast<long long>(a[kDegree].i));
  const float span = a[kHigh].f - a[kLow].f;
  if (!(span > 0 && span < kInfinity))
    return fail(SMALTI_INVALID, "high: %g; pass more than low, which is %g", a[kHigh].f, a[kLow].f);
  return Status();
}

Status check_coefficients(const Shape &c, int64_t degree) {
  if (c.rank < 0) return Status();
  if (c.rank != 3)
    return fail(SMALTI_INVALID, "coefficients: rank %d; pass (in, intervals + degree, out)",
                c.rank);
  const int64_t intervals = c.dims[1] - degree;
  if (c.dims[1] >= 0 && (intervals < 1 || intervals > kMaxIntervals))
    return fail(SMALTI_INVALID,
                "coefficients: %lld an edge; pass one for each of 1 to 2^20 intervals and %lld for "
                "the degree",
                static_cast<long long>(c.dims[1]), static_cast<long long>(degree));
  return Status();
}

Status check_same(const char *name, int64_t have, int64_t want, const char *what) {
  if (have < 0 || want < 0 || have == want) return Status();
  return fail(SMALTI_INVALID, "%s: %lld %s; pass %lld as coefficients has", name,
              static_cast<long long>(have), what, static_cast<long long>(want));
}

Status check_base(const Shape &base, const Shape &c) {
  if (base.rank < 0) return Status();
  if (base.rank != 2) return fail(SMALTI_INVALID, "base: rank %d; pass (in, out)", base.rank);
  if (c.rank < 0) return Status();
  SMALTI_TRY(check_same("base", base.dims[0], c.dims[0], "inputs"));
  return check_same("base", base.dims[1], c.dims[2], "outputs");
}

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  const Shape &x = inputs[kX], &c = inputs[kCoefficients];
  SMALTI_TRY(check_attributes(attributes));
  SMALTI_TRY(check_coefficients(c, attributes[kDegree].i));
  SMALTI_TRY(check_base(inputs[kBase], c));
  if (x.rank < 0) return Status();
  if (x.rank == 0) return fail(SMALTI_INVALID, "x: rank 0; pass (..., in)");
  if (c.rank >= 0) SMALTI_TRY(check_same("x", x.dims[x.rank - 1], c.dims[0], "inputs"));
  *output = x;
  output->dims[x.rank - 1] = c.rank < 0 ? -1 : c.dims[2];
  return Status();
}

template <class T>
struct Layer {
  const float *x;  // (rows, inputs)
  float *y;        // (rows, outputs)
  Panel<T> values;
  int64_t rows, inputs, outputs, degree;
  Intervals on;

  int64_t splines() const { return on.count + degree; }

  // Whether some rows of x come back to the same values often enough to copy these.
  bool packs(int64_t rows_here) const { return rows_here * (degree + 1) >= 2 * splines(); }

  int64_t packed_bytes() const {
    return packs(kRows) ? kShared * (splines() + 1) * kMostVectors * sizeof(Floats) : 0;
  }

  void locate(int64_t row, int64_t count, int64_t input, int64_t lanes, Located &at) const {
    const float *from = x + row * inputs + input;
    const bool base = values.base != nullptr;
    if (degree == 0) at.fill<0>(on, base, from, inputs, count, lanes);
    if (degree == 1) at.fill<1>(on, base, from, inputs, count, lanes);
    if (degree == 2) at.fill<2>(on, base, from, inputs, count, lanes);
    if (degree == 3) at.fill<3>(on, base, from, inputs, count, lanes);
  }

  // Blocks of kCount vectors of the outputs from `output` to `last`, then smaller ones.
  template <int kCount>
  void add(const Panel<T> &panel, const Located &at, const Share &s, int64_t output, int64_t last,
           float *to, float *space) const {
    for (; output + kCount * kLanes <= last; output += kCount * kLanes) {
      const Panel<T> here = panel.moved(0, output);
      if (packs(s.rows)) {
        const Panel<float> copy = here.template packed<kCount>(s.inputs, splines(), space);
        copy.template add<kCount>(at, s, to + output);
      } else {
        here.template add<kCount>(at, s, to + output);
      }
    }
    if constexpr (kCount > 1) {
      add<kCount / 2>(panel, at, s, output, last, to, space);
    } else if (output < last) {
      panel.moved(0, output).add_rest(at, s, last - output, to + output);
    }
  }

  // Outputs [output, last) of `count` rows, at most kRows. space: packed_bytes() of scratch.
  void run(int64_t row, int64_t count, int64_t output, int64_t last, float *space) const {
    Located at;
    float *to = y + row * outputs;
    for (int64_t i = 0; i < count; ++i)
      memset(to + i * outputs + output, 0, (last - output) * sizeof *to);
    for (int64_t input = 0; input < inputs; input += kLanes) {
      const int64_t lanes = inputs - input < kLanes ? inputs - input : kLanes;
      locate(row, count, input, lanes, at);
      for (int64_t lane = 0; lane < lanes; lane += kShared) {
        const int64_t shared = lanes - lane < kShared ? lanes - lane : kShared;
        add<kMostVectors>(values.moved(input + lane, 0), at, {count, lane, shared, degree, outputs},
                          output, last, to, space);
      }
    }
  }
};

// Few rows: tasks share the outputs, too, though each of them locates the inputs anew.
template <class T>
int64_t width_of_task(const Layer<T> &layer, int64_t blocks) {
  const int64_t work = layer.rows * layer.inputs * (layer.degree + 2) * layer.outputs;
  const int64_t tasks = work / kTaskWork < kFewTasks ? work / kTaskWork + 1 : kFewTasks;
  const int64_t parts = (tasks + blocks - 1) / blocks;
  return round_up((layer.outputs + parts - 1) / parts, kMostVectors * kLanes);
}

template <class T>
Status run_layer(const Layer<T> &layer, const Parallel &parallel) {
  const int64_t blocks = (layer.rows + kRows - 1) / kRows, outputs = layer.outputs;
  const int64_t width = width_of_task(layer, blocks), parts = (outputs + width - 1) / width;
  const int64_t rows_each = layer.rows < kRows ? layer.rows : kRows, bytes = layer.packed_bytes();
  bool exhausted = false;
  in_ranges(parallel, blocks * parts, rows_each * layer.inputs * (layer.degree + 2) * width,
            [&](int64_t begin, int64_t end) {
              float *space = static_cast<float *>(scratch(Slot::kTask, bytes));
              const bool enough = space != nullptr || bytes == 0;
              if (!enough) __atomic_store_n(&exhausted, true, __ATOMIC_RELAXED);
              for (int64_t i = begin; i < end && enough; ++i) {
                const int64_t row = i / parts * kRows, output = i % parts * width;
                layer.run(row, layer.rows - row < kRows ? layer.rows - row : kRows, output,
                          outputs - output < width ? outputs : output + width, space);
              }
            });
  return exhausted ? no_memory(bytes) : Status();
}

template <class T>
Status run_with(const Call &call) {
  const Tensor &c = call.inputs[kCoefficients];
  const Value *a = call.attributes;
  const int64_t inputs = c.dims[0], splines = c.dims[1], outputs = c.dims[2];
  const int64_t intervals = splines - a[kDegree].i;
  const float scale = static_cast<float>(intervals) / (a[kHigh].f - a[kLow].f);
  const Panel<T> values = {static_cast<const T *>(c.data),
                           static_cast<const float *>(call.inputs[kBase].data), splines * outputs,
                           outputs, outputs};
  const Layer<T> layer = {static_cast<const float *>(call.inputs[kX].data),
                          static_cast<float *>(call.output->data),
                          values,
                          elements(*call.output) / outputs,
                          inputs,
                          outputs,
                          a[kDegree].i,
                          {a[kLow].f, scale, intervals}};
  return run_layer(layer, call.parallel);
}

Status run(const Call &call) {
  if (elements(*call.output) == 0) return Status();
  const bool half = call.inputs[kCoefficients].type == SMALTI_F16;
  return half ? run_with<uint16_t>(call) : run_with<float>(call);
}

}  // namespace

extern const Op SplineLinear;
const Op SplineLinear = {"SplineLinear",
                         3,
                         {{"x", SMALTI_F32},
                          {"coefficients", SMALTI_F32, false, type_bit(SMALTI_F16)},
                          {"base", SMALTI_F32, true}},
                         {"y", SMALTI_F32},
                         3,
                         {{"degree", Kind::kInt}, {"low", Kind::kFloat}, {"high", Kind::kFloat}},
                         shape,
                         run};

}  // namespace smalti::SMALTI_LEVEL
