// Points of a grid, located: which pixels of the image each of them takes, with which weights.
#pragma once

#include "core/sampling.h"

namespace smalti::SMALTI_LEVEL {

// Eight points. offsets: pixels into the image (-1: a zero).
template <int kTaps>
struct alignas(64) Located {
  int32_t offsets[kTaps][kLanes];
  float weights[kTaps][kLanes];
  bool inside;  // no tap of any point is a zero

  // coordinates (8, kAxes), x first; axes from the slowest, x last.
  template <int kMode, int kAxes>
  SMALTI_INLINE void locate(const Axis *axes, const float *coordinates) {
    Ints at[kTaps];
    Floats shares[kTaps], coordinate[kAxes];
    split<kAxes>(coordinates, coordinate);
    axes[0].locate<kMode>(coordinate[kAxes - 1], at, shares);
    meet<kMode, taps_of(kMode)>(axes[1], coordinate[kAxes - 2], at, shares);
    if constexpr (kAxes == 3)
      meet<kMode, taps_of(kMode) * taps_of(kMode)>(axes[2], coordinate[0], at, shares);
    Ints all = {};
    unrolled<kTaps>([&](int tap) SMALTI_INLINE_LAMBDA {
      all |= at[tap];
      store(at[tap], offsets[tap]);
      store(shares[tap], weights[tap]);
    });
    inside = !any(all < 0);
  }

  // The coordinates of eight points along every axis, x first.
  template <int kAxes>
  SMALTI_INLINE static void split(const float *points, Floats *coordinates) {
    if constexpr (kAxes == 2) {
      Floats low, high;
      load(points, low);
      load(points + kLanes, high);
      split_pairs(low, high, coordinates[0], coordinates[1]);
    } else {
      for (int i = 0; i < kLanes * kAxes; ++i) coordinates[i % kAxes][i / kAxes] = points[i];
    }
  }

  // Each tap of the slower axes, met with each of this axis: a row-major offset grows by an axis.
  template <int kMode, int kBefore>
  SMALTI_INLINE static void meet(const Axis &axis, const Floats &coordinate, Ints *at,
                                 Floats *shares) {
    constexpr int kHere = taps_of(kMode);
    Ints pixels[kHere];
    Floats here[kHere];
    axis.locate<kMode>(coordinate, pixels, here);
    unrolled<kBefore>([&](int i) SMALTI_INLINE_LAMBDA {
      const int before = kBefore - 1 - i;  // backwards, as results overwrite what they come from
      const Ints offset = at[before];
      const Floats share = shares[before];
      unrolled<kHere>([&](int j) SMALTI_INLINE_LAMBDA {
        const Ints zero = (offset | pixels[j]) < 0;
        at[before * kHere + j] = (offset * axis.size + pixels[j]) | zero;
        shares[before * kHere + j] = share * here[j];
      });
    });
  }
};

// Points in a row.
template <int kTaps>
struct Block {
  static constexpr int64_t kPoints = 4096 / kTaps;  // at most: 32 KB of taps
  int64_t count;
  Located<kTaps> eights[kPoints / kLanes];

  // coordinates (count, kAxes). What fills up the last eight are points in the middle.
  template <int kMode, int kAxes>
  void locate(const Axis *axes, const float *coordinates) {
    const int64_t whole = count / kLanes, rest = count % kLanes;
    for (int64_t i = 0; i < whole; ++i)
      eights[i].template locate<kMode, kAxes>(axes, coordinates + i * kLanes * kAxes);
    if (rest == 0) return;
    float last[kLanes * kAxes] = {};
    memcpy(last, coordinates + whole * kLanes * kAxes, rest * kAxes * sizeof *last);
    eights[whole].template locate<kMode, kAxes>(axes, last);
  }
};

}  // namespace smalti::SMALTI_LEVEL
