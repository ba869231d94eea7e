// Piecewise polynomials, eight points at a time: which interval each lies in, that interval's row
// of coefficients, Horner's rule. Reading the rows takes most of the time.
#pragma once

#include "core/elementary.h"
#include "ops/spline_eval/rows.h"

namespace smalti::SMALTI_LEVEL {

constexpr int32_t kFewIntervals = 16;   // comparing with all knots beats searching
constexpr float kFarPeriods = 1 << 30;  // floor_of() takes no more
constexpr float kLargest = 3.4028234663852886e38f;

struct Place {
  Floats moved, low, high;  // the point, after whole periods; the outer knots
  Floats inside;            // the point between these
  Floats t;                 // from the interval's left knot
  Ints row, lost;

  SMALTI_INLINE void beyond(Ints &to) const {
    Ints above;
    is_above(low, moved, to);
    is_above(moved, high, above);
    to |= above;
  }
};

// Into [low, high]; NaN becomes low.
SMALTI_INLINE void bound(const Floats &low, const Floats &high, Floats &x) {
  Ints inside;
  is_above(x, low, inside);
  select(inside, x, low, x);
  is_above(high, x, inside);
  select(inside, x, high, x);
}

struct Spline {
  const float *table, *knots;                // no knots: start + j step
  int64_t channels;                          // 1 if all share
  int32_t intervals, table_rows, knot_rows;  // rows of a channel; 0 if all share
  Floats start, end, step, last;             // outer knots if all share; the last interval
  bool periodic, extended, zeroed;

  SMALTI_INLINE void ends(const Ints &channel, Floats &low, Floats &high) const {
    low = start;
    high = end;
    if (knot_rows == 0) return;
    const Ints first = channel * knot_rows;
    gather(knots, first, low);
    gather(knots + intervals, first, high);
  }

  // By whole periods; what is infinite is lost.
  static SMALTI_INLINE void wrap(Place &p) {
    const Floats period = p.high - p.low;
    Floats count = (p.moved - p.low) / period;
    bound(-kFarPeriods + Floats{}, kFarPeriods + Floats{}, count);
    Ints whole;
    floor_of(count, whole);
    to_floats(whole, count);
    p.moved = p.moved - count * period + (p.moved - p.moved);
  }

  // How many of the inner knots are not above the point. Compares with all of them, or halves.
  SMALTI_INLINE void search(const Ints &channel, const Floats &x, Ints &found) const {
    Floats knot;
    Ints above;
    found = Ints{};
    if (knot_rows == 0 && intervals <= kFewIntervals) {
      for (int32_t j = 1; j < intervals; ++j) {
        broadcast(knots[j], knot);
        is_above(knot, x, above);
        found += 1 + above;
      }
      return;
    }
    const Ints first = channel * knot_rows;
    for (int32_t left = intervals; left > 1; left -= left / 2) {
      gather(knots, first + found + left / 2, knot);
      is_above(knot, x, above);
      found += ~above & (left / 2);
    }
  }

  template <bool kUniform>
  SMALTI_INLINE void locate(const Floats &x, const Ints &channel, Place &p) const {
    p.moved = x;
    ends(channel, p.low, p.high);
    if (periodic) wrap(p);
    is_nan(p.moved, p.lost);
    p.inside = p.moved;
    bound(p.low, p.high, p.inside);
    Ints interval;
    if constexpr (kUniform) {
      const Floats position = (p.inside - p.low) / step;
      Floats whole = position;  // up to the last interval, which is closed
      bound(Floats{}, last, whole);
      interval = __builtin_convertvector(whole, Ints);
      to_floats(interval, p.t);
      p.t = (position - p.t) * step;
    } else {
      search(channel, p.inside, interval);
      gather(knots, interval + channel * knot_rows, p.t);
      p.t = p.inside - p.t;
    }
    p.row = interval + channel * table_rows;
  }

  template <int kCount>
  SMALTI_INLINE void extend(const Floats *c, const Place &p, Floats &y) const {
    Floats slope{};
    unrolled<kCount - 1>([&](int i) SMALTI_INLINE_LAMBDA {
      const int power = kCount - 1 - i;
      slope = slope * p.t + c[power] * static_cast<float>(power);
    });
    Floats far = p.moved;
    bound(-kLargest + Floats{}, kLargest + Floats{}, far);
    Ints beyond;
    p.beyond(beyond);
    select(beyond, y + (far - p.inside) * slope, y, y);
  }

  template <int kCount, bool kUniform>
  SMALTI_INLINE void eight(const float *x, const Ints &channel, float *to) const {
    Floats given, c[kCount];
    load(x, given);
    Place p;
    locate<kUniform>(given, channel, p);
    read_rows<kCount>(table, p.row, c);
    Floats y = c[kCount - 1];
    unrolled<kCount - 1>([&](int i) SMALTI_INLINE_LAMBDA { y = y * p.t + c[kCount - 2 - i]; });
    if (extended) extend<kCount>(c, p, y);
    if (zeroed) {
      Ints beyond;
      p.beyond(beyond);
      select(beyond, Floats{}, y, y);
    }
    select(p.lost, p.moved, y, y);  // NaN
    store(y, to);
  }

  // Points [first, last) of x. Of a copy of the spline, which no store to y can change.
  template <int kCount, bool kUniform>
  static void range(const Spline &given, const float *x, int64_t first, int64_t last, float *y) {
    const Spline s = given;
    Ints channel{};
    for (int i = 0; i < kLanes && s.channels > 1; ++i)
      channel[i] = static_cast<int32_t>((first + i) % s.channels);
    const int32_t all = static_cast<int32_t>(s.channels), turn = kLanes % all - all;
    for (; first + kLanes <= last; first += kLanes) {
      s.eight<kCount, kUniform>(x + first, channel, y + first);
      channel += turn;
      channel += (channel >> 31) & all;
    }
    if (first == last) return;
    const size_t bytes = static_cast<size_t>(last - first) * sizeof(float);
    float rest[kLanes] = {}, found[kLanes];
    memcpy(rest, x + first, bytes);
    s.eight<kCount, kUniform>(rest, channel, found);
    memcpy(y + first, found, bytes);
  }
};

}  // namespace smalti::SMALTI_LEVEL
