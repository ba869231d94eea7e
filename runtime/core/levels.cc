// Which instruction-set levels this CPU can run, and which one is in use.
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
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
namespace avxvnni {
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
// Not by __builtin_cpu_supports, which says no to everything where zig's runtime library is linked.
struct Cpuid {
  unsigned a, b, c, d;
};

Cpuid cpuid(unsigned leaf, unsigned part = 0) {
  Cpuid found = {};  // stays where the CPU has no such leaf
  __get_cpuid_count(leaf, part, &found.a, &found.b, &found.c, &found.d);
  return found;
}

constexpr bool has(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

// Which registers the operating system saves.
unsigned saved_registers() {
  unsigned low = 0, high = 0;
  if (has(cpuid(1).c, bit_OSXSAVE)) asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

constexpr unsigned kYmm = 0x06, kZmm = 0xE6;

// What the levels are compiled for: see CMakeLists.txt.
bool has_avx2() {
  return has(saved_registers(), kYmm) && has(cpuid(7).b, bit_AVX2 | bit_BMI | bit_BMI2) &&
         has(cpuid(1).c, bit_AVX | bit_FMA | bit_F16C | bit_MOVBE | bit_POPCNT) &&
         has(cpuid(0x80000001).c, bit_LZCNT);
}

constexpr unsigned kAvxVnni = 1 << 4;  // headers of old compilers lack it

bool has_avxvnni() { return has_avx2() && cpuid(7).a > 0 && has(cpuid(7, 1).a, kAvxVnni); }

bool has_avx512() {
  constexpr unsigned kBasic = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ;
  return has_avx2() && has(saved_registers(), kZmm) && has(cpuid(7).b, kBasic | bit_AVX512VL) &&
         has(cpuid(7).c, bit_AVX512VBMI | bit_AVX512VNNI);
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
  if (has_avx2()) found.list[found.count++] = &avx2::level;
  if (has_avxvnni()) found.list[found.count++] = &avxvnni::level;
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
