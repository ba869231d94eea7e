// One node's kernel under ONNX Runtime: its attributes, and how a call reaches the operator.
#pragma once

#include <stdlib.h>

#include "hosts/ort_status.h"
#include "hosts/signature.h"

namespace smalti::ort {

struct Kernel {
  const OrtApi *api;
  int index;
  Value attributes[kMaxAttributes];
};

inline bool read_ints(const OrtApi *api, const OrtKernelInfo *info, const char *name, Value *value,
                      size_t *count) {
  if (!succeeded(api, KernelInfoGetAttributeArray_int64(api, info, name, nullptr, count))) {
    return false;
  }
  if (*count > SMALTI_MAX_RANK) return true;
  value->count = static_cast<int>(*count);
  size_t room = SMALTI_MAX_RANK;
  return *count == 0 ||
         succeeded(api, KernelInfoGetAttributeArray_int64(api, info, name, value->ints, &room));
}

inline Status read_attribute(const OrtApi *api, const OrtKernelInfo *info,
                             const Attribute &attribute, Value *value) {
  bool found = false;
  size_t count = 0;
  switch (attribute.kind) {
    case Kind::kInt:
      found = succeeded(api, KernelInfoGetAttribute_int64(api, info, attribute.name, &value->i));
      break;
    case Kind::kFloat:
      found = succeeded(api, KernelInfoGetAttribute_float(api, info, attribute.name, &value->f));
      break;
    case Kind::kInts:
      found = read_ints(api, info, attribute.name, value, &count);
      break;
  }
  if (!found) return missing_attribute(attribute);
  return count > SMALTI_MAX_RANK ? bad_ints(attribute, static_cast<long long>(count)) : Status{};
}

inline OrtStatus *create_kernel(const Op &op, int index, const OrtApi *api,
                                const OrtKernelInfo *info, void **created) {
  auto *kernel = static_cast<Kernel *>(calloc(1, sizeof(Kernel)));
  Status status =
      kernel == nullptr ? fail(SMALTI_OUT_OF_MEMORY, "no memory for a kernel") : Status{};
  for (int i = 0; status.ok() && i < op.attribute_count; ++i) {
    status = read_attribute(api, info, op.attributes[i], &kernel->attributes[i]);
  }
  if (!status.ok()) {
    free(kernel);
    return to_ort(api, op, status);
  }
  kernel->api = api;
  kernel->index = index;
  *created = kernel;
  count_kernel();
  return nullptr;
}

inline OrtStatus *read_info(const OrtApi *api, const OrtTensorTypeAndShapeInfo *info,
                            Tensor *tensor) {
  OrtElementType type = kUndefined;
  size_t rank = 0;
  ORT_TRY(GetTensorElementType(api, info, &type));
  ORT_TRY(GetDimensionsCount(api, info, &rank));
  tensor->type = type;
  tensor->rank = static_cast<int32_t>(rank);
  return rank > SMALTI_MAX_RANK ? nullptr : GetDimensions(api, info, tensor->dims, rank);
}

inline OrtStatus *read_input(const OrtApi *api, const OrtKernelContext *context, int index,
                             Tensor *tensor) {
  const OrtValue *value = nullptr;
  *tensor = {};
  ORT_TRY(KernelContext_GetInput(api, context, index, &value));
  if (value == nullptr) return nullptr;
  OrtTensorTypeAndShapeInfo *info = nullptr;
  ORT_TRY(GetTensorTypeAndShape(api, value, &info));
  OrtStatus *status = read_info(api, info, tensor);
  ReleaseTensorTypeAndShapeInfo(api, info);
  if (status != nullptr) return status;
  ORT_TRY(GetTensorMutableData(api, const_cast<OrtValue *>(value), &tensor->data));
  if (tensor->data == nullptr) tensor->data = no_data();
  return nullptr;
}

inline OrtStatus *allocate_output(const OrtApi *api, OrtKernelContext *context, Tensor *output) {
  OrtValue *value = nullptr;
  ORT_TRY(KernelContext_GetOutput(api, context, 0, output->dims, output->rank, &value));
  return value == nullptr ? nullptr : GetTensorMutableData(api, value, &output->data);
}

struct Engine {
  const OrtApi *api;
  const OrtKernelContext *context;
};

struct Loop {
  void (*task)(void *argument, int64_t i);
  void *argument;
};

inline void run_task(void *loop, size_t i) {
  static_cast<Loop *>(loop)->task(static_cast<Loop *>(loop)->argument, static_cast<int64_t>(i));
}

inline void parallel_for(void *host, int64_t count, void (*task)(void *, int64_t), void *argument) {
  const auto *engine = static_cast<const Engine *>(host);
  Loop loop = {task, argument};
  OrtStatus *status = KernelContext_ParallelFor(engine->api, engine->context, run_task,
                                                static_cast<size_t>(count), 0, &loop);
  if (succeeded(engine->api, status)) return;
  for (int64_t i = 0; i < count; ++i) task(argument, i);
}

inline OrtStatus *compute(void *created, OrtKernelContext *context) {
  const auto *kernel = static_cast<const Kernel *>(created);
  const OrtApi *api = kernel->api;
  const Op &op = *active_level()->ops[kernel->index];
  Tensor inputs[kMaxInputs];
  Tensor output = {};
  for (int i = 0; i < op.input_count; ++i) ORT_TRY(read_input(api, context, i, &inputs[i]));
  Status status = check_inputs(op, inputs);
  if (status.ok()) status = shape_output(op, inputs, kernel->attributes, &output);
  if (!status.ok()) return to_ort(api, op, status);
  ORT_TRY(allocate_output(api, context, &output));
  Engine engine = {api, context};
  return to_ort(api, op,
                run_op(op, {inputs, kernel->attributes, &output, {parallel_for, &engine}}));
}

inline void destroy_kernel(void *created) { free(created); }

}  // namespace smalti::ort
