// The plain C door: smalti.h over the op table.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <new>

#include "core/memory.h"
#include "hosts/pool.h"
#include "hosts/signature.h"

namespace smalti {
namespace {

constexpr int kLineSize = 320;

// --- signatures

char (*lines)[kLineSize] = nullptr;
pthread_once_t lines_once = PTHREAD_ONCE_INIT;

struct Line {
  char *text;
  int used;

  __attribute__((format(printf, 2, 3))) void add(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int wrote = vsnprintf(text + used, kLineSize - used, format, arguments);
    va_end(arguments);
    used = used + wrote < kLineSize ? used + wrote : kLineSize - 1;
  }
};

void print_signature(const Op &op, char *text) {
  Line line = {text, 0};
  line.add("%s(", op.name);
  for (int i = 0; i < op.input_count; ++i) {
    const Port &port = op.inputs[i];
    line.add("%s%s: %s%s", i == 0 ? "" : ", ", port.name, PortTypes(port).text,
             port.optional ? "?" : "");
  }
  line.add(") -> %s: %s", op.output.name, type_name(op.output.type));
  for (int i = 0; i < op.attribute_count; ++i) {
    const Attribute &attribute = op.attributes[i];
    line.add("%s%s: %s", i == 0 ? "; " : ", ", attribute.name, kind_name(attribute.kind));
  }
}

void print_signatures() {
  lines = static_cast<char (*)[kLineSize]>(calloc(kOpCount, kLineSize));
  for (int i = 0; lines != nullptr && i < kOpCount; ++i) {
    print_signature(*level(0)->ops[i], lines[i]);
  }
}

// --- threads

// Never destroyed: its threads may outlive every static object.
Pool *pool() {
  alignas(Pool) static char memory[sizeof(Pool)];
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, [] { new (memory) Pool(); });
  return reinterpret_cast<Pool *>(memory);
}

void parallel_for(void *host, int64_t count, void (*task)(void *, int64_t), void *argument) {
  pool()->run(*static_cast<const int *>(host), count, task, argument);
}

// --- calls

// A caller's arguments in the operator's own order.
struct Request {
  const Op *op;
  Tensor inputs[kMaxInputs];
  Value attributes[kMaxAttributes];
};

Status take_inputs(const Tensor *inputs, int count, bool data_is_read, Request *request) {
  const Op &op = *request->op;
  if (count < 0 || count > op.input_count || (count > 0 && inputs == nullptr)) {
    return fail(SMALTI_INVALID, "%d inputs are given; pass at most %d", count, op.input_count);
  }
  for (int i = 0; i < count; ++i) {
    Tensor &input = request->inputs[i] = inputs[i];
    if (input.data != nullptr || op.inputs[i].optional) continue;
    const bool sound = input.rank >= 0 && input.rank <= SMALTI_MAX_RANK;
    if (!data_is_read || (sound && is_empty(input))) input.data = no_data();
  }
  return check_inputs(op, request->inputs);
}

Status take_attribute(const Attribute &attribute, const smalti_attribute &given, Value *value) {
  if (attribute.kind == Kind::kInts &&
      (given.ints_count < 0 || given.ints_count > SMALTI_MAX_RANK)) {
    return bad_ints(attribute, given.ints_count);
  }
  value->i = given.i;
  value->f = given.f;
  value->count = attribute.kind == Kind::kInts ? given.ints_count : 0;
  memcpy(value->ints, given.ints, sizeof value->ints);
  return {};
}

int find_attribute(const smalti_attribute *given, int count, const char *name) {
  for (int i = 0; i < count; ++i) {
    if (given[i].name != nullptr && strcmp(given[i].name, name) == 0) return i;
  }
  return -1;
}

Status take_attributes(const smalti_attribute *given, int count, Request *request) {
  const Op &op = *request->op;
  if (count != op.attribute_count || (count > 0 && given == nullptr)) {
    return fail(SMALTI_INVALID, "%d attributes are given; pass %d", count, op.attribute_count);
  }
  for (int i = 0; i < count; ++i) {
    const int at = find_attribute(given, count, op.attributes[i].name);
    if (at < 0) return missing_attribute(op.attributes[i]);
    SMALTI_TRY(take_attribute(op.attributes[i], given[at], &request->attributes[i]));
  }
  return {};
}

Status check_output(const Op &op, const Tensor *output, const Tensor &wanted) {
  if (output == nullptr || !same_shape(wanted, *output)) {
    return fail(SMALTI_INVALID, "output '%s' has another shape or type than smalti_shape gives",
                op.output.name);
  }
  if (output->data == nullptr && !is_empty(wanted)) {
    return fail(SMALTI_INVALID, "output '%s' has no data; allocate it", op.output.name);
  }
  return {};
}

Status run(const Request &request, Tensor *output, int threads) {
  const Op &op = *request.op;
  Tensor wanted = {};
  SMALTI_TRY(shape_output(op, request.inputs, request.attributes, &wanted));
  SMALTI_TRY(check_output(op, output, wanted));
  return run_op(op, {request.inputs, request.attributes, output, {parallel_for, &threads}});
}

int32_t finish(const char *op, const Status &status, char *error, size_t error_size) {
  if (error != nullptr && error_size > 0) {
    *error = '\0';
    if (!status.ok()) snprintf(error, error_size, "%s: %s", op, status.message);
  }
  return status.code;
}

Status prepare(const char *op, const Tensor *inputs, int input_count, bool data_is_read,
               const smalti_attribute *attributes, int attribute_count, Request *request) {
  const int index = find_op(op);
  if (index < 0) {
    return fail(SMALTI_INVALID, "no operator has this name; smalti_op_name lists them");
  }
  *request = {active_level()->ops[index], {}, {}};
  SMALTI_TRY(take_inputs(inputs, input_count, data_is_read, request));
  return take_attributes(attributes, attribute_count, request);
}

}  // namespace
}  // namespace smalti

