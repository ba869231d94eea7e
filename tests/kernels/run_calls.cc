// Runs calls from stdin through the C interface and writes their results to stdout. Numbers are as
// this machine has them. A call is a name, tensors and attributes; a string or a tensor's bytes
// come after their length. Calls that are refused say so on stderr; then the exit status is 1.
#include <stdio.h>
#include <stdlib.h>

#include <string>

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

// Zero-terminated.
std::string text() {
  std::string found(number<size_t>(), 0);
  read(&found[0], found.size());
  return found;
}

// One allocation each, so that a sanitizer sees its end.
smalti_tensor tensor() {
  auto found = number<smalti_tensor>();
  if (found.data != nullptr) {
    const auto bytes = number<size_t>();
    found.data = malloc(bytes == 0 ? 1 : bytes);
    read(found.data, bytes);
  }
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
    const std::string op = text();
    std::string names[kMost];
    smalti_tensor inputs[kMost], output = {};
    smalti_attribute attributes[kMost];
    const auto input_count = number<int32_t>();
    for (int i = 0; i < input_count; ++i) inputs[i] = tensor();
    const auto attribute_count = number<int32_t>();
    for (int i = 0; i < attribute_count; ++i) {
      attributes[i] = number<smalti_attribute>();
      names[i] = text();
      attributes[i].name = names[i].c_str();
    }
    char error[256] = "";
    int code = smalti_shape(op.c_str(), inputs, input_count, attributes, attribute_count, &output,
                            error, sizeof error);
    if (code == SMALTI_OK) {
      output.data = malloc(static_cast<size_t>(bytes_of(output)) + 1);
      code = smalti_run(op.c_str(), inputs, input_count, attributes, attribute_count, &output,
                        threads, error, sizeof error);
    }
    if (code != SMALTI_OK) {
      fprintf(stderr, "%s\n", error);
      status = 1;
    } else {
      fwrite(output.data, 1, static_cast<size_t>(bytes_of(output)), stdout);
    }
    for (int i = 0; i < input_count; ++i) free(inputs[i].data);
    free(output.data);
  }
  return status;
}
