// Which instruction-set levels this CPU can run, and which one is in use.
#include <stdlib.h>
#include <string.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "core/op.h"

namespace smalti {

#define SMALTI_OP(name) +1
const int kOpCount = 0
#include "ops/ops.inc"
    ;
#undef SMALTI_OP

namespace portable {
extern const Level level;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Level level;
}
namespace avx512 {
extern const Level level;
}
#elif defined(__aarch64__)
namespace neon {
extern const Level level;
}
namespace dotprod {
extern const Level level;
}
namespace i8mm {
extern const Level level;
}
#endif

namespace {

struct Levels {
  const Level *list[4];
  int count;
};

#if defined(__x86_64__)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__)
// As the kernel numbers them; headers of old C libraries lack the last.
constexpr unsigned long kAtomics = 1 << 8, kDotProducts = 1 << 20;  // of AT_HWCAP
constexpr unsigned long kMatrixProducts = 1 << 13;                  // of AT_HWCAP2

// Compilers take the atomics of armv8.1 for granted where there are dot products.
bool has_dotprod() {
  const unsigned long wanted = kAtomics | kDotProducts;
  return (getauxval(AT_HWCAP) & wanted) == wanted;
}

bool has_i8mm() { return has_dotprod() && (getauxval(AT_HWCAP2) & kMatrixProducts) != 0; }
#endif

Levels find_levels() {
  Levels found = {{&portable::level}, 1};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (has_avx2()) found.list[found.count++] = &avx2::level;
  if (has_avx512()) found.list[found.count++] = &avx512::level;
#elif defined(__aarch64__)
  found.list[found.count++] = &neon::level;
  if (has_dotprod()) found.list[found.count++] = &dotprod::level;
  if (has_i8mm()) found.list[found.count++] = &i8mm::level;
#endif
  return found;
}

const Levels levels = find_levels();

const Level *level_named(const char *name) {
  for (int i = 0; i < levels.count; ++i) {
    if (strcmp(levels.list[i]->name, name) == 0) return levels.list[i];
  }
  return nullptr;
}

const Level *first_choice() {
  const char *wanted = getenv("SMALTI_ISA");
  const Level *named = wanted == nullptr ? nullptr : level_named(wanted);
  if (wanted != nullptr && named == nullptr) {
    fprintf(stderr, "smalti: SMALTI_ISA=%s is not a level of this CPU; using %s\n", wanted,
            levels.list[levels.count - 1]->name);
  }
  return named != nullptr ? named : levels.list[levels.count - 1];
}

const Level *active = first_choice();
int64_t created = 0;

}  // namespace

const Level *active_level() { return __atomic_load_n(&active, __ATOMIC_ACQUIRE); }
int level_count() { return levels.count; }
const Level *level(int index) {
  return index >= 0 && index < levels.count ? levels.list[index] : nullptr;
}

bool set_active_level(const char *name) {
  const Level *named = level_named(name);
  if (named == nullptr) return false;
  __atomic_store_n(&active, named, __ATOMIC_RELEASE);
  return true;
}

int64_t kernels_created() { return __atomic_load_n(&created, __ATOMIC_RELAXED); }
void count_kernel() { __atomic_add_fetch(&created, 1, __ATOMIC_RELAXED); }

}  // namespace smalti