using namespace smalti;

const char *smalti_version() { return SMALTI_VERSION; }
int32_t smalti_op_count() { return kOpCount; }

const char *smalti_op_name(int32_t index) {
  return index < 0 || index >= kOpCount ? nullptr : level(0)->ops[index]->name;
}

const char *smalti_op_signature(int32_t index) {
  if (index < 0 || index >= kOpCount) return nullptr;
  pthread_once(&lines_once, print_signatures);
  return lines == nullptr ? nullptr : lines[index];
}

int32_t smalti_isa_count() { return level_count(); }

const char *smalti_isa_name(int32_t index) {
  const Level *found = level(index);
  return found == nullptr ? nullptr : found->name;
}

const char *smalti_isa() { return active_level()->name; }

int32_t smalti_set_isa(const char *name) {
  return name != nullptr && set_active_level(name) ? SMALTI_OK : SMALTI_INVALID;
}

int64_t smalti_kernels_created() { return kernels_created(); }
int64_t smalti_scratch_allocations() { return scratch_allocations(); }

int32_t smalti_shape(const char *op, const smalti_tensor *inputs, int32_t input_count,
                     const smalti_attribute *attributes, int32_t attribute_count,
                     smalti_tensor *output, char *error, size_t error_size) {
  Request request;
  Status status = prepare(op, inputs, input_count, false, attributes, attribute_count, &request);
  if (status.ok() && output == nullptr) {
    status = fail(SMALTI_INVALID, "output is NULL; pass a tensor to fill in");
  }
  if (status.ok()) {
    status = shape_output(*request.op, request.inputs, request.attributes, output);
  }
  return finish(op, status, error, error_size);
}

int32_t smalti_run(const char *op, const smalti_tensor *inputs, int32_t input_count,
                   const smalti_attribute *attributes, int32_t attribute_count,
                   smalti_tensor *output, int32_t threads, char *error, size_t error_size) {
  Request request;
  Status status = prepare(op, inputs, input_count, true, attributes, attribute_count, &request);
  if (status.ok()) status = run(request, output, threads);
  return finish(op, status, error, error_size);
}
