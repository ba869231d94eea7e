// The part of ONNX Runtime's C interface that we use, in our own words. Upstream only ever appends
// to it, so a slot number is for ever. tests/hosts/ort_abi_check.cc compares all of this with a
// real header.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace smalti::ort {

// The lowest version that has every slot below: asking for more would shut older engines out.
constexpr uint32_t kApiVersion = 17;

struct OrtCustomOpDomain;
struct OrtKernelContext;
struct OrtKernelInfo;
struct OrtOpAttr;
struct OrtSessionOptions;
struct OrtShapeInferContext;
struct OrtStatus;
struct OrtTensorTypeAndShapeInfo;
struct OrtValue;
struct OrtCustomOp;

struct OrtApi {
  void (*const slots[1])();  // as many as the engine has
};

struct OrtApiBase {
  const OrtApi *(*GetApi)(uint32_t version);
  const char *(*GetVersionString)();
};

enum OrtErrorCode : int {
  kFail = 1,
  kInvalidArgument = 2,
  kRuntimeException = 6,
  kInvalidGraph = 10
};
enum OrtCharacteristic : int { kRequired = 0, kOptional = 1 };
enum OrtAttributeType : int { kInt = 1, kInts = 2, kFloat = 3 };
enum OrtMemory : int { kDefaultMemory = 0 };
enum OrtElementType : int { kUndefined = 0 };  // otherwise the numbers of smalti_type

// X(name, slot, result, parameters...)
#define SMALTI_ORT_FUNCTIONS(X)                                                                    \
  X(CreateStatus, 0, OrtStatus *, OrtErrorCode, const char *)                                      \
  X(CreateCustomOpDomain, 26, OrtStatus *, const char *, OrtCustomOpDomain **)                     \
  X(CustomOpDomain_Add, 27, OrtStatus *, OrtCustomOpDomain *, const OrtCustomOp *)                 \
  X(AddCustomOpDomain, 28, OrtStatus *, OrtSessionOptions *, OrtCustomOpDomain *)                  \
  X(GetTensorMutableData, 51, OrtStatus *, OrtValue *, void **)                                    \
  X(CreateTensorTypeAndShapeInfo, 57, OrtStatus *, OrtTensorTypeAndShapeInfo **)                   \
  X(SetTensorElementType, 58, OrtStatus *, OrtTensorTypeAndShapeInfo *, OrtElementType)            \
  X(SetDimensions, 59, OrtStatus *, OrtTensorTypeAndShapeInfo *, const int64_t *, size_t)          \
  X(GetTensorElementType, 60, OrtStatus *, const OrtTensorTypeAndShapeInfo *, OrtElementType *)    \
  X(GetDimensionsCount, 61, OrtStatus *, const OrtTensorTypeAndShapeInfo *, size_t *)              \
  X(GetDimensions, 62, OrtStatus *, const OrtTensorTypeAndShapeInfo *, int64_t *, size_t)          \
  X(GetSymbolicDimensions, 63, OrtStatus *, const OrtTensorTypeAndShapeInfo *, const char **,      \
    size_t)                                                                                        \
  X(GetTensorTypeAndShape, 65, OrtStatus *, const OrtValue *, OrtTensorTypeAndShapeInfo **)        \
  X(KernelInfoGetAttribute_float, 85, OrtStatus *, const OrtKernelInfo *, const char *, float *)   \
  X(KernelInfoGetAttribute_int64, 86, OrtStatus *, const OrtKernelInfo *, const char *, int64_t *) \
  X(KernelContext_GetInput, 90, OrtStatus *, const OrtKernelContext *, size_t, const OrtValue **)  \
  X(KernelContext_GetOutput, 91, OrtStatus *, OrtKernelContext *, size_t, const int64_t *, size_t, \
    OrtValue **)                                                                                   \
  X(ReleaseStatus, 93, void, OrtStatus *)                                                          \
  X(ReleaseTensorTypeAndShapeInfo, 99, void, OrtTensorTypeAndShapeInfo *)                          \
  X(ReleaseCustomOpDomain, 101, void, OrtCustomOpDomain *)                                         \
  X(KernelInfoGetAttributeArray_int64, 163, OrtStatus *, const OrtKernelInfo *, const char *,      \
    int64_t *, size_t *)                                                                           \
  X(ShapeInferContext_GetInputCount, 267, OrtStatus *, const OrtShapeInferContext *, size_t *)     \
  X(ShapeInferContext_GetInputTypeShape, 268, OrtStatus *, const OrtShapeInferContext *, size_t,   \
    OrtTensorTypeAndShapeInfo **)                                                                  \
  X(ShapeInferContext_GetAttribute, 269, OrtStatus *, const OrtShapeInferContext *, const char *,  \
    const OrtOpAttr **)                                                                            \
  X(ShapeInferContext_SetOutputTypeShape, 270, OrtStatus *, const OrtShapeInferContext *, size_t,  \
    const OrtTensorTypeAndShapeInfo *)                                                             \
  X(SetSymbolicDimensions, 271, OrtStatus *, OrtTensorTypeAndShapeInfo *, const char **, size_t)   \
  X(ReadOpAttr, 272, OrtStatus *, const OrtOpAttr *, OrtAttributeType, void *, size_t, size_t *)   \
  X(KernelContext_ParallelFor, 274, OrtStatus *, const OrtKernelContext *,                         \
    void (*)(void *, size_t), size_t, size_t, void *)

