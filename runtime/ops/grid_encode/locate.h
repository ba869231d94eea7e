// Which rows of a level's table a point takes, with which weights. Eight points at a time.
#pragma once

#include "core/elementary.h"
#include "core/op.h"

namespace smalti::SMALTI_LEVEL {

enum Interpolation { kNearest, kLinear, kSmoothstep, kSimplex };
enum Warp { kNoWarp, kSin, kArcsin };

constexpr int kMostAxes = 4;
constexpr int kMostVertices = 16;
constexpr int kBlock = 128;  // points located at once: 16 KB of offsets and weights

// A point's coordinates are at points.x[axis * points.count + point].
struct Points {
  const float *x;
  int64_t count;  // a multiple of kLanes
};

struct Level {
  int32_t last_cell[kMostAxes];  // along every axis
  float span[kMostAxes];         // cells of [0, 1]
  uint32_t step[kMostAxes];      // elements to the next vertex, or the primes of a hash
  uint32_t rows, stride;         // elements of a row
  uint32_t mask;  // where rows and stride are powers of two: then primes are times stride
  bool dense, masked;
  int64_t first_row;
};

// Offsets are in elements from the level's first; lanes are points.
struct Taps {
  uint32_t offsets[kBlock / kLanes][kMostVertices][kLanes];
  float weights[kBlock / kLanes][kMostVertices][kLanes];
};

SMALTI_INLINE void clamp_to_unit(Floats &x) {  // NaN stays
  Floats one;
  broadcast(1.0f, one);
  select(x < 0.0f, Floats{}, x, x);
  select(x > 1.0f, one, x, x);
}

SMALTI_INLINE void warp_unit(int64_t warp, Floats &x) {
  clamp_to_unit(x);
  if (warp == kNoWarp) return;
  Floats y;
  if (warp == kSin) {
    sine(2.0f * x - 1.0f, y);
    x = 0.5f + y * 0.594197542f;  // 1 / (2 sin 1)
  } else {
    arc_sine(2.0f * x - 1.0f, y);
    x = 0.5f + y * 0.318309886f;
  }
  clamp_to_unit(x);
}

constexpr int vertices_of(int64_t interpolation, int axes) {
  return interpolation == kNearest ? 1 : interpolation == kSimplex ? axes + 1 : 1 << axes;
}

// Of one level. Where t is NaN, so are weights; offsets are in the table all the same.
template <int kAxes, bool kDense>
struct Locator {
  const Level &level;
  float shift;  // of positions, in cells
  bool smooth;

  static void join(const Words &a, const Words &b, Words &to) { to = kDense ? a + b : a ^ b; }

  SMALTI_INLINE void cell(const Points &points, int64_t at, Floats *t, Words *low) const {
    unrolled<kAxes>([&](int axis) SMALTI_INLINE_LAMBDA {
      Floats p, known, start;
      Ints c;
      load(points.x + axis * points.count + at, p);
      p = p * level.span[axis] + shift;
      select(p == p, p, Floats{}, known);
      c = __builtin_convertvector(known, Ints);  // positions are not negative
      const Ints beyond = c > level.last_cell[axis];
      c = (beyond & level.last_cell[axis]) | (~beyond & c);
      to_floats(c, start);
      t[axis] = p - start;
      low[axis] = reinterpret_cast<Words>(c) * level.step[axis];
    });
  }

  SMALTI_INLINE void put(Words &row, const Floats &weight, Taps &taps, int64_t group, int k) const {
    if (!kDense) row = level.masked ? row & level.mask : row % level.rows * level.stride;
    memcpy(taps.offsets[group][k], &row, sizeof row);
    store(weight, taps.weights[group][k]);
  }

  SMALTI_INLINE void nearest(const Floats *t, const Words *low, Taps &taps, int64_t group) const {
    Words row{};
    Floats weight = Floats{} + 1.0f;
    unrolled<kAxes>([&](int axis) SMALTI_INLINE_LAMBDA {
      const Words up = reinterpret_cast<Words>(t[axis] >= 0.5f) & level.step[axis];
      join(row, low[axis] + up, row);
      weight += t[axis] - t[axis];  // NaN or 0
    });
    put(row, weight, taps, group, 0);
  }

  // Vertex k is a step up along axis i where bit i of k is set.
  SMALTI_INLINE void linear(const Floats *t, const Words *low, Taps &taps, int64_t group) const {
    Words row[1 << kAxes];
    Floats weight[1 << kAxes];
    unrolled<kAxes>([&](int axis) SMALTI_INLINE_LAMBDA {
      const Floats s = smooth ? t[axis] * t[axis] * (3.0f - 2.0f * t[axis]) : t[axis];
      const Words high = low[axis] + level.step[axis];
      const int half = 1 << axis;
      if (axis == 0) {
        row[0] = low[0], row[1] = high;
        weight[0] = 1.0f - s, weight[1] = s;
      } else {
        unrolled<(1 << kAxes) / 2>([&](int k) SMALTI_INLINE_LAMBDA {
          if (k >= half) return;
          join(row[k], high, row[k + half]);
          join(row[k], low[axis], row[k]);
          weight[k + half] = weight[k] * s;
          weight[k] *= 1.0f - s;
        });
      }
    });
    unrolled<1 << kAxes>([&](int k)
                             SMALTI_INLINE_LAMBDA { put(row[k], weight[k], taps, group, k); });
  }

  static SMALTI_INLINE void put_larger_first(Floats *t, Words *up, int i) {
    const Ints swap = t[i] < t[i + 1];
    const Words moved = (up[i] ^ up[i + 1]) & reinterpret_cast<Words>(swap);
    const Floats first = t[i], second = t[i + 1];
    t[i] = first < second ? second : first;
    t[i + 1] = first < second ? first : second;
    up[i] ^= moved;
    up[i + 1] ^= moved;
  }

  // From the lowest vertex one step along every axis, in the order of falling t.
  SMALTI_INLINE void simplex(Floats *t, const Words *low, Taps &taps, int64_t group) const {
    Words up[kAxes], row{};
    unrolled<kAxes>([&](int axis) SMALTI_INLINE_LAMBDA {
      join(row, low[axis], row);
      up[axis] = kDense ? Words{} + level.step[axis] : low[axis] ^ (low[axis] + level.step[axis]);
    });
    unrolled<kAxes - 1>([&](int pass) SMALTI_INLINE_LAMBDA {
      unrolled<kAxes - 1>([&](int i) SMALTI_INLINE_LAMBDA {
        if (i < kAxes - 1 - pass) put_larger_first(t, up, i);
      });
    });
    Floats above = Floats{} + 1.0f;
    unrolled<kAxes + 1>([&](int k) SMALTI_INLINE_LAMBDA {
      const Floats weight = k < kAxes ? above - t[k < kAxes ? k : 0] : above;
      Words taken = row;
      put(taken, weight, taps, group, k);
      if (k < kAxes) {
        above = t[k < kAxes ? k : 0];
        join(row, up[k < kAxes ? k : 0], row);
      }
    });
  }

  template <int kInterpolation>
  void run(const Points &points, int64_t first, int64_t groups, Taps &taps) const {
    for (int64_t group = 0; group < groups; ++group) {
      Floats t[kAxes];
      Words low[kAxes];
      cell(points, first + group * kLanes, t, low);
      if (kInterpolation == kNearest) {
        nearest(t, low, taps, group);
      } else if (kInterpolation == kSimplex) {
        simplex(t, low, taps, group);
      } else {
        linear(t, low, taps, group);
      }
    }
  }
};

}  // namespace smalti::SMALTI_LEVEL
