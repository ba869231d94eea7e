// The door to LiteRT's CompiledModel, whose custom operators see no node: every node of one name
// shares one state. A node's last input carries its attributes once more, so that a run can find
// them by their bytes, and shape inference, which sees no data, by their size. What a kernel
// returns is ignored: errors are printed, and seen in the outputs.
#include <new>

#include "hosts/litert_abi.h"
#include "hosts/tflite_kernel.h"

namespace smalti {
namespace {

using namespace litert;

// The attributes of all nodes that have these bytes.
struct Record {
  size_t size;
  Status status;  // what is wrong with them, told when a node of theirs is prepared
  Value attributes[kMaxAttributes];
  Record *next;
  unsigned char bytes[1];  // `size` of them
};

struct App;

// One operator of one set of options.
struct Slot {
  App *app;
  int op;
  Record *records;
};

// What one call of smalti_add_to_litert leaves behind: LiteRT never says when it is done with it,
// only when it is done with a node.
struct App {
  App *next;
  Lock lock;
  Unlock unlock;
  GetType type;
  int threads;
  pthread_mutex_t mutex;  // for what follows, though not for a pool at work
  int nodes;
  Pool pool;
  Slot slots[1];  // kOpCount of them
};

const Op &op_of(const Slot &slot) { return *active_level()->ops[slot.op]; }

int complain(const Slot &slot, const Status &status) {
  if (status.ok()) return kOk;
  fprintf(stderr, "smalti.%s: %s\n", op_of(slot).name, status.message);
  return kError;
}

Record *find_record(const Slot &slot, const void *bytes, size_t size) {
  Record *record = slot.records;
  while (record != nullptr && (record->size != size || memcmp(record->bytes, bytes, size) != 0)) {
    record = record->next;
  }
  return record;
}

Status add_record(Slot *slot, const void *bytes, size_t size) {
  if (bytes == nullptr || find_record(*slot, bytes, size) != nullptr) return {};
  auto *record = static_cast<Record *>(calloc(1, sizeof(Record) + size));
  if (record == nullptr) return fail(SMALTI_OUT_OF_MEMORY, "no memory for a node");
  record->size = size;
  memcpy(record->bytes, bytes, size);
  record->status = flex::read_attributes(op_of(*slot), bytes, size, record->attributes);
  record->next = slot->records;
  slot->records = record;
  return {};
}

int init(void *state, const void *options, size_t size) {
  auto *slot = static_cast<Slot *>(state);
  pthread_mutex_lock(&slot->app->mutex);
  ++slot->app->nodes;
  const Status status = add_record(slot, options, size);
  pthread_mutex_unlock(&slot->app->mutex);
  count_kernel();
  return complain(*slot, status);
}

void forget_records(Slot *slot) {
  while (slot->records != nullptr) {
    Record *next = slot->records->next;
    free(slot->records);
    slot->records = next;
  }
}

// Nothing of its models is left, so that nobody runs; its options may yet serve another.
void rest(App *app) {
  for (int i = 0; i < kOpCount; ++i) forget_records(&app->slots[i]);
  app->pool.~Pool();
  new (&app->pool) Pool();
}

int destroy(void *state) {
  App *app = static_cast<Slot *>(state)->app;
  pthread_mutex_lock(&app->mutex);
  if (--app->nodes == 0) rest(app);
  pthread_mutex_unlock(&app->mutex);
  return kOk;
}

Status infer_one(const Op &op, const Record &record, const Shape *inputs, Shape *output) {
  *output = {-1, {}};
  SMALTI_TRY(record.status);
  SMALTI_TRY(op.shape(inputs, record.attributes, output));
  return is_known(*output) ? Status{} : fail(SMALTI_INVALID, "its output has no fixed shape");
}

bool equal(const Shape &a, const Shape &b) {
  return a.rank == b.rank && memcmp(a.dims, b.dims, sizeof a.dims[0] * a.rank) == 0;
}

// The exporter gives all attributes of an operator that differ sizes that differ. Several of one
// size are several models': those that do not fit the inputs are another's.
Status infer_any(const Slot &slot, size_t size, const Shape *inputs, Shape *output) {
  Status status =
      fail(SMALTI_CORRUPT, "no node has %zu bytes of attributes; export the file again", size);
  output->rank = -1;
  for (const Record *record = slot.records; record != nullptr; record = record->next) {
    if (record->size != size) continue;
    Shape shape;
    const Status fits = infer_one(op_of(slot), *record, inputs, &shape);
    if (!fits.ok()) {
      status = fits;
    } else if (output->rank < 0) {
      *output = shape;
    } else if (!equal(shape, *output)) {
      return fail(SMALTI_INVALID,
                  "two models cannot be told apart; create options for each, and call "
                  "smalti_add_to_litert for both");
    }
  }
  return output->rank < 0 ? status : Status{};
}

Status read_shape(const Layout &layout, Shape *shape) {
  if (layout.rank > SMALTI_MAX_RANK)
    return fail(SMALTI_INVALID, "an input has %d dimensions; smalti takes up to %d",
                static_cast<int>(layout.rank), SMALTI_MAX_RANK);
  shape->rank = static_cast<int>(layout.rank);
  for (int d = 0; d < shape->rank; ++d) shape->dims[d] = layout.dims[d];
  return {};
}

Status no_attributes(size_t inputs) {
  return fail(SMALTI_CORRUPT, "its %zu inputs do not end with attributes; export the file again",
              inputs);
}

Status infer(Slot *slot, size_t count, const Layout *in, Layout *out) {
  const Op &op = op_of(*slot);
  if (count < 2 || count - 1 > static_cast<size_t>(op.input_count) || in[count - 1].rank != 1)
    return no_attributes(count);
  Shape shapes[kMaxInputs], shape;
  for (int i = 0; i < op.input_count; ++i) {
    shapes[i] = {-1, {}};
    if (static_cast<size_t>(i) + 1 < count) SMALTI_TRY(read_shape(in[i], &shapes[i]));
  }
  pthread_mutex_lock(&slot->app->mutex);
  const Status status =
      infer_any(*slot, static_cast<size_t>(in[count - 1].dims[0]), shapes, &shape);
  pthread_mutex_unlock(&slot->app->mutex);
  SMALTI_TRY(status);
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
  if (app.type(buffer, &type) != kOk || type.layout.rank > SMALTI_MAX_RANK ||
      app.lock(buffer, &data, mode) != kOk)
    return fail(SMALTI_INVALID, "LiteRT does not show a tensor's memory");
  *tensor = {data == nullptr ? no_data() : data,
             tflite::smalti_type(static_cast<tflite::Type>(type.element)),
             static_cast<int32_t>(type.layout.rank),
             {}};
  for (int i = 0; i < tensor->rank; ++i) tensor->dims[i] = type.layout.dims[i];
  return {};
}

// Records live as long as their nodes: what is found stays while one of them runs.
Status find_attributes(Slot *slot, const Tensor *inputs, size_t given, const Value **attributes) {
  const Tensor &carrier = inputs[given];
  if (carrier.type != SMALTI_U8 || carrier.rank != 1) return no_attributes(given + 1);
  pthread_mutex_lock(&slot->app->mutex);
  const Record *record = find_record(*slot, carrier.data, static_cast<size_t>(carrier.dims[0]));
  pthread_mutex_unlock(&slot->app->mutex);
  if (record == nullptr)
    return fail(SMALTI_CORRUPT, "its last input is not its attributes; export the file again");
  *attributes = record->attributes;
  return record->status;
}

Status compute(Slot *slot, const Tensor *inputs, size_t given, Tensor *output) {
  const Op &op = op_of(*slot);
  const Value *attributes = nullptr;
  SMALTI_TRY(find_attributes(slot, inputs, given, &attributes));
  Tensor own[kMaxInputs] = {};
  for (size_t i = 0; i < given; ++i) own[i] = inputs[i];
  SMALTI_TRY(check_inputs(op, own));
  Tensor wanted = {};
  SMALTI_TRY(shape_output(op, own, attributes, &wanted));
  if (!same_shape(wanted, *output)) return fail(SMALTI_INVALID, "its output has another shape");
  tflite::Threads threads = {&slot->app->pool, slot->app->threads};
  return run_op(op, {own, attributes, output, {tflite::parallel_for, &threads}});
}

// To NaN, or -1 where it is int8, which has no NaN: the same everywhere at least.
void spoil(const Tensor &output) {
  int64_t bytes = output.type == SMALTI_F32 ? sizeof(float) : output.type == SMALTI_I8 ? 1 : 0;
  for (int i = 0; i < output.rank; ++i) bytes *= output.dims[i];
  if (output.data != nullptr && bytes > 0) memset(output.data, 0xff, static_cast<size_t>(bytes));
}

// `count` is what get_output_layouts has found right.
int run(void *state, size_t count, void *const *in, size_t, void *const *out) {
  auto *slot = static_cast<Slot *>(state);
  const App &app = *slot->app;
  Tensor inputs[kMaxInputs + 1] = {}, output = {};
  size_t opened = 0;
  Status status = open(app, out[0], kWrite, &output);
  const bool writable = status.ok();
  while (opened < count && status.ok()) {
    status = open(app, in[opened], kRead, &inputs[opened]);
    if (status.ok()) ++opened;
  }
  if (status.ok()) status = compute(slot, inputs, count - 1, &output);
  if (!status.ok() && writable) spoil(output);
  for (size_t i = 0; i < opened; ++i) app.unlock(in[i]);
  if (writable) app.unlock(out[0]);
  return complain(*slot, status);
}

App *apps = nullptr;  // all of them, so that leak checkers see whose they are

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
  pthread_mutex_init(&app->mutex, nullptr);
  for (int i = 0; i < kOpCount; ++i) {
    app->slots[i].app = app;
    app->slots[i].op = i;
  }
  app->next = __atomic_exchange_n(&apps, app, __ATOMIC_SEQ_CST);
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
