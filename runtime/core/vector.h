// Eight floats at a time in the compiler's own vector types, so that one source serves every
// level. Operations are element-wise and exact, hence the same bits on all of them.
#pragma once

#include <stdint.h>
#include <string.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace smalti::SMALTI_LEVEL {

constexpr int kLanes = 8;
typedef float Floats __attribute__((vector_size(32)));
typedef int32_t Ints __attribute__((vector_size(32)));
typedef uint32_t Words __attribute__((vector_size(32)));
typedef uint16_t Shorts __attribute__((vector_size(16)));
typedef float HalfFloats __attribute__((vector_size(16)));
typedef int32_t HalfInts __attribute__((vector_size(16)));
typedef uint32_t HalfWords __attribute__((vector_size(16)));

#define SMALTI_INLINE __attribute__((always_inline)) inline
#define SMALTI_INLINE_LAMBDA __attribute__((always_inline))

// Values pass by reference: 32-byte vectors have no stable calling convention below AVX.
inline void load(const float *from, Floats &to) { memcpy(&to, from, sizeof to); }
inline void store(const Floats &from, float *to) { memcpy(to, &from, sizeof from); }
inline void load(const int32_t *from, Ints &to) { memcpy(&to, from, sizeof to); }
inline void store(const Ints &from, int32_t *to) { memcpy(to, &from, sizeof from); }

inline void store_first(const Floats &from, int64_t count, float *to) {
  if (count >= kLanes) return store(from, to);
  float all[kLanes];
  store(from, all);
  for (int64_t i = 0; i < count; ++i) to[i] = all[i];
}

inline void broadcast(float from, Floats &to) {
#ifdef __AVX2__
  to = Floats{} + from;
#else
  const HalfFloats halves[2] = {HalfFloats{} + from, HalfFloats{} + from};  // not eight stores
  memcpy(&to, halves, sizeof to);
#endif
}
inline void broadcast(int32_t from, Ints &to) { to = Ints{} + from; }

// to = body(from, ...), by halves where that is the machine's width: GCC takes conversions,
// comparisons, shuffles and some products of wider vectors apart into single numbers.
#ifdef __AVX2__
template <class To, class Body, class... From>
SMALTI_INLINE void by_halves(To &to, const Body &body, const From &...from) {
  to = body(from...);
}
#else
template <class Half, class Whole>
SMALTI_INLINE Half half(const Whole &from, int i) {
  Half halves[2];
  memcpy(halves, &from, sizeof halves);
  return halves[i];
}
SMALTI_INLINE HalfFloats half(const Floats &from, int i) { return half<HalfFloats>(from, i); }
SMALTI_INLINE HalfInts half(const Ints &from, int i) { return half<HalfInts>(from, i); }
SMALTI_INLINE HalfWords half(const Words &from, int i) { return half<HalfWords>(from, i); }

template <class To, class Body, class... From>
SMALTI_INLINE void by_halves(To &to, const Body &body, const From &...from) {
  const decltype(body(half(from, 0)...)) halves[2] = {body(half(from, 0)...),
                                                      body(half(from, 1)...)};
  memcpy(&to, halves, sizeof to);
}
#endif

// Towards zero, for |from| < 2^31.
SMALTI_INLINE void to_ints(const Floats &from, Ints &to) {
  by_halves(
      to,
      [](const auto &x)
          SMALTI_INLINE_LAMBDA { return __builtin_convertvector(x, decltype(x > x)); },
      from);
}

SMALTI_INLINE void to_floats(const Ints &from, Floats &to) {
#ifdef __AVX2__
  to = __builtin_convertvector(from, Floats);
#else
  by_halves(
      to,
      [](const HalfInts &x) SMALTI_INLINE_LAMBDA { return __builtin_convertvector(x, HalfFloats); },
      from);
#endif
}

