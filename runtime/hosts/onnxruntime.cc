// The ONNX Runtime door: every operator of the table as a custom operator of the domain "smalti".
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include "hosts/ort_kernel.h"
#include "hosts/ort_shapes.h"

namespace smalti {
namespace {

using namespace ort;

// One operator as one engine sees it. Shape inference gets no OrtApi, so it has to come from here.
struct Entry {
  OrtCustomOp custom;  // first: the engine's pointer to it is a pointer to the entry
  const OrtApi *api;
  int index;
};

const Entry &entry_of(const OrtCustomOp *custom) {
  return *reinterpret_cast<const Entry *>(custom);
}

const Op &declared(const OrtCustomOp *custom) { return *level(0)->ops[entry_of(custom).index]; }

OrtStatus *create(const OrtCustomOp *custom, const OrtApi *api, const OrtKernelInfo *info,
                  void **kernel) {
  return create_kernel(declared(custom), entry_of(custom).index, api, info, kernel);
}

const char *get_name(const OrtCustomOp *custom) { return declared(custom).name; }
const char *get_provider(const OrtCustomOp *) { return nullptr; }  // the CPU
size_t get_input_count(const OrtCustomOp *custom) { return declared(custom).input_count; }
size_t get_output_count(const OrtCustomOp *) { return 1; }
OrtMemory get_input_memory(const OrtCustomOp *, size_t) { return kDefaultMemory; }
OrtCharacteristic get_output_kind(const OrtCustomOp *, size_t) { return kRequired; }
int get_start_version(const OrtCustomOp *) { return 1; }
int get_end_version(const OrtCustomOp *) { return INT_MAX; }

OrtElementType get_input_type(const OrtCustomOp *custom, size_t i) {
  const Port &port = declared(custom).inputs[i];
  return port.also == 0 ? static_cast<OrtElementType>(port.type) : kUndefined;  // any: we check
}

OrtElementType get_output_type(const OrtCustomOp *custom, size_t) {
  return static_cast<OrtElementType>(declared(custom).output.type);
}

OrtCharacteristic get_input_kind(const OrtCustomOp *custom, size_t i) {
  return declared(custom).inputs[i].optional ? kOptional : kRequired;
}

OrtStatus *infer_shape(const OrtCustomOp *custom, OrtShapeInferContext *context) {
  const Op &op = declared(custom);
  const OrtApi *api = entry_of(custom).api;
  Status status;
  ORT_TRY(infer_output(api, context, op, &status));
  return to_ort(api, op, status);
}

OrtCustomOp describe() {
  OrtCustomOp custom = {};
  custom.version = kApiVersion;
  custom.GetName = get_name;
  custom.GetExecutionProviderType = get_provider;
  custom.GetInputType = get_input_type;
  custom.GetInputTypeCount = get_input_count;
  custom.GetOutputType = get_output_type;
  custom.GetOutputTypeCount = get_output_count;
  custom.KernelDestroy = destroy_kernel;
  custom.GetInputCharacteristic = get_input_kind;
  custom.GetOutputCharacteristic = get_output_kind;
  custom.GetInputMemoryType = get_input_memory;
  custom.CreateKernelV2 = create;
  custom.KernelComputeV2 = compute;
  custom.InferOutputShapeFn = infer_shape;
  custom.GetStartVersion = get_start_version;
  custom.GetEndVersion = get_end_version;
  return custom;
}

// What one engine knows of us. A process may hold several engines (an application's own and
// Python's, say), and none may see another's domain. Lives as long as the process: sessions keep
// pointers into it.
struct Registration {
  const OrtApi *api;
  OrtCustomOpDomain *domain;
  Registration *next;
  Entry entries[1];  // kOpCount of them
};

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
Registration *registrations = nullptr;

OrtStatus *fill_domain(Registration *made) {
  ORT_TRY(CreateCustomOpDomain(made->api, "smalti", &made->domain));
  for (int i = 0; i < kOpCount; ++i) {
    made->entries[i] = {describe(), made->api, i};
    ORT_TRY(CustomOpDomain_Add(made->api, made->domain, &made->entries[i].custom));
  }
  return nullptr;
}

OrtStatus *register_engine(const OrtApi *api, Registration **made) {
  *made = static_cast<Registration *>(calloc(1, sizeof(Registration) + kOpCount * sizeof(Entry)));
  if (*made == nullptr) return CreateStatus(api, kRuntimeException, "smalti: no memory");
  (*made)->api = api;
  OrtStatus *status = fill_domain(*made);
  if (status != nullptr) {
    ReleaseCustomOpDomain(api, (*made)->domain);
    free(*made);
    return status;
  }
  (*made)->next = registrations;
  registrations = *made;
  return nullptr;
}

OrtStatus *find_domain(const OrtApi *api, OrtCustomOpDomain **domain) {
  pthread_mutex_lock(&mutex);
  Registration *found = registrations;
  while (found != nullptr && found->api != api) found = found->next;
  OrtStatus *status = found == nullptr ? register_engine(api, &found) : nullptr;
  pthread_mutex_unlock(&mutex);
  if (status == nullptr) *domain = found->domain;
  return status;
}

// Silence would leave the file's slow fallback running with nobody the wiser.
OrtStatus *too_old(const OrtApiBase *base) {
  const OrtApi *api = base->GetApi(1);
  if (api == nullptr) return nullptr;
  char text[160];
  snprintf(text, sizeof text,
           "smalti needs ONNX Runtime 1.%u or newer, this is %s; upgrade onnxruntime", kApiVersion,
           base->GetVersionString());
  return CreateStatus(api, kFail, text);
}

}  // namespace
}  // namespace smalti

extern "C" SMALTI_API smalti::ort::OrtStatus *RegisterCustomOps(
    smalti::ort::OrtSessionOptions *options, const smalti::ort::OrtApiBase *base) {
  using namespace smalti;
  const ort::OrtApi *api = base->GetApi(ort::kApiVersion);
  if (api == nullptr) return too_old(base);
  ort::OrtCustomOpDomain *domain = nullptr;
  ORT_TRY(find_domain(api, &domain));
  return ort::AddCustomOpDomain(api, options, domain);
}
