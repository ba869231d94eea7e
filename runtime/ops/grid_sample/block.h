// Points of a grid, located: which pixels of the image each of them takes, with which weights.
#pragma once

#include "core/sampling.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kPoints = 128;  // located at once: at most 16 KB of taps

// Up to kPoints points. offsets: pixels into the image (-1: a zero).
template <int kTaps>
struct Block {
  int64_t count;
  int32_t offsets[kTaps][kPoints];
  float weights[kTaps][kPoints];

  // coordinates (points, kAxes), x first; axes from the slowest, x last.
  template <int kMode, int kAxes>
  void locate(const Axis *axes, const float *coordinates) {
    for (int64_t first = 0; first < count; first += kLanes) {
      const int64_t left = count - first;
      const float *from = coordinates + first * kAxes;
      float last[kLanes * kAxes] = {};
      if (left < kLanes) memcpy(last, from, left * kAxes * sizeof *from);
      locate_eight<kMode, kAxes>(axes, left < kLanes ? last : from, first);
    }
  }

  template <int kMode, int kAxes>
  SMALTI_INLINE void locate_eight(const Axis *axes, const float *coordinates, int64_t first) {
    Ints at[kTaps];
    Floats shares[kTaps], coordinate[kAxes];
    split<kAxes>(coordinates, coordinate);
    axes[0].locate<kMode>(coordinate[kAxes - 1], at, shares);
    meet<kMode, taps_of(kMode)>(axes[1], coordinate[kAxes - 2], at, shares);
    if constexpr (kAxes == 3)
      meet<kMode, taps_of(kMode) * taps_of(kMode)>(axes[2], coordinate[0], at, shares);
    unrolled<kTaps>([&](int tap) SMALTI_INLINE_LAMBDA {
      store(at[tap], offsets[tap] + first);
      store(shares[tap], weights[tap] + first);
    });
  }

  // Of eight points (8, kAxes) the coordinates along every axis, x first.
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

}  // namespace smalti::SMALTI_LEVEL
