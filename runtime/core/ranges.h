// Work cut into ranges for the engine's threads, and what a thread says that finds no memory.
#pragma once

#include "core/memory.h"
#include "core/op.h"

namespace smalti::SMALTI_LEVEL {

constexpr int64_t kTaskWork = 1 << 17;  // multiplications that are worth waking a thread

inline Status no_memory(int64_t bytes) {
  return fail(SMALTI_OUT_OF_MEMORY, "no memory for %lld bytes of scratch",
              static_cast<long long>(bytes));
}

// Calls body(first, last) for ranges of [0, count), each of about kTaskWork multiplications.
template <class Body>
inline void in_ranges(const Parallel &parallel, int64_t count, int64_t work_each,
                      const Body &body) {
  const int64_t size = kTaskWork / (work_each + 1) + 1;
  parallel((count + size - 1) / size, [&](int64_t i) {
    const int64_t first = i * size, last = first + size;
    body(first, last < count ? last : count);
  });
}

}  // namespace smalti::SMALTI_LEVEL
