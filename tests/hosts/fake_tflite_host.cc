// An engine with a graph of one node, whose structures the macros that begin with LAYOUT_ lay out
// another way; all of them have to be set. Prints what the delegate makes of it: "refused:
// <message>", "ignored", or the node's results.
//   fake_tflite_host <library> <file of options> <byte that fills added fields>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace {

constexpr int kColumns = 64;

struct Ints {
  int size;
  int data[8];
};

struct Tensor {
  LAYOUT_TENSOR_HEAD int type;
  void *data;
  Ints *dims;
  LAYOUT_TENSOR_MIDDLE float scale;
  int zero_point, allocation;
  size_t bytes;
  const void *mapping;
  const char *name;
  void *delegate;
  int buffer;
  bool stale, variable;
  int quantization_type;
  void *quantization, *sparsity;
  LAYOUT_TENSOR_TAIL
};

struct Node {
  LAYOUT_NODE_HEAD Ints *inputs, *outputs, *intermediates, *temporaries;
  void *user_data;
  LAYOUT_NODE_MIDDLE void *builtin_data;
  const void *custom_data;
  int custom_size;
  void *delegate;
  bool side_effects;
};

struct Context;

struct Registration {
  LAYOUT_REGISTRATION_HEAD void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external, *async_kernel;
  uint64_t inplace;
};

struct Context {
  LAYOUT_CONTEXT_HEAD size_t tensor_count;
  int (*plan)(Context *, Ints **);
  Tensor *tensors;
  void *impl;
  int (*resize)(Context *, Tensor *, Ints *);
  LAYOUT_CONTEXT_MIDDLE void (*report)(Context *, const char *, ...);
  int (*add)(Context *, int, int *);
  int (*node)(Context *, int, Node **, Registration **);
  int (*replace)(Context *, Registration, const Ints *, void *);
  int threads;
  void *unused[15];
};

struct Delegate {
  void *data;
  int (*prepare)(Context *, Delegate *);
};

struct Parameters {
  void *delegate;
  Ints *nodes, *inputs, *outputs;
};

Node node;
Registration registration, taken;
Tensor tensors[3];
Ints plan = {1, {0}}, shape = {2, {1, kColumns}}, inputs = {2, {1, 0}}, outputs = {1, {2}};

void report(Context *, const char *format, ...) {
  va_list values;
  va_start(values, format);
  printf("refused: ");
  vprintf(format, values);
  va_end(values);
}

int get_plan(Context *, Ints **found) {
  *found = &plan;
  return 0;
}

int get_node(Context *, int, Node **found, Registration **of) {
  *found = &node;
  *of = &registration;
  return 0;
}

int resize(Context *, Tensor *tensor, Ints *dims) {
  tensor->dims = dims;
  tensor->bytes = sizeof(float) * kColumns;
  tensor->data = calloc(1, tensor->bytes);
  return dims->size == 2 && dims->data[1] == kColumns ? 0 : 1;
}

int replace(Context *context, Registration with, const Ints *nodes, void *delegate) {
  Parameters parameters = {delegate, const_cast<Ints *>(nodes), &inputs, &outputs};
  taken = with;
  node.user_data = with.init(context, reinterpret_cast<const char *>(&parameters), 0);
  return 0;
}

Tensor make(int type, int allocation, Ints *dims, size_t bytes, void *data, int fill) {
  Tensor tensor;
  memset(&tensor, fill, sizeof tensor);
  tensor.type = type;
  tensor.data = data;
  tensor.dims = dims;
  tensor.scale = 0;
  tensor.zero_point = 0;
  tensor.allocation = allocation;
  tensor.bytes = bytes;
  tensor.name = "t";
  tensor.sparsity = nullptr;
  return tensor;
}

void build(char *options, int size, int fill) {
  static Ints bytes = {1, {size}};
  static float x[kColumns];
  for (int i = 0; i < kColumns; ++i) x[i] = static_cast<float>(i);
  tensors[0] = make(3, 1, &bytes, size, options, fill);
  tensors[1] = make(1, 2, &shape, sizeof x, x, fill);
  tensors[2] = make(1, 2, &shape, sizeof x, nullptr, fill);
  memset(&node, fill, sizeof node);
  node.inputs = &inputs;
  node.outputs = &outputs;
  node.user_data = node.builtin_data = nullptr;
  node.custom_data = options;
  node.custom_size = size;
  memset(&registration, fill, sizeof registration);
  registration.builtin_code = 32;
  registration.custom_name = "smalti.HadamardTransform";
}

Context make_context(int fill) {
  Context context;
  memset(&context, fill, sizeof context);
  context.tensor_count = 3;
  context.plan = get_plan;
  context.tensors = tensors;
  context.resize = resize;
  context.report = report;
  context.node = get_node;
  context.replace = replace;
  context.threads = 2;
  return context;
}

int run(Context *context) {
  if (taken.prepare(context, &node) != 0 || taken.invoke(context, &node) != 0) return 1;
  const float *y = static_cast<const float *>(tensors[2].data);
  for (int i = 0; i < kColumns; ++i) printf("%.9g ", static_cast<double>(y[i]));
  taken.free(context, node.user_data);
  return 0;
}

}  // namespace

int main(int, char **arguments) {
  using Create = Delegate *(*)(const char *const *, const char *const *, size_t, void *);
  void *library = dlopen(arguments[1], RTLD_NOW);
  FILE *file = fopen(arguments[2], "rb");
  if (library == nullptr || file == nullptr) return 2;
  static char options[1024];
  const auto size = static_cast<int>(fread(options, 1, sizeof options, file));
  const int fill = atoi(arguments[3]);
  build(options, size, fill);
  Context context = make_context(fill);
  const auto create = reinterpret_cast<Create>(dlsym(library, "tflite_plugin_create_delegate"));
  Delegate *delegate = create(nullptr, nullptr, 0, nullptr);
  if (delegate->prepare(&context, delegate) != 0) return 1;
  if (taken.init != nullptr) return run(&context);
  printf("ignored");
  return 0;
}
