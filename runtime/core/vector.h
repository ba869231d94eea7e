// Eight floats at a time in the compiler's own vector types, so that one source serves every
// level. Operations are element-wise and exact, hence the same bits on all of them.
#pragma once

#include <stdint.h>
#include <string.h>

namespace smalti::SMALTI_LEVEL {

constexpr int kLanes = 8;
typedef float Floats __attribute__((vector_size(32)));
typedef int32_t Ints __attribute__((vector_size(32)));
typedef uint32_t Words __attribute__((vector_size(32)));

// Values pass by reference: 32-byte vectors have no stable calling convention below AVX.
inline void load(const float *from, Floats &to) { memcpy(&to, from, sizeof to); }
inline void store(const Floats &from, float *to) { memcpy(to, &from, sizeof from); }

#define SMALTI_INLINE __attribute__((always_inline)) inline
#define SMALTI_INLINE_LAMBDA __attribute__((always_inline))

// Calls body(i) for i in [0, kCount) without a loop: arrays of registers that are indexed by i stay
// in registers, which compilers do not manage for the counters of small loops.
template <int kCount, int kFirst = 0, class Body>
SMALTI_INLINE void unrolled(Body &&body) {
  if constexpr (kFirst < kCount) {
    body(kFirst);
    unrolled<kCount, kFirst + 1>(body);
  }
}

}  // namespace smalti::SMALTI_LEVEL
