// One node's kernel under TensorFlow Lite: its attributes, its tensors, and how a call reaches the
// operator.
#pragma once

#include <stdlib.h>

#include "hosts/flexbuffer.h"
#include "hosts/pool.h"
#include "hosts/tflite_abi.h"

namespace smalti::tflite {

// What is copied from the graph when the delegate takes a node: later it cannot be asked.
struct Kernel {
  int index;  // in the op table
  Pool *pool;
  Status status;  // what is wrong with the node, told when it is prepared
  Value attributes[kMaxAttributes];
  int inputs[kMaxInputs];
  int output;
};

inline int smalti_type(Type type) {
  switch (type) {
    case kFloat32:
      return SMALTI_F32;
    case kUInt8:
      return SMALTI_U8;
    case kInt64:
      return SMALTI_I64;
    case kInt8:
      return SMALTI_I8;
    case kFloat16:
      return SMALTI_F16;
  }
  return 0;
}

// The engine's tensor in our words. Before anything has run, `data` says only that it is there.
inline Tensor view(const TfTensor &tensor) {
  const int rank = tensor.dims == nullptr ? 0 : tensor.dims->size;
  Tensor found = {
      tensor.data == nullptr ? no_data() : tensor.data, smalti_type(tensor.type), rank, {}};
  for (int i = 0; i < rank && i < SMALTI_MAX_RANK; ++i) found.dims[i] = tensor.dims->data[i];
  return found;
}

inline const char *name_of(const Context *context, int tensor) {
  const char *name = context->tensors[tensor].name;
  return name == nullptr || *name == 0 ? "without a name" : name;
}

inline Result report(Context *context, const Kernel &kernel, const Status &status) {
  if (status.ok()) return kOk;
  context->ReportError(context, "smalti.%s, tensor %s: %s. ", level(0)->ops[kernel.index]->name,
                       name_of(context, kernel.output), status.message);
  return kError;
}

inline Status view_inputs(const Context *context, const Kernel &kernel, Tensor *inputs) {
  const Op &op = *level(0)->ops[kernel.index];
  for (int i = 0; i < op.input_count; ++i) {
    inputs[i] = {};
    if (kernel.inputs[i] != kAbsent) inputs[i] = view(context->tensors[kernel.inputs[i]]);
  }
  return check_inputs(op, inputs);
}

inline Status resize(Context *context, int tensor, const Tensor &shape) {
  auto *dims = static_cast<IntArray *>(malloc(sizeof(int) * (1 + SMALTI_MAX_RANK)));
  if (dims == nullptr) return fail(SMALTI_OUT_OF_MEMORY, "no memory for a shape");
  dims->size = shape.rank;
  for (int i = 0; i < shape.rank; ++i) {
    if (shape.dims[i] > INT32_MAX) {
      free(dims);
      return fail(SMALTI_INVALID, "dimension %d is %lld; TensorFlow Lite takes up to 2^31 - 1", i,
                  static_cast<long long>(shape.dims[i]));
    }
    dims->data[i] = static_cast<int>(shape.dims[i]);
  }
  const Result result = context->ResizeTensor(context, &context->tensors[tensor], dims);
  return result == kOk ? Status{} : fail(SMALTI_OUT_OF_MEMORY, "the engine refuses its shape");
}

inline Status prepare_kernel(Context *context, const Kernel &kernel) {
  if (!kernel.status.ok()) return kernel.status;
  const Op &op = *level(0)->ops[kernel.index];
  Tensor inputs[kMaxInputs], output = {};
  SMALTI_TRY(view_inputs(context, kernel, inputs));
  SMALTI_TRY(shape_output(op, inputs, kernel.attributes, &output));
  if (smalti_type(context->tensors[kernel.output].type) != op.output.type)
    return fail(SMALTI_INVALID, "output '%s' has another type than %s", op.output.name,
                type_name(op.output.type));
  return resize(context, kernel.output, output);
}

inline Result prepare(Context *context, Node *node) {
  const auto *kernel = static_cast<const Kernel *>(node->user_data);
  if (kernel == nullptr) {
    context->ReportError(context, "smalti: no memory for a node. ");
    return kError;
  }
  return report(context, *kernel, prepare_kernel(context, *kernel));
}

struct Threads {
  Pool *pool;
  int count;
};

inline void parallel_for(void *host, int64_t count, void (*task)(void *, int64_t), void *argument) {
  const auto *threads = static_cast<const Threads *>(host);
  threads->pool->run(threads->count, count, task, argument);
}

inline Status run_kernel(Context *context, const Kernel &kernel) {
  const Op &op = *active_level()->ops[kernel.index];
  Tensor inputs[kMaxInputs];
  SMALTI_TRY(view_inputs(context, kernel, inputs));
  Tensor output = view(context->tensors[kernel.output]);
  Threads threads = {kernel.pool, context->recommended_num_threads};
  return run_op(op, {inputs, kernel.attributes, &output, {parallel_for, &threads}});
}

inline Result invoke(Context *context, Node *node) {
  const auto *kernel = static_cast<const Kernel *>(node->user_data);
  return report(context, *kernel, run_kernel(context, *kernel));
}

}  // namespace smalti::tflite
