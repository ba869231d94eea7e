// Stands in for the compiler's header: that, and vpdpbusd in plain C++. Needs a CPU with AVX2.
#pragma once

#undef __AVXVNNI__
#include_next <immintrin.h>
#define __AVXVNNI__
#define SMALTI_EMULATED

#include <stdint.h>
#include <string.h>

#define _mm256_dpbusd_avx_epi32 emulated_dpbusd

inline __m256i emulated_dpbusd(__m256i sums, __m256i w, __m256i x) {
  int32_t sum[8];
  uint8_t unsigned_bytes[32];
  int8_t signed_bytes[32];
  memcpy(sum, &sums, sizeof sum);
  memcpy(unsigned_bytes, &w, sizeof unsigned_bytes);
  memcpy(signed_bytes, &x, sizeof signed_bytes);
  for (int i = 0; i < 32; ++i) sum[i / 4] += unsigned_bytes[i] * signed_bytes[i];
  memcpy(&sums, sum, sizeof sum);
  return sums;
}
