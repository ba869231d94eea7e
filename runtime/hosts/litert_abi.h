// The part of LiteRT 2's C interface for custom operators that we use, in our own words.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace smalti::litert {

constexpr int kRead = 0, kWrite = 1;  // lock modes
constexpr int kOk = 0, kError = 1;

struct Layout {
  unsigned rank : 7, has_strides : 1;
  int32_t dims[8];
  uint32_t strides[8];
};

struct TensorType {
  int element;  // numbered as TensorFlow Lite numbers its types
  Layout layout;
};

struct Kernel {
  int (*Init)(void *state, const void *options, size_t size);
  int (*GetOutputLayouts)(void *state, size_t inputs, const Layout *in, size_t outputs,
                          Layout *out);
  int (*Run)(void *state, size_t inputs, void *const *in, size_t outputs, void *const *out);
  int (*Destroy)(void *state);
};

using AddCustomOp = int (*)(void *options, const char *name, int version, const Kernel *,
                            void *state);
using Lock = int (*)(void *buffer, void **address, int mode);
using Unlock = int (*)(void *buffer);
using GetType = int (*)(void *buffer, TensorType *);

static_assert(sizeof(Layout) == 68, "LiteRT's layout is another");

}  // namespace smalti::litert
