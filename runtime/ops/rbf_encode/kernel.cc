// Features mixed from the radial basis functions nearest to a point. A table says, for each cell of
// a grid, which centers those can be: some ten, whatever the number of centers.
#include "core/elementary.h"
#include "core/packed.h"
#include "core/ranges.h"
#include "ops/rbf_encode/nearest.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kCenters, kShapes, kFeatures, kCellStart, kCellIds };
enum Attributes { kKernel, kNeighbours, kNormalise, kCells };
enum Kernel { kInverseQuadric, kInverseMultiquadric, kGaussian };

constexpr int64_t kMaxCells = 1 << 20;  // along an axis
constexpr int64_t kMaxCenters = int64_t{1} << 31;
constexpr int64_t kSearchWork = 256;  // of a point, in multiplications, about

Status check_attributes(const Value *a) {
  if (a[kKernel].i < kInverseQuadric || a[kKernel].i > kGaussian)
    return fail(SMALTI_INVALID,
                "kernel: %lld; pass 0 (inverse quadric), 1 (inverse multiquadric) or 2 (gaussian)",
                static_cast<long long>(a[kKernel].i));
  if (a[kNeighbours].i < 1 || a[kNeighbours].i > kMaxNeighbours)
    return fail(SMALTI_INVALID, "neighbours: %lld; pass 1 to %d",
                static_cast<long long>(a[kNeighbours].i), kMaxNeighbours);
  if (a[kCells].i < 1 || a[kCells].i > kMaxCells)
    return fail(SMALTI_INVALID, "cells: %lld; pass 1 to 2^20 along an axis",
                static_cast<long long>(a[kCells].i));
  return Status();
}

Status check_rank(const char *name, const Shape &given, int rank, const char *axes) {
  if (given.rank == rank || given.rank < 0) return Status();
  return fail(SMALTI_INVALID, "%s: rank %d; pass %s", name, given.rank, axes);
}

int64_t size_of(const Shape &given, int axis) { return given.rank < 0 ? -1 : given.dims[axis]; }

Status check_size(const char *name, const Shape &given, int axis, int64_t wanted) {
  const int64_t size = size_of(given, axis);
  if (size < 0 || wanted < 0 || size == wanted) return Status();
  return fail(SMALTI_INVALID, "%s: dimension %d is %lld; pass %lld", name, axis,
              static_cast<long long>(size), static_cast<long long>(wanted));
}

Status check_ranks(const Shape *inputs) {
  SMALTI_TRY(check_rank("x", inputs[kX], 2, "(N, d)"));
  SMALTI_TRY(check_rank("centers", inputs[kCenters], 2, "(K, d)"));
  SMALTI_TRY(check_rank("shapes", inputs[kShapes], 2, "(K, 1), (K, d) or (K, d * d)"));
  SMALTI_TRY(check_rank("features", inputs[kFeatures], 2, "(K, F)"));
  SMALTI_TRY(check_rank("cell_start", inputs[kCellStart], 1, "(cells^d + 1)"));
  return check_rank("cell_ids", inputs[kCellIds], 1, "(M)");
}

Status check_centers(const Shape *inputs, int64_t neighbours) {
  const int64_t count = size_of(inputs[kCenters], 0), axes = size_of(inputs[kCenters], 1);
  if (count >= 0 && count < neighbours)
    return fail(SMALTI_INVALID, "neighbours: %lld of %lld centers; pass at most as many",
                static_cast<long long>(neighbours), static_cast<long long>(count));
  if (count > kMaxCenters)
    return fail(SMALTI_INVALID, "centers: %lld; pass at most 2^31", static_cast<long long>(count));
  SMALTI_TRY(check_size("shapes", inputs[kShapes], 0, count));
  SMALTI_TRY(check_size("features", inputs[kFeatures], 0, count));
  const int64_t numbers = size_of(inputs[kShapes], 1);
  if (axes >= 0 && numbers >= 0 && numbers != 1 && numbers != axes && numbers != axes * axes)
    return fail(SMALTI_INVALID, "shapes: %lld numbers a center; pass 1, %lld or %lld",
                static_cast<long long>(numbers), static_cast<long long>(axes),
                static_cast<long long>(axes * axes));
  return Status();
}

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  SMALTI_TRY(check_attributes(attributes));
  SMALTI_TRY(check_ranks(inputs));
  SMALTI_TRY(check_centers(inputs, attributes[kNeighbours].i));
  const int64_t given = size_of(inputs[kX], 1), axes = size_of(inputs[kCenters], 1);
  SMALTI_TRY(check_size("x", inputs[kX], 1, axes));
  const int64_t d = axes < 0 ? given : axes;
  if (d == 0 || d > kMaxAxes)
    return fail(SMALTI_INVALID, "x: points of %lld coordinates; pass 1 to 3",
                static_cast<long long>(d));
  int64_t cells = axes < 0 ? -1 : 1;
  for (int64_t i = 0; i < axes; ++i) cells *= attributes[kCells].i;
  SMALTI_TRY(check_size("cell_start", inputs[kCellStart], 0, cells < 0 ? -1 : cells + 1));
  *output = {2, {size_of(inputs[kX], 0), size_of(inputs[kFeatures], 1)}};
  return Status();
}

