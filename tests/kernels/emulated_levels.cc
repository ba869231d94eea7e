// runtime/core/levels.cc for a library of two levels, portable and an emulated avx512, that this
// CPU counts as able to run.
#define __builtin_cpu_supports(feature) true
#define avx2 portable
#include "core/levels.cc"
