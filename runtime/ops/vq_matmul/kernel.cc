// y = x W^T + bias, where x is rotated and W is packed in the rotated basis.
#include "core/matmul.h"

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

  const float *from = static_cast<const float *>(x.data);
  const float *add = static_cast<const float *>(bias.data);
  float *to = static_cast<float *>(call.output->data);
  const auto fill = [&](int64_t row, int64_t count, float *buffer) -> const float * {
    if (columns == w.padded_columns) return from + row * columns;
    memset(buffer, 0, count * w.padded_columns * sizeof *buffer);
    for (int64_t i = 0; i < count; ++i)
      memcpy(buffer + i * w.padded_columns, from + (row + i) * columns, columns * sizeof *buffer);
    return buffer;
  };
  const auto write = [&](int64_t first, int64_t rows, int64_t tile, const float *out) {
    const int64_t feature = tile * kTileRows;
    const int64_t count = features - feature < kTileRows ? features - feature : kTileRows;
    for (int64_t row = 0; row < rows; ++row) {
      float *y = to + (first + row) * features + feature;
      for (int64_t i = 0; i < count; ++i)
        y[i] = out[row * kTileRows + i] + (add == nullptr ? 0.0f : add[feature + i]);
    }
  };
  return multiply(w, call.attributes[kStep].f, call.attributes[kInt8].i != 0, elements(x) / columns,
                  call.parallel, fill, write);
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
