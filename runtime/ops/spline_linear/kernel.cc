// A layer of a Kolmogorov-Arnold network. An input touches degree + 1 of its coefficients' rows, so
// that is all that is read: no table of basis values. Eight inputs of some rows of x are located at
// once; then the rows of coefficients that these inputs share stay in the cache for all of them.
#include "core/elementary.h"
#include "core/half.h"
#include "core/packed.h"
#include "core/ranges.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kCoefficients, kBase };
enum Attributes { kDegree, kLow, kHigh };

constexpr int kMaxDegree = 3;
constexpr int kTerms = kMaxDegree + 2;               // an input's products: splines', then silu's
constexpr int kRows = 32;                            // of x, located at once: 6 KB
constexpr int kVectors = 8;                          // of outputs, summed at once
constexpr int64_t kManyBlocks = 8;                   // of rows: enough for threads to share
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

inline void load(const uint16_t *from, Floats &to) {
#ifdef __F16C__
  __m128i halves;
  memcpy(&halves, from, sizeof halves);
  to = reinterpret_cast<Floats>(_mm256_cvtph_ps(halves));
#else
  for (int i = 0; i < kLanes; ++i) to[i] = half_to_float(from[i]);
#endif
}

using SMALTI_LEVEL::load;

inline float to_float(float value) { return value; }
inline float to_float(uint16_t half) { return half_to_float(half); }

// The B-spline of knots 0, 1, ..., degree + 1 at s, in the reference's order of operations.
SMALTI_INLINE void cardinal(const Floats &s, int64_t degree, Floats &to) {
  const float middle = 0.5f * static_cast<float>(degree + 1);
  const Floats zero = {}, from_middle = s - middle;
  Floats t, tail;
  select(from_middle < 0.0f, -from_middle, from_middle, t);
  tail = middle - t;
  select(tail < 0.0f, zero, tail, tail);  // NaN stays
  if (degree == 0) {
    select((s >= 0.0f) & (s < 1.0f), zero + 1.0f, 0.0f * tail, to);
  } else if (degree == 1) {
    to = tail;
  } else if (degree == 2) {
    select(t < 0.5f, 0.75f - t * t, 0.5f * tail * tail, to);
  } else {
    select(t < 1.0f, 2.0f / 3.0f - t * t + 0.5f * t * t * t, tail * tail * tail / 6.0f, to);
  }
}

// Eight inputs of up to kRows rows of x: which rows of coefficients they take, with which weights.
struct Located {
  int32_t cells[kRows][kLanes];
  float weights[kRows][kTerms][kLanes];
};

template <class Coefficient>
struct Layer {
  const float *x;                   // (rows, inputs)
  const Coefficient *coefficients;  // (inputs, intervals + degree, outputs)
  const float *base;                // (inputs, outputs), or null
  float *y;                         // (rows, outputs)
  int64_t inputs, outputs, degree, intervals;
  float low, scale;

  void locate(const float *from, int64_t count, int32_t *cells, float (*weights)[kLanes]) const {
    Floats x = {}, u, cell, weight;
    memcpy(&x, from, count * sizeof *from);
    u = (x - low) * scale;
    select(u > 0.0f, u, Floats{}, cell);  // NaN becomes the first
    Floats last;
    broadcast(static_cast<float>(intervals - 1), last);
    select(cell < last, cell, last, cell);
    Ints first;
    floor_of(cell, first);
    store(first, cells);
    to_floats(first, cell);
    for (int64_t r = 0; r <= degree; ++r) {
      cardinal(u - cell + static_cast<float>(degree - r), degree, weight);
      store(weight, weights[r]);
    }
    if (base != nullptr) {
      exponential(-x, weight);
      store(x / (1.0f + weight), weights[degree + 1]);
    }
  }

