// What every host checks before it calls an operator, and how it words what it found.
#pragma once

#include <string.h>

#include "core/op.h"

namespace smalti {

// An operator's place in the table, -1 if there is none of that name.
inline int find_op(const char *name) {
  int i = 0;
  while (name != nullptr && i < kOpCount && strcmp(level(0)->ops[i]->name, name) != 0) ++i;
  return name == nullptr || i == kOpCount ? -1 : i;
}

inline const char *type_name(int type) {
  switch (type) {
    case SMALTI_F32:
      return "f32";
    case SMALTI_U8:
      return "u8";
    case SMALTI_I8:
      return "i8";
    case SMALTI_I64:
      return "i64";
    case SMALTI_F16:
      return "f16";
    default:
      return "a type that smalti does not have";
  }
}

// The types that a port takes, as in "f32|i8".
struct PortTypes {
  char text[64] = "";
  explicit PortTypes(const Port &port) {
    size_t used = 0;
    for (int type = 0; type < 32; ++type) {
      if (port.takes(type))
        used += snprintf(text + used, sizeof text - used, "%s%s", used == 0 ? "" : "|",
                         type_name(type));
    }
  }
};

inline const char *kind_name(Kind kind) {
  return kind == Kind::kInt ? "int" : kind == Kind::kFloat ? "float" : "ints";
}

inline bool is_empty(const Tensor &tensor) {
  for (int i = 0; i < tensor.rank; ++i) {
    if (tensor.dims[i] == 0) return true;
  }
  return false;
}

// For a tensor without elements: nullptr would say that the input is absent.
inline void *no_data() {
  alignas(64) static char nothing[64];
  return nothing;
}

inline Status check_input(const Port &port, const Tensor &input) {
  if (input.data == nullptr) {
    if (port.optional) return {};
    return fail(SMALTI_INVALID, "input '%s' is missing; pass a tensor of %s", port.name,
                PortTypes(port).text);
  }
  if (!port.takes(input.type)) {
    return fail(SMALTI_INVALID, "input '%s' is %s (type %d); pass %s", port.name,
                type_name(input.type), static_cast<int>(input.type), PortTypes(port).text);
  }
  if (input.rank < 0 || input.rank > SMALTI_MAX_RANK) {
    return fail(SMALTI_INVALID, "input '%s' has rank %d; pass at most %d dimensions", port.name,
                static_cast<int>(input.rank), SMALTI_MAX_RANK);
  }
  for (int i = 0; i < input.rank; ++i) {
    if (input.dims[i] < 0) {
      return fail(SMALTI_INVALID, "input '%s' has dimension %d = %lld; pass 0 or more", port.name,
                  i, static_cast<long long>(input.dims[i]));
    }
  }
  return {};
}

inline Status check_inputs(const Op &op, const Tensor *inputs) {
  for (int i = 0; i < op.input_count; ++i) SMALTI_TRY(check_input(op.inputs[i], inputs[i]));
  return {};
}

inline Status missing_attribute(const Attribute &attribute) {
  return fail(SMALTI_INVALID, "attribute '%s' is missing or not of kind %s; set it", attribute.name,
              kind_name(attribute.kind));
}

inline Status bad_ints(const Attribute &attribute, long long count) {
  return fail(SMALTI_INVALID, "attribute '%s' has %lld ints; set 0 to %d", attribute.name, count,
              SMALTI_MAX_RANK);
}

inline Shape shape_of(const Tensor &tensor) {
  Shape shape = {tensor.data == nullptr ? -1 : tensor.rank, {}};
  for (int i = 0; i < shape.rank; ++i) shape.dims[i] = tensor.dims[i];
  return shape;
}

inline bool is_known(const Shape &shape) {
  for (int i = 0; i < shape.rank; ++i) {
    if (shape.dims[i] < 0) return false;
  }
  return shape.rank >= 0;
}

// Sets output's type, rank and dims from checked inputs.
inline Status shape_output(const Op &op, const Tensor *inputs, const Value *attributes,
                           Tensor *output) {
  Shape shapes[kMaxInputs];
  for (int i = 0; i < op.input_count; ++i) shapes[i] = shape_of(inputs[i]);
  Shape shape = {-1, {}};
  SMALTI_TRY(op.shape(shapes, attributes, &shape));
  if (!is_known(shape)) {
    return fail(SMALTI_INVALID, "output '%s' has no shape for these inputs; check their ranks",
                op.output.name);
  }
  output->type = op.output.type;
  output->rank = shape.rank;
  for (int i = 0; i < shape.rank; ++i) output->dims[i] = shape.dims[i];
  return {};
}

inline bool same_shape(const Tensor &a, const Tensor &b) {
  return a.type == b.type && a.rank == b.rank &&
         memcmp(a.dims, b.dims, sizeof a.dims[0] * a.rank) == 0;
}

// An output without elements, or one that nobody reads, has nothing to compute.
inline Status run_op(const Op &op, const Call &call) {
  const bool idle = call.output->data == nullptr || is_empty(*call.output);
  return idle ? Status{} : op.run(call);
}

}  // namespace smalti
