/* smalti: the C interface of libsmalti.so.
 *
 * The same library is also a custom-operator library for ONNX Runtime (`RegisterCustomOps`) and an
 * external delegate for LiteRT and TensorFlow Lite (`tflite_plugin_create_delegate`).
 * Every function here is safe to call from several threads. Strings are UTF-8, owned by the
 * library and live for ever. Nothing throws, nothing aborts.
 */
#ifndef SMALTI_H
#define SMALTI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMALTI_API __attribute__((visibility("default")))
#define SMALTI_MAX_RANK 8

/* Element types, numbered as ONNX numbers them. */
enum smalti_type { SMALTI_F32 = 1, SMALTI_U8 = 2, SMALTI_I8 = 3, SMALTI_I64 = 7, SMALTI_F16 = 10 };

enum smalti_code {
  SMALTI_OK = 0,
  SMALTI_INVALID = 1, /* wrong shape, type, attribute or name */
  SMALTI_CORRUPT = 2, /* packed bytes that are not what their header says */
  SMALTI_OUT_OF_MEMORY = 3
};

/* A dense row-major tensor. An absent optional input has data == NULL. */
typedef struct smalti_tensor {
  void *data;
  int32_t type; /* enum smalti_type */
  int32_t rank; /* 0 .. SMALTI_MAX_RANK */
  int64_t dims[SMALTI_MAX_RANK];
} smalti_tensor;

/* The value of one attribute: set the member that the operator declares. */
typedef struct smalti_attribute {
  const char *name;
  int64_t i;
  float f;
  int64_t ints[SMALTI_MAX_RANK];
  int32_t ints_count;
} smalti_attribute;

SMALTI_API const char *smalti_version(void);

/* Operators: names[0 .. count). `smalti_op_signature` prints one line such as
 * "HadamardTransform(x: f32) -> y: f32; block: int, seed: int". NULL if out of range. */
SMALTI_API int32_t smalti_op_count(void);
SMALTI_API const char *smalti_op_name(int32_t index);
SMALTI_API const char *smalti_op_signature(int32_t index);

/* Instruction-set levels that this CPU can run, "portable" first, best last. */
SMALTI_API int32_t smalti_isa_count(void);
SMALTI_API const char *smalti_isa_name(int32_t index);
/* The level in use: the best one, or the one named by the environment variable SMALTI_ISA. */
SMALTI_API const char *smalti_isa(void);
/* Forces a level for the whole process; returns 0, or SMALTI_INVALID if this CPU lacks it. */
SMALTI_API int32_t smalti_set_isa(const char *name);

/* Kernels that an inference engine has created from this library so far. */
SMALTI_API int64_t smalti_kernels_created(void);
/* How often operators have had to allocate scratch memory so far, over all threads. It stands still
 * once every thread has seen its largest operator. */
SMALTI_API int64_t smalti_scratch_allocations(void);

/* Sets `output`'s type, rank and dims from the inputs' (data is not read). */
SMALTI_API int32_t smalti_shape(const char *op, const smalti_tensor *inputs, int32_t input_count,
                                const smalti_attribute *attributes, int32_t attribute_count,
                                smalti_tensor *output, char *error, size_t error_size);

/* Runs `op` into output->data, which the caller has allocated with the shape that `smalti_shape`
 * gives. `threads` < 2 runs on the calling thread. On failure returns a smalti_code and writes a
 * sentence into `error`. */
SMALTI_API int32_t smalti_run(const char *op, const smalti_tensor *inputs, int32_t input_count,
                              const smalti_attribute *attributes, int32_t attribute_count,
                              smalti_tensor *output, int32_t threads, char *error,
                              size_t error_size);

/* The signs of a rotation: `count` values of +1 or -1 for `seed`. Sign i is bit i % 64 (set means
 * -1) of word i / 64 of SplitMix64 started at `seed`. */
SMALTI_API void smalti_signs(uint64_t seed, int64_t count, int8_t *signs);

/* The functions of LiteRT 2 that we call, so that this library does not link to it. Fill it in with
 *   const smalti_litert engine = SMALTI_LITERT; */
typedef void (*smalti_function)(void);
typedef struct smalti_litert {
  smalti_function add_custom_op_kernel_option;
  smalti_function lock_tensor_buffer;
  smalti_function unlock_tensor_buffer;
  smalti_function get_tensor_buffer_tensor_type;
} smalti_litert;

#define SMALTI_LITERT                                                                       \
  {(smalti_function)LiteRtAddCustomOpKernelOption, (smalti_function)LiteRtLockTensorBuffer, \
   (smalti_function)LiteRtUnlockTensorBuffer, (smalti_function)LiteRtGetTensorBufferTensorType}

/* Adds every operator to a LiteRtOptions, before LiteRtCreateCompiledModel. Use the options for one
 * model, whose shapes are fixed: several models that cannot be told apart are refused. `threads` <
 * 2 runs on the calling thread. LiteRT ignores what a custom operator returns: an error during a
 * run goes to stderr, and its outputs become NaN. Two kilobytes stay allocated for good. Returns a
 * smalti_code. (LiteRT's Interpreter, and TensorFlow Lite before it, take
 * `tflite_plugin_create_delegate` instead.) */
SMALTI_API int32_t smalti_add_to_litert(void *options, const smalti_litert *engine,
                                        int32_t threads);

#ifdef __cplusplus
}
#endif
#endif