// The basis functions of a call.
struct Basis {
  const float *shapes, *features;
  int64_t numbers, channels;  // of a shape; of the features
  int axes, neighbours;
  int64_t kernel;
  bool normalise;

  float squared_radius(const float *offset, const float *shape) const {
    if (numbers > axes) return quadratic_form(offset, shape);
    float sum = 0.0f;
    for (int i = 0; i < axes; ++i) sum += shape[numbers == 1 ? 0 : i] * (offset[i] * offset[i]);
    return sum;
  }

  float quadratic_form(const float *offset, const float *matrix) const {
    float sum = 0.0f;
    for (int i = 0; i < axes; ++i) {
      float row = 0.0f;
      for (int j = 0; j < axes; ++j) row += matrix[i * axes + j] * offset[j];
      sum += row * offset[i];
    }
    return sum;
  }

  void of(const Floats &r2, Floats &phi) const {
    if (kernel == kGaussian) return exponential(-r2, phi);
    phi = 1.0f + r2;
    if (kernel == kInverseMultiquadric) square_root(phi, phi);
    phi = 1.0f / phi;
  }

  // What every neighbour's features are multiplied by.
  void weigh(const float *point, const float *centers, const Nearest &nearest,
             float *weights) const {
    for (int i = 0; i < neighbours; ++i) {
      const int64_t id = nearest.id(i);
      float offset[kMaxAxes];
      for (int a = 0; a < axes; ++a) offset[a] = point[a] - centers[id * axes + a];
      weights[i] = squared_radius(offset, shapes + id * numbers);
    }
    float sum = 0.0f;
    for (int i = 0; i < neighbours; i += kLanes) {
      Floats lanes;
      load(weights + i, lanes);
      of(lanes, lanes);
      store(lanes, weights + i);
    }
    for (int i = 0; i < neighbours && normalise; ++i) sum += weights[i];
    for (int i = 0; i < neighbours && normalise; ++i) weights[i] /= sum == 0.0f ? 1.0f : sum;
  }

  void mix(const Nearest &nearest, const float *weights, float *to) const {
    for (int i = 0; i < neighbours; ++i) {
      const float *from = features + nearest.id(i) * channels, weight = weights[i];
      for (int64_t c = 0; c < channels; ++c) to[c] = (i == 0 ? 0.0f : to[c]) + weight * from[c];
    }
  }

  void encode(const float *x, const Table &table, float *to, bool *corrupt) const {
    float point[kMaxAxes] = {}, weights[kMaxNeighbours] = {};
    Nearest nearest(neighbours);
    if (!inside(x, axes, point)) {
      for (int64_t c = 0; c < channels; ++c) to[c] = kNotANumber;
    } else if (table.find(point, &nearest)) {
      weigh(point, table.centers, nearest, weights);
      mix(nearest, weights, to);
    } else {
      __atomic_store_n(corrupt, true, __ATOMIC_RELAXED);
    }
  }
};

template <class Number>
const Number *data(const Call &call, Input input) {
  return static_cast<const Number *>(call.inputs[input].data);
}

Status run(const Call &call) {
  const Value *a = call.attributes;
  const int axes = static_cast<int>(call.inputs[kX].dims[1]);
  const int64_t points = call.inputs[kX].dims[0], channels = call.inputs[kFeatures].dims[1];
  const Table table = {data<float>(call, kCenters),
                       data<int64_t>(call, kCellStart),
                       data<int64_t>(call, kCellIds),
                       call.inputs[kCenters].dims[0],
                       elements(call.inputs[kCellIds]),
                       a[kCells].i,
                       axes};
  const Basis basis = {data<float>(call, kShapes),
                       data<float>(call, kFeatures),
                       call.inputs[kShapes].dims[1],
                       channels,
                       axes,
                       static_cast<int>(a[kNeighbours].i),
                       a[kKernel].i,
                       a[kNormalise].i != 0};
  const float *x = data<float>(call, kX);
  float *to = static_cast<float *>(call.output->data);
  bool corrupt = false;
  const int64_t work = kSearchWork + channels * basis.neighbours;
  in_ranges(call.parallel, points, work, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n)
      basis.encode(x + n * axes, table, to + n * channels, &corrupt);
  });
  if (corrupt)
    return fail(SMALTI_CORRUPT,
                "cell_start, cell_ids: a cell does not list %d or more of %lld centers; build the "
                "table for these centers, neighbours and cells",
                basis.neighbours, static_cast<long long>(table.count));
  return Status();
}

}  // namespace

extern const Op RbfEncode;
const Op RbfEncode = {"RbfEncode",
                      6,
                      {{"x", SMALTI_F32},
                       {"centers", SMALTI_F32},
                       {"shapes", SMALTI_F32},
                       {"features", SMALTI_F32},
                       {"cell_start", SMALTI_I64},
                       {"cell_ids", SMALTI_I64}},
                      {"y", SMALTI_F32},
                      4,
                      {{"kernel", Kind::kInt},
                       {"neighbours", Kind::kInt},
                       {"normalise", Kind::kInt},
                       {"cells", Kind::kInt}},
                      shape,
                      run};

}  // namespace smalti::SMALTI_LEVEL
