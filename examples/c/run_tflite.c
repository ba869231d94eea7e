/* Runs a .tflite file with smalti's operators through LiteRT's CompiledModel.
 *   run_tflite [-o OUTPUTS] MODEL [INPUT ...]
 * Inputs are raw files, zeros where none is given. */
#include <stdlib.h>

#include "litert.h"
#include "raw.h"
#include "smalti.h"

#ifndef THREADS
#define THREADS 1 /* for one operator */
#endif

typedef struct {
  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtOptions options;
  LiteRtCompiledModel compiled;
  LiteRtTensorBuffer *inputs, *outputs;
  LiteRtParamIndex input_count, output_count;
} runner;

/* Returns false from the function around it, and says which call failed. */
#define TRY(call)                                                                    \
  do {                                                                               \
    const int status = (int)(call);                                                  \
    if (status != 0) {                                                               \
      fprintf(stderr, "%.*s: status %d\n", (int)strcspn(#call, "("), #call, status); \
      return false;                                                                  \
    }                                                                                \
  } while (0)

/* Options serve one model: its operators are told apart by what they hold of it. */
static bool compile(runner *r, const char *path) {
  const smalti_litert engine = SMALTI_LITERT;
  TRY(LiteRtCreateEnvironment(0, NULL, &r->environment));
  TRY(LiteRtCreateModelFromFile(r->environment, path, &r->model));
  TRY(LiteRtCreateOptions(&r->options));
  TRY(LiteRtSetOptionsHardwareAccelerators(r->options, kLiteRtHwAcceleratorCpu));
  TRY(smalti_add_to_litert(r->options, &engine, THREADS));
  TRY(LiteRtCreateCompiledModel(r->environment, r->model, r->options, &r->compiled));
  return true;
}

static bool create_buffer(const runner *r, LiteRtTensor tensor, LiteRtTensorBufferRequirements need,
                          LiteRtTensorBuffer *buffer) {
  LiteRtRankedTensorType type;
  TRY(LiteRtGetRankedTensorType(tensor, &type));
  TRY(LiteRtCreateManagedTensorBufferFromRequirements(r->environment, &type, need, buffer));
  return true;
}

static bool create_input(const runner *r, LiteRtSignature signature, size_t i) {
  LiteRtTensor tensor;
  LiteRtTensorBufferRequirements need;
  TRY(LiteRtGetSignatureInputTensorByIndex(signature, i, &tensor));
  TRY(LiteRtGetCompiledModelInputBufferRequirements(r->compiled, 0, i, &need));
  return create_buffer(r, tensor, need, &r->inputs[i]);
}

static bool create_output(const runner *r, LiteRtSignature signature, size_t i) {
  LiteRtTensor tensor;
  LiteRtTensorBufferRequirements need;
  TRY(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor));
  TRY(LiteRtGetCompiledModelOutputBufferRequirements(r->compiled, 0, i, &need));
  return create_buffer(r, tensor, need, &r->outputs[i]);
}

static bool create_buffers(runner *r) {
  LiteRtSignature signature;
  TRY(LiteRtGetModelSignature(r->model, 0, &signature));
  TRY(LiteRtGetNumSignatureInputs(signature, &r->input_count));
  TRY(LiteRtGetNumSignatureOutputs(signature, &r->output_count));
  r->inputs = calloc(r->input_count + 1, sizeof *r->inputs);
  r->outputs = calloc(r->output_count + 1, sizeof *r->outputs);
  bool created = r->inputs != NULL && r->outputs != NULL;
  for (size_t i = 0; created && i < r->input_count; ++i) created = create_input(r, signature, i);
  for (size_t i = 0; created && i < r->output_count; ++i) created = create_output(r, signature, i);
  return created;
}

static bool read_input(LiteRtTensorBuffer buffer, const char *path) {
  void *data;
  size_t bytes;
  TRY(LiteRtGetTensorBufferPackedSize(buffer, &bytes));
  TRY(LiteRtLockTensorBuffer(buffer, &data, kLiteRtTensorBufferLockModeWrite));
  const bool filled = fill(data, bytes, path);
  TRY(LiteRtUnlockTensorBuffer(buffer));
  return filled;
}

static bool write_output(LiteRtTensorBuffer buffer, FILE *raw) {
  void *data;
  size_t bytes;
  LiteRtRankedTensorType type;
  TRY(LiteRtGetTensorBufferTensorType(buffer, &type));
  TRY(LiteRtGetTensorBufferPackedSize(buffer, &bytes));
  TRY(LiteRtLockTensorBuffer(buffer, &data, kLiteRtTensorBufferLockModeRead));
  const bool shown = show(data, bytes, type.element_type == kLiteRtElementTypeFloat32, raw);
  TRY(LiteRtUnlockTensorBuffer(buffer));
  return shown;
}

/* What an operator meets with goes to stderr, and makes its output NaN: LiteRT does not ask. */
static bool run(runner *r, const arguments *given) {
  for (size_t i = 0; i < r->input_count; ++i) {
    if (!read_input(r->inputs[i], input_file(given, i))) return false;
  }
  TRY(LiteRtRunCompiledModel(r->compiled, 0, r->input_count, r->inputs, r->output_count,
                             r->outputs));
  for (size_t i = 0; i < r->output_count; ++i) {
    if (!write_output(r->outputs[i], given->raw)) return false;
  }
  return true;
}

/* Also after a failure, of whatever has been created until then. */
static void destroy(runner *r) {
  for (size_t i = 0; r->inputs != NULL && i < r->input_count; ++i) {
    if (r->inputs[i] != NULL) LiteRtDestroyTensorBuffer(r->inputs[i]);
  }
  for (size_t i = 0; r->outputs != NULL && i < r->output_count; ++i) {
    if (r->outputs[i] != NULL) LiteRtDestroyTensorBuffer(r->outputs[i]);
  }
  free(r->inputs);
  free(r->outputs);
  if (r->compiled != NULL) LiteRtDestroyCompiledModel(r->compiled);
  if (r->options != NULL) LiteRtDestroyOptions(r->options);
  if (r->model != NULL) LiteRtDestroyModel(r->model);
  if (r->environment != NULL) LiteRtDestroyEnvironment(r->environment);
}

int main(int argc, char **argv) {
  arguments given;
  runner r = {0};
  if (!parse(argc, argv, &given)) return 1;
  const bool ran = compile(&r, given.model) && create_buffers(&r) && run(&r, &given);
  destroy(&r);
  if (!ran) fprintf(stderr, "%s has not run\n", given.model);
  return finish(&given) && ran ? 0 : 1;
}
