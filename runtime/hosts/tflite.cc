// The TensorFlow Lite door: a delegate that takes the custom operators named "smalti.<operator>".
// LiteRT's interpreter, tflite-runtime and Android's load it by the two functions at the end.
#include <new>

#include "hosts/tflite_guard.h"

namespace smalti {
namespace {

using namespace tflite;

constexpr char kPrefix[] = "smalti.";

struct Door {
  Delegate delegate;  // first: the engine's pointer to it is a pointer to the door
  Pool pool;
};

const char *our_name(const Registration *registration) {
  const char *name = registration->custom_name;
  const size_t prefix = sizeof kPrefix - 1;
  const bool ours = registration->builtin_code == kCustom && name != nullptr &&
                    strncmp(name, kPrefix, prefix) == 0;
  return ours ? name + prefix : nullptr;
}

// The last input carries the attributes for LiteRT's other door; the ones before it are the
// operator's. Those left out at the end are absent.
Status take_inputs(const Context *context, const Node *node, Kernel *kernel) {
  const Op &op = *level(0)->ops[kernel->index];
  const int given = node->inputs->size - 1;
  if (given > op.input_count)
    return fail(SMALTI_INVALID, "it has %d inputs, the operator takes %d", given, op.input_count);
  for (int i = 0; i < op.input_count; ++i) {
    const int tensor = i < given ? node->inputs->data[i] : kAbsent;
    if (tensor != kAbsent && static_cast<size_t>(tensor) >= context->tensors_size)
      return fail(SMALTI_CORRUPT, "input %d is tensor %d of %zu", i, tensor, context->tensors_size);
    kernel->inputs[i] = tensor;
  }
  return {};
}

Kernel *create_kernel(const Context *context, Delegate *delegate, const Node *node, int op) {
  auto *kernel = static_cast<Kernel *>(calloc(1, sizeof(Kernel)));
  if (kernel == nullptr) return nullptr;
  kernel->index = op;
  kernel->pool = &reinterpret_cast<Door *>(delegate)->pool;
  kernel->output = node->outputs->data[0];
  kernel->status = take_inputs(context, node, kernel);
  if (kernel->status.ok()) {
    kernel->status = flex::read_attributes(*level(0)->ops[op], node->custom_data,
                                           node->custom_data_size, kernel->attributes);
  }
  count_kernel();
  return kernel;
}

// `buffer` is what the engine calls a delegate's parameters. The node they name has been claimed by
// us, so it exists and its operator is known.
void *init(Context *context, const char *buffer, size_t) {
  const auto *params = reinterpret_cast<const DelegateParams *>(buffer);
  Node *node = nullptr;
  Registration *registration = nullptr;
  if (context->GetNodeAndRegistration(context, params->nodes->data[0], &node, &registration) !=
      kOk) {
    return nullptr;
  }
  const int op = find_op(our_name(registration));
  return create_kernel(context, params->delegate, node, op);
}

void release(Context *, void *kernel) { free(kernel); }

Result refuse_layout(Context *context, const char *name) {
  context->ReportError(context,
                       "smalti.%s: smalti %s does not know how this engine lays out its "
                       "structures, or the node lacks its attributes; use ai-edge-litert 2 or "
                       "tflite-runtime 2.14, and export the file again. ",
                       name, SMALTI_VERSION);
  return kError;
}

// Then the engine's own way to report errors is not to be found either.
Result refuse_context() {
  fprintf(stderr,
          "smalti %s does not know how this engine lays out its structures; use ai-edge-litert 2 "
          "or tflite-runtime 2.14\n",
          SMALTI_VERSION);
  return kError;
}

// One partition a node: tensors inside a larger one would not be allocated.
Result take(Context *context, Delegate *delegate, int index) {
  Node *node = nullptr;
  Registration *registration = nullptr;
  if (context->GetNodeAndRegistration(context, index, &node, &registration) != kOk) return kError;
  if (!sound_registration(*registration)) return refuse_layout(context, "*");
  const char *name = our_name(registration);
  if (name == nullptr) return kOk;
  if (find_op(name) < 0) {
    context->ReportError(context, "smalti %s has no operator %s; upgrade smalti. ", SMALTI_VERSION,
                         name);
    return kError;
  }
  if (!sound_node(*context, *node)) return refuse_layout(context, name);
  Registration ours = {};
  ours.init = init;
  ours.free = release;
  ours.prepare = prepare;
  ours.invoke = invoke;
  ours.builtin_code = kDelegate;
  ours.custom_name = registration->custom_name;
  ours.version = 1;
  const IntArray nodes = {1, {index}};
  return context->ReplaceNodeSubsetsWithDelegateKernels(context, ours, &nodes, delegate);
}

// The plan belongs to the engine, and changes as nodes are replaced.
Result prepare_graph(Context *context, Delegate *delegate) {
  if (!sound_context(*context)) return refuse_context();
  IntArray *plan = nullptr;
  if (context->GetExecutionPlan(context, &plan) != kOk || plan == nullptr) return kError;
  const int count = plan->size;
  const size_t bytes = sizeof(int) * static_cast<size_t>(count);
  int *nodes = static_cast<int *>(malloc(bytes + 1));
  if (nodes == nullptr) return kError;
  memcpy(nodes, plan->data, bytes);
  Result result = kOk;
  for (int i = 0; i < count && result == kOk; ++i) result = take(context, delegate, nodes[i]);
  free(nodes);
  return result;
}

}  // namespace
}  // namespace smalti

extern "C" {

SMALTI_API smalti::tflite::Delegate *tflite_plugin_create_delegate(const char *const *keys,
                                                                   const char *const *,
                                                                   size_t count,
                                                                   void (*report)(const char *)) {
  if (count > 0 && report != nullptr) report("smalti's delegate takes no options");
  if (count > 0) return nullptr;
  (void)keys;
  void *memory = malloc(sizeof(smalti::Door));
  if (memory == nullptr) return nullptr;
  auto *door = new (memory) smalti::Door();
  door->delegate.Prepare = smalti::prepare_graph;
  door->delegate.flags = smalti::tflite::kAllowDynamicTensors;
  return &door->delegate;
}

// Every interpreter that uses it has to be gone.
SMALTI_API void tflite_plugin_destroy_delegate(smalti::tflite::Delegate *delegate) {
  if (delegate == nullptr) return;
  auto *door = reinterpret_cast<smalti::Door *>(delegate);
  door->~Door();
  free(door);
}
}
