// Transforms of real signals, row by row. An even length n is a complex transform of half of it: of
// the signal's even values as real and its odd ones as imaginary parts (Cooley, Lewis, Welch 1970).
#pragma once

#include "core/fourier.h"
#include "core/packed.h"
#include "core/ranges.h"

namespace smalti::SMALTI_LEVEL {

constexpr int64_t kMaxLength = int64_t{1} << 30;
constexpr int64_t kAbreast = 4;           // signals in the lanes of Doubles
constexpr int64_t kMaxAbreast = 1 << 13;  // longer ones come one by one, to stay in cache

// What all rows share.
struct RealPlan {
  int64_t n;
  Fourier fourier;         // of n / 2 or of an odd n
  Complex<double> *turns;  // exp(-2 pi i k / n) for k in [0, n / 4], if n is even

  RealPlan(int64_t length, Pieces &pieces)
      : n(length), fourier(length % 2 == 0 ? length / 2 : length, pieces) {
    if (n % 2 != 0) return;
    Complex<double> *coarse = pieces.take<Complex<double>>(Roots::coarse_count(n));
    turns = pieces.take<Complex<double>>(n / 4 + 1);
    if (pieces.counting()) return;
    const Roots all(n, coarse);
    for (int64_t k = 0; k <= n / 4; ++k) turns[k] = all[k];
  }
};

// Where some rows are, of as many as V has lanes. There may be fewer: the last one is then
// repeated.
template <class V, class T>
struct Rows {
  static constexpr int kCount = sizeof(V) / sizeof(double);
  T *rows[kCount];

  Rows(T *first, int64_t size, int64_t count) {
    for (int i = 0; i < kCount; ++i) rows[i] = first + (i < count ? i : count - 1) * size;
  }
};

SMALTI_INLINE void read(const Rows<double, const float> &from, int64_t at, double &to) {
  to = from.rows[0][at];
}

SMALTI_INLINE void read(const Rows<Doubles, const float> &from, int64_t at, Doubles &to) {
  to = Doubles{from.rows[0][at], from.rows[1][at], from.rows[2][at], from.rows[3][at]};
}

SMALTI_INLINE void write(const double &from, int64_t at, const Rows<double, float> &to) {
  to.rows[0][at] = static_cast<float>(from);
}

SMALTI_INLINE void write(const Doubles &from, int64_t at, const Rows<Doubles, float> &to) {
  for (int i = 0; i < kAbreast; ++i) to.rows[i][at] = static_cast<float>(from[i]);
}

template <class V, class Transform>
void transform_rows(const RealPlan &plan, const Transform &transform, const float *from, float *to,
                    int64_t count, void *memory) {
  Pieces pieces(memory);
  const int64_t length = plan.fourier.length() * static_cast<int64_t>(sizeof(V) / sizeof(double));
  Split x = pieces.take_split(length), spare = pieces.take_split(length);
  transform(plan, Rows<V, const float>(from, transform.from_size, count),
            Rows<V, float>(to, transform.to_size, count), x, spare);
}

// Calls `transform` for all rows, with memory of its own, four at a time where that is faster.
template <class Transform>
Status for_rows(const Call &call, int64_t n, int64_t rows, const Transform &transform) {
  Pieces counted(nullptr);
  const int64_t length = RealPlan(n, counted).fourier.length();
  void *shared = scratch(Slot::kCall, counted.bytes());
  if (shared == nullptr) return no_memory(counted.bytes());
  Pieces pieces(shared);
  const RealPlan plan(n, pieces);
  const int64_t abreast = length <= kMaxAbreast ? kAbreast : 1;
  const int64_t groups = (rows + abreast - 1) / abreast, bytes = 32 * (length * abreast + 8);
  const float *from = static_cast<const float *>(call.inputs[0].data);
  float *to = static_cast<float *>(call.output->data);
  bool exhausted = false;
  in_ranges(call.parallel, groups, 16 * n * abreast, [&](int64_t begin, int64_t end) {
    void *memory = scratch(Slot::kTask, bytes);
    if (memory == nullptr) __atomic_store_n(&exhausted, true, __ATOMIC_RELAXED);
    for (int64_t group = begin; group < end && memory != nullptr; ++group) {
      const int64_t first = group * abreast, left = rows - first;
      const float *x = from + first * transform.from_size;
      float *y = to + first * transform.to_size;
      if (abreast == 1 || left == 1) {
        transform_rows<double>(plan, transform, x, y, 1, memory);
      } else {
        transform_rows<Doubles>(plan, transform, x, y, left < abreast ? left : abreast, memory);
      }
    }
  });
  return exhausted ? no_memory(bytes) : Status();
}

}  // namespace smalti::SMALTI_LEVEL