// The lowest bytes.
SMALTI_INLINE void store_bytes(const Ints &from, int8_t *to) {
#ifdef __AVX2__
  typedef int8_t Eight __attribute__((vector_size(kLanes)));
  const Eight narrow = __builtin_convertvector(from, Eight);
#else
  typedef int8_t Bytes16 __attribute__((vector_size(16)));
  Bytes16 halves[2];
  memcpy(halves, &from, sizeof halves);
  const Bytes16 narrow = __builtin_shufflevector(halves[0], halves[1], 0, 4, 8, 12, 16, 20, 24, 28,
                                                 0, 4, 8, 12, 16, 20, 24, 28);
#endif
  memcpy(to, &narrow, kLanes);
}

// The largest integers that are not above p, for |p| <= 2^30.
SMALTI_INLINE void floor_of(const Floats &p, Ints &to) {
  by_halves(
      to,
      [](const auto &x) SMALTI_INLINE_LAMBDA {
        const auto cut = __builtin_convertvector(x, decltype(x > x));
        return cut + (__builtin_convertvector(cut, decltype(x + x)) > x);  // it holds: -1
      },
      p);
}

// to[i] = from[at[i]]; every index has to be inside.
inline void gather(const float *from, const Ints &at, Floats &to) {
#ifdef __AVX2__
  to = reinterpret_cast<Floats>(_mm256_i32gather_ps(from, reinterpret_cast<__m256i>(at), 4));
#else
  for (int i = 0; i < kLanes; ++i) to[i] = from[at[i]];
#endif
}

// Whether a comparison holds in some lane.
inline bool any(const Ints &holds) {
  uint64_t parts[kLanes / 2];
  memcpy(parts, &holds, sizeof parts);
  return (parts[0] | parts[1] | parts[2] | parts[3]) != 0;
}

// to[i] = some[i] ? from[i] : 0, where some[i] is 0 or -1; reads nothing else.
inline void load_some(const float *from, const Ints &some, Floats &to) {
#ifdef __AVX2__
  to = reinterpret_cast<Floats>(_mm256_maskload_ps(from, reinterpret_cast<__m256i>(some)));
#else
  if (!any(~some)) return load(from, to);
  for (int i = 0; i < kLanes; ++i) to[i] = some[i] ? from[i] : 0.0f;
#endif
}

// to[i] = from[at[i]]; every index has to be in [0, kLanes).
inline void permute(const Floats &from, const Ints &at, Floats &to) {
#ifdef __AVX2__
  to = reinterpret_cast<Floats>(
      _mm256_permutevar8x32_ps(reinterpret_cast<__m256>(from), reinterpret_cast<__m256i>(at)));
#else
  float all[kLanes];
  store(from, all);
  for (int i = 0; i < kLanes; ++i) to[i] = all[at[i]];
#endif
}

// low and high: eight pairs in a row; evens and odds: their first and second numbers.
inline void split_pairs(const Floats &low, const Floats &high, Floats &evens, Floats &odds) {
  evens = __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14);
  odds = __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15);
}

// to[i] = the larger of a[i] and b[i], which are not negative.
SMALTI_INLINE void larger(const Ints &a, const Ints &b, Ints &to) {
#ifdef __AVX2__
  to = a > b ? a : b;
#else
  const Ints more = b - a;
  to = a + (more & ~(more >> 31));
#endif
}

// A comparison that holds gives -1.
SMALTI_INLINE void is_above(const Floats &a, const Floats &b, Ints &to) {
  by_halves(to, [](const auto &x, const auto &y) SMALTI_INLINE_LAMBDA { return x > y; }, a, b);
}

SMALTI_INLINE void is_nan(const Floats &a, Ints &to) {
  by_halves(to, [](const auto &x) SMALTI_INLINE_LAMBDA { return x != x; }, a);
}

// Calls body(i) for i in [0, kCount) without a loop: arrays of registers that are indexed by i stay
// in registers, which compilers do not manage for the counters of small loops.
template <int kCount, int kFirst = 0, class Body>
SMALTI_INLINE void unrolled(Body &&body) {
  if constexpr (kFirst < kCount) {
    body(kFirst);
    unrolled<kCount, kFirst + 1>(body);
  }
}

}  // namespace smalti::SMALTI_LEVEL
