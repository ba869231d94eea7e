// Compiling this file is the test: ort_abi.h against a real onnxruntime_c_api.h.
#include <onnxruntime_c_api.h>

#include "hosts/ort_abi.h"
#include "same_call.h"

namespace {

namespace ours = smalti::ort;

static_assert(ours::kApiVersion <= ORT_API_VERSION);

#define CHECK_FUNCTION(name, ...)                                                   \
  static_assert(offsetof(OrtApi, name) / sizeof(void *) == ours::name.slot, #name); \
  static_assert(same_call<decltype(ours::name)::Pointer, decltype(OrtApi::name)>, #name);
SMALTI_ORT_FUNCTIONS(CHECK_FUNCTION)

#define CHECK_FIELD(name, ...)                                                            \
  static_assert(offsetof(OrtCustomOp, name) == offsetof(ours::OrtCustomOp, name), #name); \
  static_assert(same_call<decltype(ours::OrtCustomOp::name), decltype(OrtCustomOp::name)>, #name);
SMALTI_ORT_CUSTOM_OP(CHECK_FIELD)
static_assert(sizeof(OrtCustomOp) == sizeof(ours::OrtCustomOp));

static_assert(offsetof(OrtApiBase, GetApi) == offsetof(ours::OrtApiBase, GetApi));
static_assert(offsetof(OrtApiBase, GetVersionString) ==
              offsetof(ours::OrtApiBase, GetVersionString));

#define CHECK_VALUE(our_name, real_name) \
  static_assert(static_cast<int>(ours::our_name) == static_cast<int>(real_name), #real_name)
CHECK_VALUE(kFail, ORT_FAIL);
CHECK_VALUE(kInvalidArgument, ORT_INVALID_ARGUMENT);
CHECK_VALUE(kRuntimeException, ORT_RUNTIME_EXCEPTION);
CHECK_VALUE(kInvalidGraph, ORT_INVALID_GRAPH);
CHECK_VALUE(kRequired, INPUT_OUTPUT_REQUIRED);
CHECK_VALUE(kOptional, INPUT_OUTPUT_OPTIONAL);
CHECK_VALUE(kInt, ORT_OP_ATTR_INT);
CHECK_VALUE(kInts, ORT_OP_ATTR_INTS);
CHECK_VALUE(kFloat, ORT_OP_ATTR_FLOAT);
CHECK_VALUE(kDefaultMemory, OrtMemTypeDefault);
CHECK_VALUE(kUndefined, ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED);

}  // namespace

#include "smalti.h"

static_assert(static_cast<int>(SMALTI_F32) == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
static_assert(static_cast<int>(SMALTI_U8) == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
static_assert(static_cast<int>(SMALTI_I8) == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8);
static_assert(static_cast<int>(SMALTI_I64) == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64);
static_assert(static_cast<int>(SMALTI_F16) == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16);
