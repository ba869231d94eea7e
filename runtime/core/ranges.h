// Work cut into ranges for the engine's threads, and what a thread says that finds no memory.
#pragma once

#include "core/memory.h"
#include "core/op.h"

namespace smalti::SMALTI_LEVEL {

constexpr int64_t kTaskWork = 1 << 16;  // multiplications of a task, about
constexpr int64_t kLoopWork = 1 << 17;  // multiplications that are worth waking a thread

inline Status no_memory(int64_t bytes) {
  return fail(SMALTI_OUT_OF_MEMORY, "no memory for %lld bytes of scratch",
              static_cast<long long>(bytes));
}

// Calls body(first, last) for ranges of [0, count) that differ by one in size at most, each of
// about kTaskWork multiplications: many, so that threads have the same number of them, more or
// less.
template <class Body>
inline void in_ranges(const Parallel &parallel, int64_t count, int64_t work_each,
                      const Body &body) {
  const int64_t size = kTaskWork / (work_each + 1) + 1, loop = kLoopWork / (work_each + 1);
  const int64_t tasks = count <= loop ? count > 0 : (count + size - 1) / size;
  parallel(tasks, [&](int64_t i) { body(count * i / tasks, count * (i + 1) / tasks); });
}

}  // namespace smalti::SMALTI_LEVEL
