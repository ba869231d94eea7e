#include "core/memory.h"

#include <pthread.h>
#include <stdlib.h>

namespace smalti {
namespace {

constexpr int kSlots = 2;
constexpr size_t kAlign = 64;

struct Arena {
  void *data[kSlots];
  size_t size[kSlots];
};

pthread_key_t key;
pthread_once_t once = PTHREAD_ONCE_INIT;
long allocations = 0;

void release(void *pointer) {
  Arena *arena = static_cast<Arena *>(pointer);
  for (void *data : arena->data) free(data);
  free(arena);
}

void create_key() { pthread_key_create(&key, release); }

Arena *arena_of_this_thread() {
  pthread_once(&once, create_key);
  Arena *arena = static_cast<Arena *>(pthread_getspecific(key));
  if (arena == nullptr) {
    arena = static_cast<Arena *>(calloc(1, sizeof(Arena)));
    if (arena != nullptr) pthread_setspecific(key, arena);
  }
  return arena;
}

}  // namespace

void *scratch(Slot slot, uint64_t bytes) {
  Arena *arena = arena_of_this_thread();
  // More than a 32-bit machine can count would come out as little.
  if (arena == nullptr || bytes > PTRDIFF_MAX - kAlign) return nullptr;
  const int i = static_cast<int>(slot);
  if (arena->size[i] >= bytes) return arena->data[i];
  const size_t size = (static_cast<size_t>(bytes) + kAlign - 1) / kAlign * kAlign;
  free(arena->data[i]);
  arena->data[i] = aligned_alloc(kAlign, size);
  arena->size[i] = arena->data[i] == nullptr ? 0 : size;
  __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
  return arena->data[i];
}

long scratch_allocations() { return __atomic_load_n(&allocations, __ATOMIC_RELAXED); }

}  // namespace smalti