// OrtCustomOp after its version: X(name, result, parameters...)
#define SMALTI_ORT_CUSTOM_OP(X)                                                              \
  X(CreateKernel, void *, const OrtCustomOp *, const OrtApi *, const OrtKernelInfo *)        \
  X(GetName, const char *, const OrtCustomOp *)                                              \
  X(GetExecutionProviderType, const char *, const OrtCustomOp *)                             \
  X(GetInputType, OrtElementType, const OrtCustomOp *, size_t)                               \
  X(GetInputTypeCount, size_t, const OrtCustomOp *)                                          \
  X(GetOutputType, OrtElementType, const OrtCustomOp *, size_t)                              \
  X(GetOutputTypeCount, size_t, const OrtCustomOp *)                                         \
  X(KernelCompute, void, void *, OrtKernelContext *)                                         \
  X(KernelDestroy, void, void *)                                                             \
  X(GetInputCharacteristic, OrtCharacteristic, const OrtCustomOp *, size_t)                  \
  X(GetOutputCharacteristic, OrtCharacteristic, const OrtCustomOp *, size_t)                 \
  X(GetInputMemoryType, OrtMemory, const OrtCustomOp *, size_t)                              \
  X(GetVariadicInputMinArity, int, const OrtCustomOp *)                                      \
  X(GetVariadicInputHomogeneity, int, const OrtCustomOp *)                                   \
  X(GetVariadicOutputMinArity, int, const OrtCustomOp *)                                     \
  X(GetVariadicOutputHomogeneity, int, const OrtCustomOp *)                                  \
  X(CreateKernelV2, OrtStatus *, const OrtCustomOp *, const OrtApi *, const OrtKernelInfo *, \
    void **)                                                                                 \
  X(KernelComputeV2, OrtStatus *, void *, OrtKernelContext *)                                \
  X(InferOutputShapeFn, OrtStatus *, const OrtCustomOp *, OrtShapeInferContext *)            \
  X(GetStartVersion, int, const OrtCustomOp *)                                               \
  X(GetEndVersion, int, const OrtCustomOp *)                                                 \
  X(GetMayInplace, size_t, int **, int **)                                                   \
  X(ReleaseMayInplace, void, int *, int *)                                                   \
  X(GetAliasMap, size_t, int **, int **)                                                     \
  X(ReleaseAliasMap, void, int *, int *)

struct OrtCustomOp {
  uint32_t version;
#define SMALTI_ORT_FIELD(name, result, ...) result (*name)(__VA_ARGS__);
  SMALTI_ORT_CUSTOM_OP(SMALTI_ORT_FIELD)
#undef SMALTI_ORT_FIELD
};

// One function of an OrtApi, called as `name(api, arguments...)`.
template <int kSlot, class Result, class... Arguments>
struct Function {
  using Pointer = Result (*)(Arguments...);
  static constexpr int slot = kSlot;
  Result operator()(const OrtApi *api, Arguments... arguments) const {
    return reinterpret_cast<Pointer>(api->slots[kSlot])(arguments...);
  }
};

#define SMALTI_ORT_FUNCTION(name, ...) constexpr Function<__VA_ARGS__> name{};
SMALTI_ORT_FUNCTIONS(SMALTI_ORT_FUNCTION)
#undef SMALTI_ORT_FUNCTION

}  // namespace smalti::ort
