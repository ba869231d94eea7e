// Scratch memory of a thread: grows to what was asked for most, and is reused by every later call.
#pragma once

#include <stdint.h>

namespace smalti {

// Slots are independent, so that a task may run on the thread whose scratch feeds it.
enum class Slot { kCall, kTask };

// 64-byte aligned, contents undefined; nullptr when memory is exhausted. Freed with the thread.
void *scratch(Slot slot, uint64_t bytes);

// How often scratch() had to allocate, over all threads (for tests).
long scratch_allocations();

}  // namespace smalti
