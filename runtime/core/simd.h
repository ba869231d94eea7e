// The SIMD primitives of the level that is being compiled.
#pragma once

#if defined(SMALTI_NEON)
#include "core/simd_neon.h"
#elif defined(__AVX512VBMI__) && defined(__AVX512VNNI__)
#include "core/simd_avx512.h"
#elif defined(__AVX2__)
#include "core/simd_avx2.h"
#else
#include "core/simd_portable.h"
#endif
