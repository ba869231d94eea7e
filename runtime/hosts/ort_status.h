// Between our Status and ONNX Runtime's.
#pragma once

#include "core/op.h"
#include "hosts/ort_abi.h"

namespace smalti::ort {

#define ORT_TRY(expression)                       \
  do {                                            \
    ort::OrtStatus *try_status = (expression);    \
    if (try_status != nullptr) return try_status; \
  } while (0)

// Takes a status over; true when it was a success.
inline bool succeeded(const OrtApi *api, OrtStatus *status) {
  if (status != nullptr) ReleaseStatus(api, status);
  return status == nullptr;
}

inline OrtErrorCode ort_code(int code) {
  switch (code) {
    case SMALTI_INVALID:
      return kInvalidArgument;
    case SMALTI_CORRUPT:
      return kInvalidGraph;
    case SMALTI_OUT_OF_MEMORY:
      return kRuntimeException;
    default:
      return kFail;
  }
}

inline OrtStatus *to_ort(const OrtApi *api, const Op &op, const Status &status) {
  if (status.ok()) return nullptr;
  char text[sizeof status.message + 64];
  snprintf(text, sizeof text, "%s: %s", op.name, status.message);
  return CreateStatus(api, ort_code(status.code), text);
}

}  // namespace smalti::ort
