// Runs calls from stdin through the C interface and writes their results to stdout, all numbers
// little-endian. A call is a name, tensors and attributes; a string or a tensor's bytes come after
// their length, which is -1 for an absent tensor. Calls that are refused say so on stderr; then the
// exit status is 1. No C++ runtime is needed.
#include <stdio.h>
#include <stdlib.h>

#include "smalti.h"

namespace {

constexpr int kMost = 16;

void read(void *to, size_t bytes) {
  if (fread(to, 1, bytes, stdin) != bytes && bytes > 0) exit(2);
}

template <class T>
T number() {
  T value;
  read(&value, sizeof value);
  return value;
}

template <class T>
void numbers(T &to) {
  read(&to, sizeof to);
}

// One allocation each, so that a sanitizer sees its end; NULL after a length of -1.
void *sized(size_t beyond) {
  const auto bytes = number<int64_t>();
  if (bytes < 0) return nullptr;
  auto *found = static_cast<char *>(calloc(1, bytes + beyond == 0 ? 1 : bytes + beyond));
  if (found == nullptr) exit(3);
  read(found, bytes);
  return found;
}

char *text() { return static_cast<char *>(sized(1)); }

smalti_tensor tensor() {
  smalti_tensor found = {};
  numbers(found.type);
  numbers(found.rank);
  numbers(found.dims);
  found.data = sized(0);
  return found;
}

smalti_attribute attribute() {
  smalti_attribute found = {};
  numbers(found.i);
  numbers(found.f);
  numbers(found.ints_count);
  numbers(found.ints);
  found.name = text();
  return found;
}

int64_t bytes_of(const smalti_tensor &tensor) {
  int64_t bytes = tensor.type == SMALTI_F32 ? 4 : 1;
  for (int i = 0; i < tensor.rank; ++i) bytes *= tensor.dims[i];
  return bytes;
}

}  // namespace

int main() {
  int status = 0;
  const auto threads = number<int32_t>();
  for (auto left = number<int32_t>(); left > 0; --left) {
    char *const op = text();
    smalti_tensor inputs[kMost], output = {};
    smalti_attribute attributes[kMost];
    const auto input_count = number<int32_t>();
    for (int i = 0; i < input_count; ++i) inputs[i] = tensor();
    const auto attribute_count = number<int32_t>();
    for (int i = 0; i < attribute_count; ++i) attributes[i] = attribute();
    char error[256] = "";
    int code = smalti_shape(op, inputs, input_count, attributes, attribute_count, &output, error,
                            sizeof error);
    if (code == SMALTI_OK) {
      output.data = malloc(static_cast<size_t>(bytes_of(output)) + 1);
      code = smalti_run(op, inputs, input_count, attributes, attribute_count, &output, threads,
                        error, sizeof error);
    }
    if (code != SMALTI_OK) {
      fprintf(stderr, "%s\n", error);
      status = 1;
    } else {
      fwrite(output.data, 1, static_cast<size_t>(bytes_of(output)), stdout);
    }
    for (int i = 0; i < input_count; ++i) free(inputs[i].data);
    for (int i = 0; i < attribute_count; ++i) free(const_cast<char *>(attributes[i].name));
    free(op);
    free(output.data);
  }
  return status;
}
