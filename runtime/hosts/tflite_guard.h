// Does the engine lay out its structures as we think? There is no version to ask for, so every
// structure is looked at before it is used: fields that lie elsewhere hold no such numbers. No
// pointer is followed before the numbers beside it look right.
#pragma once

#include "hosts/tflite_kernel.h"

namespace smalti::tflite {

constexpr int kMaxTensors = 1 << 24;
constexpr int kMaxDimension = 1 << 30;
constexpr int kMaxThreads = 1 << 20;
constexpr int kMaxNodeInputs = 1 << 10;
constexpr int kMaxOptionBytes = 1 << 16;
constexpr int kMaxBuiltinCode = 1 << 16;
// The engine adds some now and then.
constexpr int kMaxType = 31;
constexpr int kMaxAllocation = 15;

inline bool within(int64_t value, int64_t low, int64_t high) {
  return value >= low && value <= high;
}

// Text and functions may lie anywhere but in the first page.
inline bool is_address(const void *pointer) { return reinterpret_cast<uintptr_t>(pointer) >= 4096; }

template <class R, class... A>
bool is_address(R (*function)(A...)) {
  return is_address(reinterpret_cast<const void *>(function));
}

inline bool is_object(const void *pointer) {
  return is_address(pointer) && reinterpret_cast<uintptr_t>(pointer) % sizeof(int) == 0;
}

inline bool sound_context(const Context &context) {
  return context.tensors_size > 0 && context.tensors_size <= kMaxTensors &&
         within(context.recommended_num_threads, -1, kMaxThreads) && is_object(context.tensors) &&
         is_address(context.GetExecutionPlan) && is_address(context.ResizeTensor) &&
         is_address(reinterpret_cast<const void *>(context.ReportError)) &&
         is_address(context.GetNodeAndRegistration) &&
         is_address(context.ReplaceNodeSubsetsWithDelegateKernels);
}

inline bool sound_registration(const Registration &registration) {
  return within(registration.builtin_code, 0, kMaxBuiltinCode) &&
         (registration.builtin_code != kCustom || is_address(registration.custom_name));
}

// 0 for types that we do not have.
inline size_t element_size(Type type) {
  switch (smalti_type(type)) {
    case SMALTI_F32:
      return 4;
    case SMALTI_F16:
      return 2;
    case SMALTI_I64:
      return 8;
    case SMALTI_U8:
    case SMALTI_I8:
      return 1;
    default:
      return 0;
  }
}

// A tensor's size follows from its shape and type. One further on in the array than the first also
// proves the size of the structure.
inline bool sound_tensor(const TfTensor &tensor) {
  if (!within(tensor.type, 1, kMaxType) || !within(tensor.allocation, 0, kMaxAllocation) ||
      (tensor.name != nullptr && !is_address(tensor.name)) || !is_object(tensor.dims)) {
    return false;
  }
  size_t bytes = element_size(tensor.type);
  if (bytes == 0) return true;
  if (!within(tensor.dims->size, 0, SMALTI_MAX_RANK)) return false;
  for (int i = 0; i < tensor.dims->size; ++i) {
    if (!within(tensor.dims->data[i], 0, kMaxDimension)) return false;
    bytes *= static_cast<size_t>(tensor.dims->data[i]);
  }
  return bytes == tensor.bytes;
}

// A node's last input is a constant: its attributes, as bytes.
inline bool is_attributes(const TfTensor &tensor) {
  return tensor.type == kUInt8 && tensor.allocation == kMmapRo && sound_tensor(tensor) &&
         tensor.dims->size == 1 && is_address(tensor.data);
}

inline bool sound_node(const Context &context, const Node &node) {
  if (!within(node.custom_data_size, 1, kMaxOptionBytes) || !is_object(node.inputs) ||
      !is_object(node.outputs) || !is_address(node.custom_data) ||
      !within(node.inputs->size, 1, kMaxNodeInputs) || node.outputs->size != 1) {
    return false;
  }
  const int attributes = node.inputs->data[node.inputs->size - 1], output = node.outputs->data[0];
  const auto end = static_cast<int64_t>(context.tensors_size) - 1;
  return within(attributes, 0, end) && within(output, 0, end) && attributes != output &&
         is_attributes(context.tensors[attributes]) && sound_tensor(context.tensors[output]);
}

}  // namespace smalti::tflite
