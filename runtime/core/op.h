// What an operator is: its signature, its shape rule and its kernel. No host's header in here.
#pragma once

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "smalti.h"

namespace smalti {

constexpr int kMaxInputs = 6;
constexpr int kMaxAttributes = 10;

struct Status {
  int code = SMALTI_OK;
  char message[240] = "";
  bool ok() const { return code == SMALTI_OK; }
};

__attribute__((format(printf, 2, 3))) inline Status fail(int code, const char *format, ...) {
  Status status;
  status.code = code;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(status.message, sizeof status.message, format, arguments);
  va_end(arguments);
  return status;
}

#define SMALTI_TRY(expression)                  \
  do {                                          \
    ::smalti::Status try_status = (expression); \
    if (!try_status.ok()) return try_status;    \
  } while (0)

using Tensor = smalti_tensor;

// In shape inference a dimension may be negative: -1 is unknown, anything below is a symbol, and
// equal symbols are the same size. A shape rule copies such a dimension to where it belongs in the
// output (its name then survives in the model), computes with dimensions >= 0 only, and gives -1
// where it would have had to compute.
struct Shape {
  int rank;
  int64_t dims[SMALTI_MAX_RANK];
};

struct Value {
  int64_t i;
  float f;
  int64_t ints[SMALTI_MAX_RANK];
  int count;
};

enum class Kind { kInt, kFloat, kInts };

constexpr uint32_t type_bit(int type) { return uint32_t{1} << type; }

struct Port {
  const char *name;
  int type;  // enum smalti_type
  bool optional = false;
  uint32_t also = 0;  // type_bit()s of other types that it takes

  constexpr bool takes(int given) const {
    return given == type || (given >= 0 && given < 32 && (also & type_bit(given)) != 0);
  }
};

struct Attribute {
  const char *name;
  Kind kind;
};

// The engine's thread pool: calls task(argument, i) for every i in [0, count), in any order.
struct Parallel {
  void (*run)(void *host, int64_t count, void (*task)(void *argument, int64_t i), void *argument);
  void *host;

  template <class Body>
  void operator()(int64_t count, const Body &body) const {
    auto call = [](void *argument, int64_t i) { (*static_cast<const Body *>(argument))(i); };
    if (count == 1) {
      body(0);
    } else if (count > 1) {
      run(host, count, call, const_cast<Body *>(&body));
    }
  }
};

struct Call {
  const Tensor *inputs;     // as many as the op has ports; absent: data == nullptr
  const Value *attributes;  // as many as the op declares, in its order
  Tensor *output;           // allocated, shaped by the op's shape rule
  Parallel parallel;
};

struct Op {
  const char *name;
  int input_count;
  Port inputs[kMaxInputs];
  Port output;
  int attribute_count;
  Attribute attributes[kMaxAttributes];
  // An absent or unranked input has rank -1. A rank of -1 in the result means "not known yet".
  Status (*shape)(const Shape *inputs, const Value *attributes, Shape *output);
  Status (*run)(const Call &call);
};

// One instruction-set level: every op, compiled for it. Tables of all levels list the same ops.
struct Level {
  const char *name;
  const Op *const *ops;
};

extern const int kOpCount;
const Level *active_level();    // what the hosts run
int level_count();              // levels that this CPU can run
const Level *level(int index);  // portable first, best last
bool set_active_level(const char *name);

int64_t kernels_created();
void count_kernel();

}  // namespace smalti
