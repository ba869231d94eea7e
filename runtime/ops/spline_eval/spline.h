// Piecewise polynomials, eight points at a time: which interval each lies in, that interval's row
// of coefficients, Horner's rule. Reading the rows takes most of the time.
#pragma once

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
};

struct Spline {
  const float *table, *knots;                // no knots: start + j step
  int64_t channels;                          // 1 if all share
  int32_t intervals, table_rows, knot_rows;  // rows of a channel; 0 if all share
  float start, step, end;
  bool periodic, extended, zeroed;

  SMALTI_INLINE void ends(const Ints &channel, Floats &low, Floats &high) const {
    if (knots == nullptr || knot_rows == 0) {
      broadcast(knots == nullptr ? start : knots[0], low);
      broadcast(knots == nullptr ? end : knots[intervals], high);
    } else {
      const Ints first = channel * knot_rows;
      gather(knots, first, low);
      gather(knots + intervals, first, high);
    }
  }

  // By whole periods; what is infinite is lost.
  static SMALTI_INLINE void wrap(Place &p) {
    const Floats period = p.high - p.low;
    Floats count = (p.moved - p.low) / period;
    count = count > -kFarPeriods ? count : -kFarPeriods + Floats{};
    count = count < kFarPeriods ? count : kFarPeriods + Floats{};
    Ints whole;
    floor_of(count, whole);
    to_floats(whole, count);
    p.moved = p.moved - count * period + (p.moved - p.moved);
  }

  // How many of the inner knots are not above the point. Compares with all of them, or halves.
  SMALTI_INLINE void search(const Ints &channel, const Floats &x, Ints &found) const {
    found = Ints{};
    if (knot_rows == 0 && intervals <= kFewIntervals) {
      for (int32_t j = 1; j < intervals; ++j) found -= knots[j] + Floats{} <= x;
      return;
    }
    const Ints first = channel * knot_rows;
    for (int32_t left = intervals; left > 1; left -= left / 2) {
      const Ints next = found + left / 2;
      Floats knot;
      gather(knots, first + next, knot);
      found = knot <= x ? next : found;
    }
  }

  template <bool kUniform>
  SMALTI_INLINE void locate(const Floats &x, const Ints &channel, Place &p) const {
    p.moved = x;
    ends(channel, p.low, p.high);
    if (periodic) wrap(p);
    p.lost = p.moved != p.moved;
    p.inside = p.moved > p.low ? p.moved : p.low;  // NaN too
    p.inside = p.inside < p.high ? p.inside : p.high;
    Ints interval;
    if constexpr (kUniform) {
      const Floats position = (p.inside - p.low) / step, most = Floats{} + float(intervals);
      interval = __builtin_convertvector(position < most ? position : most, Ints);
      interval = interval < intervals - 1 ? interval : intervals - 1 + Ints{};
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
    Floats far = p.moved < kLargest ? p.moved : kLargest + Floats{};
    far = far > -kLargest ? far : -kLargest + Floats{};
    const Ints beyond = (p.moved < p.low) | (p.moved > p.high);
    y += beyond ? (far - p.inside) * slope : Floats{};
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
    if (zeroed) y = (p.moved < p.low) | (p.moved > p.high) ? Floats{} : y;
    y = p.lost ? __builtin_nanf("") + Floats{} : y;
    store(y, to);
  }

  // Points [first, last) of x.
  template <int kCount, bool kUniform>
  void range(const float *x, int64_t first, int64_t last, float *y) const {
    Ints channel{};
    for (int i = 0; i < kLanes && channels > 1; ++i)
      channel[i] = static_cast<int32_t>((first + i) % channels);
    const int32_t all = static_cast<int32_t>(channels), turn = kLanes % all;
    for (; first + kLanes <= last; first += kLanes) {
      eight<kCount, kUniform>(x + first, channel, y + first);
      channel += turn;
      channel -= channel >= all ? all + Ints{} : Ints{};
    }
    if (first == last) return;
    const size_t bytes = static_cast<size_t>(last - first) * sizeof(float);
    float rest[kLanes] = {}, found[kLanes];
    memcpy(rest, x + first, bytes);
    eight<kCount, kUniform>(rest, channel, found);
    memcpy(y + first, found, bytes);
  }
};

}  // namespace smalti::SMALTI_LEVEL
