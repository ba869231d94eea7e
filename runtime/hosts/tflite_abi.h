// The part of TensorFlow Lite's C structures that we use, in our own words. LiteRT 2 keeps them,
// and has only ever appended to them. tests/hosts/tflite_abi_check.cc compares all of this with a
// real header where one can be had.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace smalti::tflite {

enum Result : int { kOk = 0, kError = 1 };
enum Type : int { kFloat32 = 1, kUInt8 = 3, kInt64 = 4, kInt8 = 9, kFloat16 = 10 };
enum Allocation : int { kMmapRo = 1 };
enum BuiltinCode : int32_t { kCustom = 32, kDelegate = 51 };
constexpr int kAbsent = -1;                  // an optional input that a node does not have
constexpr int64_t kAllowDynamicTensors = 1;  // else the graph is prepared before we are asked

struct IntArray {
  int size;
  int data[1];  // `size` of them
};

struct Delegate;

struct TfTensor {
  Type type;
  void *data;
  IntArray *dims;
  float scale;
  int32_t zero_point;
  Allocation allocation;
  size_t bytes;
  const void *mapping;
  const char *name;
  Delegate *delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  int quantization_type;
  void *quantization;
  void *sparsity;
  const IntArray *dims_signature;
};

struct Node {
  IntArray *inputs, *outputs, *intermediates, *temporaries;
  void *user_data;
  void *builtin_data;
  const void *custom_data;
  int custom_data_size;
  Delegate *delegate;
  bool might_have_side_effect;
};

struct Context;

struct Registration {
  void *(*init)(Context *context, const char *buffer, size_t size);
  void (*free)(Context *context, void *kernel);
  Result (*prepare)(Context *context, Node *node);
  Result (*invoke)(Context *context, Node *node);
  const char *(*profiling_string)(const Context *context, const Node *node);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external;
  void *async_kernel;
  uint64_t inplace;
};

struct Context {
  size_t tensors_size;
  Result (*GetExecutionPlan)(Context *, IntArray **plan);
  TfTensor *tensors;
  void *impl;
  Result (*ResizeTensor)(Context *, TfTensor *, IntArray *dims);  // owns dims from then on
  void (*ReportError)(Context *, const char *format, ...);
  Result (*AddTensors)(Context *, int count, int *first);
  Result (*GetNodeAndRegistration)(Context *, int index, Node **, Registration **);
  // By value: on 32-bit ARM the size of Registration has to be the runtime's own.
  Result (*ReplaceNodeSubsetsWithDelegateKernels)(Context *, Registration, const IntArray *nodes,
                                                  Delegate *);
  int recommended_num_threads;
  void *unused[15];  // GetTensor among them is NULL in the full runtime
};

struct DelegateParams {
  Delegate *delegate;
  IntArray *nodes, *inputs, *outputs;
};

struct Delegate {
  void *data;
  Result (*Prepare)(Context *, Delegate *);
  Result (*CopyFromBufferHandle)(Context *, Delegate *, int, TfTensor *);
  Result (*CopyToBufferHandle)(Context *, Delegate *, int, TfTensor *);
  void (*FreeBufferHandle)(Context *, Delegate *, int *);
  int64_t flags;
  void *opaque_builder;
};

// Sizes on machines with 64-bit pointers.
static_assert(sizeof(void *) != 8 ||
                  (sizeof(TfTensor) == 112 && sizeof(Node) == 80 && sizeof(Registration) == 88 &&
                   sizeof(Context) == 200 && sizeof(Delegate) == 56),
              "TensorFlow Lite's structures are laid out another way");

}  // namespace smalti::tflite
