/* Runs an .onnx file with smalti's operators through ONNX Runtime.
 *   run_onnx [-o OUTPUTS] MODEL [INPUT ...]
 * Inputs are raw files, zeros where none is given; a dimension that the file leaves open is 1. */
#include <stdlib.h>

#include "onnxruntime_c_api.h"
#include "raw.h"

#define THREADS 1 /* for one operator */
#define MAX_RANK 16

/* What makes libsmalti.so a custom-operator library. An application that does not link to it gives
 * its path to RegisterCustomOpsLibrary_V2 instead. */
OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base);

typedef struct {
  const OrtApi *api;
  OrtEnv *environment;
  OrtSessionOptions *options;
  OrtSession *session;
  OrtAllocator *allocator;
  char **input_names, **output_names;
  OrtValue **inputs, **outputs;
  size_t input_count, output_count;
} runner;

static bool succeeded(const OrtApi *api, const char *call, OrtStatus *status) {
  if (status == NULL) return true;
  fprintf(stderr, "%.*s: %s\n", (int)strcspn(call, "("), call, api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  return false;
}

/* Returns false from the function around it, and says which call failed. */
#define TRY(api, call)                                       \
  do {                                                       \
    if (!succeeded((api), #call, (api)->call)) return false; \
  } while (0)

static bool load(runner *r, const char *path) {
  const OrtApiBase *base = OrtGetApiBase();
  r->api = base->GetApi(ORT_API_VERSION);
  if (r->api == NULL) {
    fprintf(stderr, "this program needs ONNX Runtime 1.%d or newer, this is %s\n", ORT_API_VERSION,
            base->GetVersionString());
    return false;
  }
  TRY(r->api, CreateEnv(ORT_LOGGING_LEVEL_WARNING, "run_onnx", &r->environment));
  TRY(r->api, CreateSessionOptions(&r->options));
  TRY(r->api, SetIntraOpNumThreads(r->options, THREADS));
  if (!succeeded(r->api, "RegisterCustomOps", RegisterCustomOps(r->options, base))) return false;
  TRY(r->api, CreateSession(r->environment, path, r->options, &r->session));
  TRY(r->api, GetAllocatorWithDefaultOptions(&r->allocator));
  TRY(r->api, SessionGetInputCount(r->session, &r->input_count));
  TRY(r->api, SessionGetOutputCount(r->session, &r->output_count));
  return true;
}

static bool allocate(runner *r) {
  r->input_names = calloc(r->input_count + 1, sizeof *r->input_names);
  r->output_names = calloc(r->output_count + 1, sizeof *r->output_names);
  r->inputs = calloc(r->input_count + 1, sizeof *r->inputs);
  r->outputs = calloc(r->output_count + 1, sizeof *r->outputs);
  if (r->input_names && r->output_names && r->inputs && r->outputs) return true;
  fprintf(stderr, "no memory\n");
  return false;
}

static size_t element_size(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return 4;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return 8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      return 1;
    default:
      return 0;
  }
}

/* The tensor's own memory. */
static bool bytes_of(const OrtApi *api, OrtValue *tensor, void **data, size_t *bytes,
                     ONNXTensorElementDataType *type) {
  OrtTensorTypeAndShapeInfo *info;
  size_t count;
  TRY(api, GetTensorTypeAndShape(tensor, &info));
  OrtStatus *typed = api->GetTensorElementType(info, type);
  OrtStatus *counted = api->GetTensorShapeElementCount(info, &count);
  api->ReleaseTensorTypeAndShapeInfo(info);
  const bool known = succeeded(api, "GetTensorElementType", typed);
  if (!succeeded(api, "GetTensorShapeElementCount", counted) || !known) return false;
  *bytes = count * element_size(*type);
  if (element_size(*type) == 0) fprintf(stderr, "this program has no element type %d\n", *type);
  TRY(api, GetTensorMutableData(tensor, data));
  return element_size(*type) != 0;
}

static bool create_tensor(const runner *r, const OrtTypeInfo *about, OrtValue **tensor) {
  const OrtTensorTypeAndShapeInfo *info; /* belongs to `about` */
  ONNXTensorElementDataType type;
  int64_t dims[MAX_RANK];
  size_t rank;
  TRY(r->api, CastTypeInfoToTensorInfo(about, &info));
  TRY(r->api, GetTensorElementType(info, &type));
  TRY(r->api, GetDimensionsCount(info, &rank));
  if (rank > MAX_RANK) {
    fprintf(stderr, "an input has %zu dimensions\n", rank);
    return false;
  }
  TRY(r->api, GetDimensions(info, dims, rank));
  for (size_t i = 0; i < rank; ++i) {
    if (dims[i] < 0) dims[i] = 1;
  }
  TRY(r->api, CreateTensorAsOrtValue(r->allocator, dims, rank, type, tensor));
  return true;
}

static bool read_input(runner *r, size_t i, const char *path) {
  OrtTypeInfo *about;
  void *data;
  size_t bytes;
  ONNXTensorElementDataType type;
  TRY(r->api, SessionGetInputName(r->session, i, r->allocator, &r->input_names[i]));
  TRY(r->api, SessionGetInputTypeInfo(r->session, i, &about));
  const bool created = create_tensor(r, about, &r->inputs[i]);
  r->api->ReleaseTypeInfo(about);
  return created && bytes_of(r->api, r->inputs[i], &data, &bytes, &type) && fill(data, bytes, path);
}

static bool write_output(const runner *r, size_t i, FILE *raw) {
  void *data;
  size_t bytes;
  ONNXTensorElementDataType type;
  return bytes_of(r->api, r->outputs[i], &data, &bytes, &type) &&
         show(data, bytes, type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, raw);
}

static bool run(runner *r, const arguments *given) {
  if (!load(r, given->model) || !allocate(r)) return false;
  for (size_t i = 0; i < r->input_count; ++i) {
    if (!read_input(r, i, input_file(given, i))) return false;
  }
  for (size_t i = 0; i < r->output_count; ++i) {
    TRY(r->api, SessionGetOutputName(r->session, i, r->allocator, &r->output_names[i]));
  }
  TRY(r->api,
      Run(r->session, NULL, (const char *const *)r->input_names, (const OrtValue *const *)r->inputs,
          r->input_count, (const char *const *)r->output_names, r->output_count, r->outputs));
  for (size_t i = 0; i < r->output_count; ++i) {
    if (!write_output(r, i, given->raw)) return false;
  }
  return true;
}

static void destroy_ports(const runner *r, char **names, OrtValue **values, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (values != NULL) r->api->ReleaseValue(values[i]);
    if (names != NULL && names[i] != NULL) r->allocator->Free(r->allocator, names[i]);
  }
  free(names);
  free(values);
}

/* Also after a failure, of whatever has been created until then: all of these take NULL. */
static void destroy(runner *r) {
  if (r->api == NULL) return;
  destroy_ports(r, r->input_names, r->inputs, r->input_count);
  destroy_ports(r, r->output_names, r->outputs, r->output_count);
  r->api->ReleaseSession(r->session);
  r->api->ReleaseSessionOptions(r->options);
  r->api->ReleaseEnv(r->environment);
}

int main(int argc, char **argv) {
  arguments given;
  runner r = {0};
  if (!parse(argc, argv, &given)) return 1;
  const bool ran = run(&r, &given);
  destroy(&r);
  if (!ran) fprintf(stderr, "%s has not run\n", given.model);
  return finish(&given) && ran ? 0 : 1;
}
