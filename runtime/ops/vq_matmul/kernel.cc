// y = x W^T + bias, where x is rotated and W is packed in the rotated basis.
#include "core/matmul.h"
#include "core/transpose.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kCodes, kScales, kGrid, kBias };
enum Attributes { kOutFeatures, kStep, kInt8 };

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  *output = inputs[kX];
  if (output->rank == 0) return fail(SMALTI_INVALID, "x: a scalar has no columns");
  if (output->rank > 0) output->dims[output->rank - 1] = attributes[kOutFeatures].i;
  return Status();
}

// x (rows, columns) -> y (rows, features), for multiply().
struct Rows {
  int64_t count, columns, padded_columns, features;
  const float *x, *bias;
  float *y;

  int64_t units() const { return count; }
  int rows(int64_t) const { return 1; }
  int64_t scratch_bytes() const { return padded_columns * sizeof(float); }
  void start(void *) const {}

  const float *fill(int64_t row, void *scratch) const {
    if (columns == padded_columns) return x + row * columns;
    float *to = static_cast<float *>(scratch);
    memcpy(to, x + row * columns, columns * sizeof *to);
    memset(to + columns, 0, (padded_columns - columns) * sizeof *to);
    return to;
  }

  void write(int64_t row, int64_t tile, const float *out) const {
    const int64_t feature = tile * kTileRows, left = features - feature;
    float *to = y + row * features + feature;
    if (left < kTileRows) {
      for (int64_t i = 0; i < left; ++i)
        to[i] = out[i] + (bias == nullptr ? 0.0f : bias[feature + i]);
      return;
    }
    for (int i = 0; i < kTileRows; i += kLanes) {
      Floats sums, add = {};
      load(out + i, sums);
      if (bias != nullptr) load(bias + feature + i, add);
      store(sums + add, to + i);
    }
  }
};

// The same rows in blocks of kLanes.
struct Blocks {
  Rows all;

  int64_t units() const { return (all.count + kLanes - 1) / kLanes; }
  int rows(int64_t block) const {
    const int64_t left = all.count - block * kLanes;
    return left < kLanes ? static_cast<int>(left) : kLanes;
  }
  int64_t scratch_bytes() const { return all.padded_columns * sizeof(Floats); }
  void start(void *) const {}

  Floats *fill(int64_t block, void *scratch) const {
    Floats *to = static_cast<Floats *>(scratch);
    load_columns(all.x + block * kLanes * all.columns, rows(block), all.columns, to);
    memset(to + all.columns, 0, (all.padded_columns - all.columns) * sizeof *to);
    return to;
  }

  void write(int64_t block, int64_t tile, const float *out) const {
    for (int i = 0; i < rows(block); ++i) all.write(block * kLanes + i, tile, out + i * kTileRows);
  }
};

Status run(const Call &call) {
  const Tensor &x = call.inputs[kX], &bias = call.inputs[kBias];
  Weights w;
  SMALTI_TRY(open_weights(call.inputs[kCodes], call.inputs[kScales], call.inputs[kGrid], &w));
  const int64_t columns = x.dims[x.rank - 1], features = w.header.rows;
  if (columns != w.header.columns)
    return fail(SMALTI_INVALID, "x: %lld columns, the weights have %u",
                static_cast<long long>(columns), w.header.columns);
  if (call.attributes[kOutFeatures].i != features)
    return fail(SMALTI_CORRUPT, "out_features is %lld, the weights have %lld rows",
                static_cast<long long>(call.attributes[kOutFeatures].i),
                static_cast<long long>(features));
  if (bias.data != nullptr) SMALTI_TRY(expect_count("bias", elements(bias), features));

  const Rows rows = {elements(x) / columns,
                     columns,
                     w.padded_columns,
                     features,
                     static_cast<const float *>(x.data),
                     static_cast<const float *>(bias.data),
                     static_cast<float *>(call.output->data)};
  const float step = call.attributes[kStep].f;
  const bool int8 = call.attributes[kInt8].i != 0;
  if (int8 && rows.count <= kFewRows) return multiply<IntegerRows>(w, step, rows, call.parallel);
  const Blocks blocks = {rows};
  if (int8) return multiply<IntegerBlocks>(w, step, blocks, call.parallel);
  return multiply<FloatBlocks>(w, step, blocks, call.parallel);
}

}  // namespace

extern const Op VQMatMul;
const Op VQMatMul = {"VQMatMul",
                     5,
                     {{"x", SMALTI_F32},
                      {"codes", SMALTI_U8},
                      {"scales", SMALTI_F16},
                      {"grid", SMALTI_I8},
                      {"bias", SMALTI_F32, true}},
                     {"y", SMALTI_F32},
                     3,
                     {{"out_features", Kind::kInt}, {"step", Kind::kFloat}, {"int8", Kind::kInt}},
                     shape,
                     run};

}  // namespace smalti::SMALTI_LEVEL
