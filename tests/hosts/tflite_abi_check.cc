// Compiling this file is the test: tflite_abi.h against TensorFlow Lite's real headers, or those of
// LiteRT, which has moved them.
#include <stddef.h>

#if __has_include(<tflite/core/c/common.h>)
#include <tflite/builtin_ops.h>
#include <tflite/core/c/common.h>
#else
#include <tensorflow/lite/builtin_ops.h>
#include <tensorflow/lite/core/c/common.h>
#endif

#include "hosts/tflite_abi.h"
#include "same_call.h"

namespace {

namespace ours = smalti::tflite;

#define CHECK_FIELD(Our, our_name, Real, real_name)                                  \
  static_assert(offsetof(ours::Our, our_name) == offsetof(Real, real_name) &&        \
                    sizeof(ours::Our::our_name) == sizeof(Real::real_name) &&        \
                    std::is_pointer_v<decltype(ours::Our::our_name)> ==              \
                        (std::is_pointer_v<decltype(Real::real_name)> ||             \
                         std::is_same_v<decltype(Real::real_name), TfLitePtrUnion>), \
                #Real "." #real_name)
#define CHECK_FUNCTION(Our, Real, name) \
  CHECK_FIELD(Our, name, Real, name);   \
  static_assert(same_call<decltype(ours::Our::name), decltype(Real::name)>, #Real "." #name)
#define CHECK_SIZE(Our, Real) static_assert(sizeof(ours::Our) == sizeof(Real), #Real)
#define CHECK_VALUE(our_name, real_name) \
  static_assert(static_cast<int64_t>(ours::our_name) == static_cast<int64_t>(real_name), #real_name)

CHECK_FIELD(IntArray, size, TfLiteIntArray, size);
static_assert(offsetof(ours::IntArray, data) == offsetof(TfLiteIntArray, data));

CHECK_SIZE(TfTensor, TfLiteTensor);
CHECK_FIELD(TfTensor, type, TfLiteTensor, type);
CHECK_FIELD(TfTensor, data, TfLiteTensor, data);
CHECK_FIELD(TfTensor, dims, TfLiteTensor, dims);
CHECK_FIELD(TfTensor, scale, TfLiteTensor, params.scale);
CHECK_FIELD(TfTensor, zero_point, TfLiteTensor, params.zero_point);
CHECK_FIELD(TfTensor, allocation, TfLiteTensor, allocation_type);
CHECK_FIELD(TfTensor, bytes, TfLiteTensor, bytes);
CHECK_FIELD(TfTensor, mapping, TfLiteTensor, allocation);
CHECK_FIELD(TfTensor, name, TfLiteTensor, name);
CHECK_FIELD(TfTensor, delegate, TfLiteTensor, delegate);
CHECK_FIELD(TfTensor, buffer_handle, TfLiteTensor, buffer_handle);
CHECK_FIELD(TfTensor, data_is_stale, TfLiteTensor, data_is_stale);
CHECK_FIELD(TfTensor, is_variable, TfLiteTensor, is_variable);
CHECK_FIELD(TfTensor, quantization_type, TfLiteTensor, quantization.type);
CHECK_FIELD(TfTensor, quantization, TfLiteTensor, quantization.params);
CHECK_FIELD(TfTensor, sparsity, TfLiteTensor, sparsity);
CHECK_FIELD(TfTensor, dims_signature, TfLiteTensor, dims_signature);

CHECK_SIZE(Node, TfLiteNode);
CHECK_FIELD(Node, inputs, TfLiteNode, inputs);
CHECK_FIELD(Node, outputs, TfLiteNode, outputs);
CHECK_FIELD(Node, intermediates, TfLiteNode, intermediates);
CHECK_FIELD(Node, temporaries, TfLiteNode, temporaries);
CHECK_FIELD(Node, user_data, TfLiteNode, user_data);
CHECK_FIELD(Node, builtin_data, TfLiteNode, builtin_data);
CHECK_FIELD(Node, custom_data, TfLiteNode, custom_initial_data);
CHECK_FIELD(Node, custom_data_size, TfLiteNode, custom_initial_data_size);
CHECK_FIELD(Node, delegate, TfLiteNode, delegate);
CHECK_FIELD(Node, might_have_side_effect, TfLiteNode, might_have_side_effect);

CHECK_SIZE(Registration, TfLiteRegistration);
CHECK_FUNCTION(Registration, TfLiteRegistration, init);
CHECK_FUNCTION(Registration, TfLiteRegistration, free);
CHECK_FUNCTION(Registration, TfLiteRegistration, prepare);
CHECK_FUNCTION(Registration, TfLiteRegistration, invoke);
CHECK_FUNCTION(Registration, TfLiteRegistration, profiling_string);
CHECK_FIELD(Registration, builtin_code, TfLiteRegistration, builtin_code);
CHECK_FIELD(Registration, custom_name, TfLiteRegistration, custom_name);
CHECK_FIELD(Registration, version, TfLiteRegistration, version);
CHECK_FIELD(Registration, external, TfLiteRegistration, registration_external);
CHECK_FIELD(Registration, async_kernel, TfLiteRegistration, async_kernel);
CHECK_FIELD(Registration, inplace, TfLiteRegistration, inplace_operator);

CHECK_SIZE(Context, TfLiteContext);
CHECK_FIELD(Context, tensors_size, TfLiteContext, tensors_size);
CHECK_FUNCTION(Context, TfLiteContext, GetExecutionPlan);
CHECK_FIELD(Context, tensors, TfLiteContext, tensors);
CHECK_FIELD(Context, impl, TfLiteContext, impl_);
CHECK_FUNCTION(Context, TfLiteContext, ResizeTensor);
CHECK_FUNCTION(Context, TfLiteContext, ReportError);
CHECK_FUNCTION(Context, TfLiteContext, AddTensors);
CHECK_FUNCTION(Context, TfLiteContext, GetNodeAndRegistration);
CHECK_FUNCTION(Context, TfLiteContext, ReplaceNodeSubsetsWithDelegateKernels);
CHECK_FIELD(Context, recommended_num_threads, TfLiteContext, recommended_num_threads);

CHECK_SIZE(DelegateParams, TfLiteDelegateParams);
CHECK_FIELD(DelegateParams, delegate, TfLiteDelegateParams, delegate);
CHECK_FIELD(DelegateParams, nodes, TfLiteDelegateParams, nodes_to_replace);
CHECK_FIELD(DelegateParams, inputs, TfLiteDelegateParams, input_tensors);
CHECK_FIELD(DelegateParams, outputs, TfLiteDelegateParams, output_tensors);

CHECK_SIZE(Delegate, TfLiteDelegate);
CHECK_FIELD(Delegate, data, TfLiteDelegate, data_);
CHECK_FUNCTION(Delegate, TfLiteDelegate, Prepare);
CHECK_FUNCTION(Delegate, TfLiteDelegate, CopyFromBufferHandle);
CHECK_FUNCTION(Delegate, TfLiteDelegate, CopyToBufferHandle);
CHECK_FUNCTION(Delegate, TfLiteDelegate, FreeBufferHandle);
CHECK_FIELD(Delegate, flags, TfLiteDelegate, flags);
CHECK_FIELD(Delegate, opaque_builder, TfLiteDelegate, opaque_delegate_builder);

CHECK_VALUE(kOk, kTfLiteOk);
CHECK_VALUE(kError, kTfLiteError);
CHECK_VALUE(kFloat32, kTfLiteFloat32);
CHECK_VALUE(kUInt8, kTfLiteUInt8);
CHECK_VALUE(kInt64, kTfLiteInt64);
CHECK_VALUE(kInt8, kTfLiteInt8);
CHECK_VALUE(kFloat16, kTfLiteFloat16);
CHECK_VALUE(kMmapRo, kTfLiteMmapRo);
CHECK_VALUE(kCustom, kTfLiteBuiltinCustom);
CHECK_VALUE(kDelegate, kTfLiteBuiltinDelegate);
CHECK_VALUE(kAbsent, kTfLiteOptionalTensor);
CHECK_VALUE(kAllowDynamicTensors, kTfLiteDelegateFlagsAllowDynamicTensors);

}  // namespace
