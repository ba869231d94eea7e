// The rotation's sign generator, for programs that prepare or check weights in C.
#define SMALTI_LEVEL portable
#include "core/hadamard.h"

void smalti_signs(uint64_t seed, int64_t count, int8_t *signs) {
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t word = smalti::portable::split_mix_64(seed, i / 64);
    signs[i] = word >> i % 64 & 1 ? -1 : 1;
  }
}
