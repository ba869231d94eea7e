// Runs calls from stdin through the C interface and writes their results to stdout: for test_arm64.
// Numbers are as this machine has them. A call is a name, tensors and attributes; a string or a
// tensor's bytes come after their length.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

// Zero-terminated; kept until the program ends.
char *text() {
  const auto bytes = number<int64_t>();
  char *found = static_cast<char *>(aligned_alloc(64, (static_cast<size_t>(bytes) + 64) / 64 * 64));
  read(found, static_cast<size_t>(bytes));
  found[bytes] = 0;
  return found;
}

smalti_tensor tensor() {
  auto found = number<smalti_tensor>();
  if (found.data != nullptr) found.data = text();
  return found;
}

smalti_attribute attribute() {
  auto found = number<smalti_attribute>();
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
  const auto threads = number<int32_t>();
  for (auto left = number<int32_t>(); left > 0; --left) {
    const char *op = text();
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
      fprintf(stderr, "%s: %s\n", op, error);
      return 1;
    }
    fwrite(output.data, 1, static_cast<size_t>(bytes_of(output)), stdout);
    free(output.data);
  }
  return 0;
}
