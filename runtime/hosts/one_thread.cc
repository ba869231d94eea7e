// The pool of a machine without threads, in place of pool.cc: the caller does all the work.
#include "hosts/pool.h"

namespace smalti {

Pool::Pool() = default;

void Pool::run(int, int64_t count, void (*task)(void *, int64_t), void *argument) {
  for (int64_t i = 0; i < count; ++i) task(argument, i);
}

}  // namespace smalti