  // Calls body(weight, row of values for `output` and on) for what n inputs add, always in the
  // same order, so that blocks of any size give the same bits.
  template <class Body>
  SMALTI_INLINE void for_terms(const Located &at, int64_t row, int64_t input, int64_t n,
                               int64_t output, Body &&body) const {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t cell = (input + i) * (intervals + degree) + at.cells[row][i];
      const Coefficient *from = coefficients + cell * outputs + output;
      for (int64_t r = 0; r <= degree; ++r, from += outputs) body(at.weights[row][r][i], from);
      if (base != nullptr)
        body(at.weights[row][degree + 1][i], base + (input + i) * outputs + output);
    }
  }

  // Adds n inputs to blocks of kCount vectors of outputs, then to smaller ones; returns the first
  // output that is left.
  template <int kCount>
  int64_t add_vectors(const Located &at, int64_t rows, int64_t input, int64_t n, int64_t output,
                      int64_t last, float *to) const {
    for (; output + kCount * kLanes <= last; output += kCount * kLanes) {
      for (int64_t row = 0; row < rows; ++row) {
        float *sums_to = to + row * outputs + output;
        Floats sums[kCount];
        unrolled<kCount>([&](int v) { SMALTI_LEVEL::load(sums_to + v * kLanes, sums[v]); });
        for_terms(at, row, input, n, output, [&](float weight, const auto *from) {
          unrolled<kCount>([&](int v) {
            Floats values;
            load(from + v * kLanes, values);
            sums[v] += weight * values;
          });
        });
        unrolled<kCount>([&](int v) { store(sums[v], sums_to + v * kLanes); });
      }
    }
    if constexpr (kCount > 1) return add_vectors<kCount / 2>(at, rows, input, n, output, last, to);
    return output;
  }

  void add_rest(const Located &at, int64_t rows, int64_t input, int64_t n, int64_t output,
                int64_t last, float *to) const {
    for (int64_t row = 0; row < rows; ++row) {
      float *sums = to + row * outputs + output;
      for_terms(at, row, input, n, output, [&](float weight, const auto *from) {
        for (int64_t o = 0; o < last - output; ++o) sums[o] += weight * to_float(from[o]);
      });
    }
  }

  // Outputs [output, last) of up to kRows rows.
  void run(int64_t row, int64_t rows, int64_t output, int64_t last) const {
    Located at;
    float *to = y + row * outputs;
    for (int64_t i = 0; i < rows; ++i)
      memset(to + i * outputs + output, 0, (last - output) * sizeof *to);
    for (int64_t input = 0; input < inputs; input += kLanes) {
      const int64_t n = inputs - input < kLanes ? inputs - input : kLanes;
      for (int64_t i = 0; i < rows; ++i)
        locate(x + (row + i) * inputs + input, n, at.cells[i], at.weights[i]);
      const int64_t rest = add_vectors<kVectors>(at, rows, input, n, output, last, to);
      if (rest < last) add_rest(at, rows, input, n, rest, last, to);
    }
  }
};

template <class Coefficient>
void run_layer(const Call &call) {
  const Tensor &x = call.inputs[kX], &c = call.inputs[kCoefficients];
  const Value *a = call.attributes;
  const int64_t degree = a[kDegree].i, intervals = c.dims[1] - degree, outputs = c.dims[2];
  const Layer<Coefficient> layer = {static_cast<const float *>(x.data),
                                    static_cast<const Coefficient *>(c.data),
                                    static_cast<const float *>(call.inputs[kBase].data),
                                    static_cast<float *>(call.output->data),
                                    c.dims[0],
                                    outputs,
                                    degree,
                                    intervals,
                                    a[kLow].f,
                                    static_cast<float>(intervals) / (a[kHigh].f - a[kLow].f)};
  const int64_t rows = elements(*call.output) / outputs;
  const int64_t blocks = (rows + kRows - 1) / kRows;
  // Few rows: threads share the outputs, and each locates the inputs anew.
  const int64_t width = blocks < kManyBlocks ? kVectors * kLanes : outputs;
  const int64_t parts = (outputs + width - 1) / width;
  const int64_t work = (rows < kRows ? rows : kRows) * layer.inputs * (degree + 2) * width;
  in_ranges(call.parallel, blocks * parts, work, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / parts * kRows, output = i % parts * width;
      layer.run(row, rows - row < kRows ? rows - row : kRows, output,
                outputs - output < width ? outputs : output + width);
    }
  });
}

Status run(const Call &call) {
  if (elements(*call.output) == 0) return Status();
  if (call.inputs[kCoefficients].type == SMALTI_F16) {
    run_layer<uint16_t>(call);
  } else {
    run_layer<float>(call);
  }
  return Status();
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
