// The door to LiteRT's CompiledModel, whose custom operators see no node: every node of one name
// shares one state, and is told from the others by the size of its last input, which carries its
// attributes. What a kernel returns is ignored, so that errors are printed, and seen in the
// outputs.
#include <new>

#include "hosts/litert_abi.h"
#include "hosts/tflite_kernel.h"

namespace smalti {
namespace {

using namespace litert;

// The attributes of all nodes whose last input has this size.
struct Record {
  size_t size;
  bool ambiguous;
  Value attributes[kMaxAttributes];
  Record *next;
  unsigned char options[1];  // `size` of them: those of the node that was first
};

struct App;

// One operator of one set of options.
struct Slot {
  App *app;
  int op;
  int nodes;
  Record *records;
  pthread_mutex_t mutex;
};

// What one call of smalti_add_to_litert leaves behind: LiteRT never says when it is done with it.
struct App {
  Lock lock;
  Unlock unlock;
  GetType type;
  int threads;
  Pool pool;
  Slot slots[1];  // kOpCount of them
};

const Op &op_of(const Slot &slot) { return *active_level()->ops[slot.op]; }

int complain(const Slot &slot, const Status &status) {
  if (status.ok()) return kOk;
  fprintf(stderr, "smalti.%s: %s\n", op_of(slot).name, status.message);
  return kError;
}

Record *find_record(const Slot &slot, size_t size) {
  Record *record = slot.records;
  while (record != nullptr && record->size != size) record = record->next;
  return record;
}

Status add_record(Slot *slot, const void *options, size_t size) {
  if (Record *known = find_record(*slot, size)) {
    known->ambiguous |= memcmp(known->options, options, size) != 0;
    return {};
  }
  auto *record = static_cast<Record *>(calloc(1, sizeof(Record) + size));
  if (record == nullptr) return fail(SMALTI_OUT_OF_MEMORY, "no memory for a node");
  const Status status = flex::read_attributes(op_of(*slot), options, size, record->attributes);
  record->size = size;
  memcpy(record->options, options, size);
  record->ambiguous = !status.ok();
  record->next = slot->records;
  slot->records = record;
  count_kernel();
  return status;
}

int init(void *state, const void *options, size_t size) {
  auto *slot = static_cast<Slot *>(state);
  pthread_mutex_lock(&slot->mutex);
  ++slot->nodes;
  const Status status = add_record(slot, options, size);
  pthread_mutex_unlock(&slot->mutex);
  return complain(*slot, status);
}

int destroy(void *state) {
  auto *slot = static_cast<Slot *>(state);
  pthread_mutex_lock(&slot->mutex);
  if (--slot->nodes == 0) {
    while (slot->records != nullptr) {
      Record *next = slot->records->next;
      free(slot->records);
      slot->records = next;
    }
  }
  pthread_mutex_unlock(&slot->mutex);
  return kOk;
}

Status attributes_of(Slot *slot, size_t size, const Value **attributes) {
  pthread_mutex_lock(&slot->mutex);
  const Record *record = find_record(*slot, size);
  pthread_mutex_unlock(&slot->mutex);
  if (record == nullptr)
    return fail(SMALTI_CORRUPT, "no node has %zu bytes of attributes; export the file again", size);
  if (record->ambiguous)
    return fail(SMALTI_INVALID,
                "two models cannot be told apart; give each options of its own, and call "
                "smalti_add_to_litert for both");
  *attributes = record->attributes;
  return {};
}

Status infer(Slot *slot, size_t count, const Layout *in, Layout *out) {
  const Op &op = op_of(*slot);
  if (count < 2 || count - 1 > static_cast<size_t>(op.input_count) || in[count - 1].rank != 1)
    return fail(SMALTI_CORRUPT, "its %zu inputs do not end with attributes", count);
  const Value *attributes = nullptr;
  SMALTI_TRY(attributes_of(slot, static_cast<size_t>(in[count - 1].dims[0]), &attributes));
  Shape shapes[kMaxInputs], shape = {-1, {}};
  for (int i = 0; i < op.input_count; ++i) {
    const bool given = static_cast<size_t>(i) + 1 < count;
    shapes[i] = {given ? static_cast<int>(in[i].rank) : -1, {}};
    for (int d = 0; d < shapes[i].rank; ++d) shapes[i].dims[d] = in[i].dims[d];
  }
  SMALTI_TRY(op.shape(shapes, attributes, &shape));
  if (!is_known(shape)) return fail(SMALTI_INVALID, "its output has no fixed shape");
  *out = {};
  out->rank = static_cast<unsigned>(shape.rank);
  for (int d = 0; d < shape.rank; ++d) out->dims[d] = static_cast<int32_t>(shape.dims[d]);
  return {};
}

// LiteRT refuses strides, which is how it hears of an error.
int get_output_layouts(void *state, size_t count, const Layout *in, size_t, Layout *out) {
  auto *slot = static_cast<Slot *>(state);
  const Status status = infer(slot, count, in, out);
  if (!status.ok()) out->has_strides = 1;
  return complain(*slot, status);
}

Status open(const App &app, void *buffer, int mode, Tensor *tensor) {
  TensorType type = {};
  void *data = nullptr;
  if (app.type(buffer, &type) != kOk || app.lock(buffer, &data, mode) != kOk)
    return fail(SMALTI_INVALID, "LiteRT does not show a tensor's memory");
  *tensor = {data,
             tflite::smalti_type(static_cast<tflite::Type>(type.element)),
             static_cast<int32_t>(type.layout.rank),
             {}};
  for (int i = 0; i < tensor->rank && i < SMALTI_MAX_RANK; ++i) {
    tensor->dims[i] = type.layout.dims[i];
  }
  return {};
}

Status compute(Slot *slot, const Tensor *inputs, size_t given, Tensor *output) {
  const Op &op = op_of(*slot);
  const Value *attributes = nullptr;
  SMALTI_TRY(attributes_of(slot, static_cast<size_t>(inputs[given].dims[0]), &attributes));
  Tensor own[kMaxInputs] = {};
  for (size_t i = 0; i < given; ++i) own[i] = inputs[i];
  SMALTI_TRY(check_inputs(op, own));
  Tensor wanted = {};
  SMALTI_TRY(shape_output(op, own, attributes, &wanted));
  if (!same_shape(wanted, *output)) return fail(SMALTI_INVALID, "its output has another shape");
  tflite::Threads threads = {&slot->app->pool, slot->app->threads};
  return run_op(op, {own, attributes, output, {tflite::parallel_for, &threads}});
}

void spoil(const Tensor &output) {
  int64_t bytes = output.type == SMALTI_F32 ? sizeof(float) : 0;
  for (int i = 0; i < output.rank; ++i) bytes *= output.dims[i];
  if (output.data != nullptr && bytes > 0) memset(output.data, 0xff, static_cast<size_t>(bytes));
}

int run(void *state, size_t count, void *const *in, size_t, void *const *out) {
  auto *slot = static_cast<Slot *>(state);
  const App &app = *slot->app;
  Tensor inputs[kMaxInputs + 1] = {}, output = {};
  size_t opened = 0;
  Status status = open(app, out[0], kWrite, &output);
  const bool writable = status.ok();
  for (; opened < count && opened <= kMaxInputs && status.ok(); ++opened) {
    status = open(app, in[opened], kRead, &inputs[opened]);
    if (!status.ok()) break;
  }
  if (status.ok()) status = compute(slot, inputs, count - 1, &output);
  if (!status.ok() && writable) spoil(output);
  for (size_t i = 0; i < opened; ++i) app.unlock(in[i]);
  if (writable) app.unlock(out[0]);
  return complain(*slot, status);
}

const Kernel kernel = {init, get_output_layouts, run, destroy};

App *create(const smalti_litert &engine, int threads) {
  void *memory = calloc(1, sizeof(App) + kOpCount * sizeof(Slot));
  if (memory == nullptr) return nullptr;
  auto *app = static_cast<App *>(memory);
  new (&app->pool) Pool();
  app->lock = reinterpret_cast<Lock>(engine.lock_tensor_buffer);
  app->unlock = reinterpret_cast<Unlock>(engine.unlock_tensor_buffer);
  app->type = reinterpret_cast<GetType>(engine.get_tensor_buffer_tensor_type);
  app->threads = threads;
  for (int i = 0; i < kOpCount; ++i) {
    app->slots[i].app = app;
    app->slots[i].op = i;
    pthread_mutex_init(&app->slots[i].mutex, nullptr);
  }
  return app;
}

}  // namespace
}  // namespace smalti

int32_t smalti_add_to_litert(void *options, const smalti_litert *engine, int32_t threads) {
  using namespace smalti;
  const bool complete =
      options != nullptr && engine != nullptr && engine->add_custom_op_kernel_option != nullptr &&
      engine->lock_tensor_buffer != nullptr && engine->unlock_tensor_buffer != nullptr &&
      engine->get_tensor_buffer_tensor_type != nullptr;
  if (!complete) return SMALTI_INVALID;
  App *app = create(*engine, threads);
  if (app == nullptr) return SMALTI_OUT_OF_MEMORY;
  const auto add = reinterpret_cast<AddCustomOp>(engine->add_custom_op_kernel_option);
  for (int i = 0; i < kOpCount; ++i) {
    char name[64];
    snprintf(name, sizeof name, "smalti.%s", level(0)->ops[i]->name);
    if (add(options, name, 1, &kernel, &app->slots[i]) != kOk) return SMALTI_INVALID;
  }
  return SMALTI_OK;
}
