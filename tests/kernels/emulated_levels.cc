// runtime/core/levels.cc for a library of one level, the emulated avx512, which this CPU counts as
// able to run. SMALTI_LEVEL's name stands for every name: -Dportable=avx512.
#define __builtin_cpu_supports(feature) true
#define avx2 avx512
#include "core/levels.cc"
