// Stands in for the compiler's header: the AVX-512 intrinsics that the kernels use, by SIMDe, in
// plain C++. Needs no CPU feature.
#pragma once

#define SMALTI_EMULATED
#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx.h>
#include <simde/x86/avx512/add.h>
#include <simde/x86/avx512/and.h>
#include <simde/x86/avx512/blend.h>
#include <simde/x86/avx512/dpbusd.h>
#include <simde/x86/avx512/loadu.h>
#include <simde/x86/avx512/mov_mask.h>
#include <simde/x86/avx512/mul.h>
#include <simde/x86/avx512/or.h>
#include <simde/x86/avx512/permutex2var.h>
#include <simde/x86/avx512/permutexvar.h>
#include <simde/x86/avx512/set1.h>
#include <simde/x86/avx512/setzero.h>
#include <simde/x86/avx512/srli.h>
#include <simde/x86/avx512/storeu.h>
#include <simde/x86/avx512/sub.h>
#include <simde/x86/avx512/ternarylogic.h>
#include <simde/x86/avx512/test.h>
#include <simde/x86/avx512/xor.h>
#include <stdint.h>
#include <string.h>

#include "core/half.h"

// SIMDe 0.7.4 lacks the following three.

typedef simde__mmask64 __mmask64;

inline __m512 _mm512_cvtepi32_ps(const __m512i &v) {
  int32_t from[16];
  float to[16];
  memcpy(from, &v, sizeof from);
  for (int i = 0; i < 16; ++i) to[i] = static_cast<float>(from[i]);
  return simde_mm512_loadu_ps(to);
}

inline __m512 _mm512_cvtph_ps(const __m256i &halves) {
  uint16_t from[16];
  float to[16];
  memcpy(from, &halves, sizeof from);
  for (int i = 0; i < 16; ++i) to[i] = smalti::SMALTI_LEVEL::half_to_float(from[i]);
  return simde_mm512_loadu_ps(to);
}

// The CPU faults where these addresses are not aligned, SIMDe may not.
#undef _mm512_load_si512
#undef _mm512_store_si512

inline __m512i _mm512_load_si512(const void *from) {
  if (reinterpret_cast<uintptr_t>(from) % 64 != 0) __builtin_trap();
  return simde_mm512_loadu_si512(from);
}

inline void _mm512_store_si512(void *to, const __m512i &v) {
  if (reinterpret_cast<uintptr_t>(to) % 64 != 0) __builtin_trap();
  simde_mm512_storeu_si512(to, v);
}
