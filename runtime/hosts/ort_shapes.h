// Shape inference under ONNX Runtime, with the names of symbolic dimensions carried through.
#pragma once

#include <string.h>

#include "hosts/ort_status.h"
#include "hosts/signature.h"

namespace smalti::ort {

// The names met so far: name i stands in a Shape as the dimension -2 - i.
struct Symbols {
  const char *names[kMaxInputs * SMALTI_MAX_RANK];
  int count = 0;

  int64_t code(const char *name) {
    if (name == nullptr || *name == 0) return -1;
    int i = 0;
    while (i < count && strcmp(names[i], name) != 0) ++i;
    if (i == count) names[count++] = name;
    return -2 - i;
  }

  const char *name(int64_t code) const {
    return code <= -2 && code > -2 - count ? names[-2 - code] : "";
  }
};

// A rank of 0 is how the engine shows a scalar and an unknown rank alike: unknown is safe for both.
inline OrtStatus *read_shape(const OrtApi *api, const OrtShapeInferContext *context, size_t index,
                             Symbols *symbols, Shape *shape) {
  OrtTensorTypeAndShapeInfo *info = nullptr;  // the engine's own: not for us to release
  size_t rank = 0;
  ORT_TRY(ShapeInferContext_GetInputTypeShape(api, context, index, &info));
  ORT_TRY(GetDimensionsCount(api, info, &rank));
  if (rank == 0 || rank > SMALTI_MAX_RANK) return nullptr;
  const char *names[SMALTI_MAX_RANK] = {};
  ORT_TRY(GetDimensions(api, info, shape->dims, rank));
  ORT_TRY(GetSymbolicDimensions(api, info, names, rank));
  shape->rank = static_cast<int>(rank);
  for (size_t i = 0; i < rank; ++i) {
    if (shape->dims[i] < 0) shape->dims[i] = symbols->code(names[i]);
  }
  return nullptr;
}

inline OrtStatus *read_attributes(const OrtApi *api, const OrtShapeInferContext *context,
                                  const Op &op, Value *values) {
  constexpr OrtAttributeType types[] = {kInt, kFloat, kInts};
  for (int i = 0; i < op.attribute_count; ++i) {
    const Attribute &attribute = op.attributes[i];
    const OrtOpAttr *found = nullptr;
    ORT_TRY(ShapeInferContext_GetAttribute(api, context, attribute.name, &found));
    void *data[] = {&values[i].i, &values[i].f, values[i].ints};
    const size_t room[] = {sizeof values[i].i, sizeof values[i].f, sizeof values[i].ints};
    const int kind = static_cast<int>(attribute.kind);
    size_t bytes = 0;
    ORT_TRY(ReadOpAttr(api, found, types[kind], data[kind], room[kind], &bytes));
    if (attribute.kind == Kind::kInts) values[i].count = static_cast<int>(bytes / sizeof(int64_t));
  }
  return nullptr;
}

inline OrtStatus *describe_output(const OrtApi *api, const Op &op, const Symbols &symbols,
                                  const Shape &shape, OrtTensorTypeAndShapeInfo *info) {
  int64_t dims[SMALTI_MAX_RANK];
  const char *names[SMALTI_MAX_RANK];
  for (int i = 0; i < shape.rank; ++i) {
    dims[i] = shape.dims[i] < 0 ? -1 : shape.dims[i];
    names[i] = symbols.name(shape.dims[i]);
  }
  ORT_TRY(SetTensorElementType(api, info, static_cast<OrtElementType>(op.output.type)));
  ORT_TRY(SetDimensions(api, info, dims, shape.rank));
  return SetSymbolicDimensions(api, info, names, shape.rank);
}

inline OrtStatus *set_output(const OrtApi *api, OrtShapeInferContext *context, const Op &op,
                             const Symbols &symbols, const Shape &shape) {
  OrtTensorTypeAndShapeInfo *info = nullptr;
  ORT_TRY(CreateTensorTypeAndShapeInfo(api, &info));
  OrtStatus *status = describe_output(api, op, symbols, shape, info);
  if (status == nullptr) status = ShapeInferContext_SetOutputTypeShape(api, context, 0, info);
  ReleaseTensorTypeAndShapeInfo(api, info);
  return status;
}

// What cannot be inferred stays unknown; only a shape that can never work is an error (`status`).
inline OrtStatus *infer_output(const OrtApi *api, OrtShapeInferContext *context, const Op &op,
                               Status *status) {
  Value attributes[kMaxAttributes] = {};
  // An attribute that is missing or wrong is reported when the kernel is created.
  if (!succeeded(api, read_attributes(api, context, op, attributes))) return nullptr;
  Symbols symbols;
  Shape shapes[kMaxInputs];
  size_t count = 0;
  bool known = true;
  ORT_TRY(ShapeInferContext_GetInputCount(api, context, &count));
  for (int i = 0; i < op.input_count; ++i) {
    shapes[i] = {-1, {}};
    if (static_cast<size_t>(i) >= count) continue;
    ORT_TRY(read_shape(api, context, i, &symbols, &shapes[i]));
    known = known && is_known(shapes[i]);
  }
  Shape shape = {-1, {}};
  const Status inferred = op.shape(shapes, attributes, &shape);
  if (!inferred.ok() && known) *status = inferred;
  if (!inferred.ok() || shape.rank < 0) return nullptr;
  return set_output(api, context, op, symbols, shape);
}

}  // namespace smalti::ort
