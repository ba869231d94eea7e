// The centers nearest to a point, out of those that a table lists for the cell it lies in.
#pragma once

#include <stdint.h>
#include <string.h>

namespace smalti::SMALTI_LEVEL {

constexpr int kMaxAxes = 3;
constexpr int kMaxNeighbours = 32;

// The point of [0, 1]^axes nearest to x; false if a coordinate is NaN.
inline bool inside(const float *x, int axes, float *to) {
  bool known = true;
  for (int i = 0; i < axes; ++i) {
    known &= x[i] == x[i];
    to[i] = x[i] < 0.0f ? 0.0f : x[i] > 1.0f ? 1.0f : x[i];
  }
  return known;
}

// The best so far, best first, as distance and number in one integer: the bits of floats from 0 are
// ordered as the floats are. Of equal distances the lower number is the better one, in whatever
// order centers come.
struct Nearest {
  int count;
  uint64_t best[kMaxNeighbours];

  explicit Nearest(int neighbours) : count(neighbours) {
    for (int i = 0; i < count; ++i) best[i] = UINT64_MAX;
  }

  // Without a branch on distances: nobody could predict it.
  void offer(float distance, uint32_t id) {
    uint32_t bits;
    memcpy(&bits, &distance, sizeof bits);
    uint64_t one = uint64_t{bits} << 32 | id;
    for (int i = 0; i < count; ++i) {
      const uint64_t other = best[i];
      best[i] = one < other ? one : other;
      one = one < other ? other : one;
    }
  }

  bool full() const { return best[count - 1] != UINT64_MAX; }
  int64_t id(int place) const { return static_cast<uint32_t>(best[place]); }
};

struct Table {
  const float *centers;        // (count, axes)
  const int64_t *start, *ids;  // (cells^axes + 1), (listed); not to be trusted
  int64_t count, listed, cells;
  int axes;

  int64_t cell(const float *point) const {
    int64_t at = 0;
    for (int i = 0; i < axes; ++i) {
      const int64_t along = static_cast<int64_t>(point[i] * static_cast<float>(cells));
      at = at * cells + (along < cells ? along : cells - 1);
    }
    return at;
  }

  template <int kAxes>
  float squared_distance(const float *point, int64_t id) const {
    float sum = 0.0f;
    for (int i = 0; i < kAxes; ++i) {
      const float offset = point[i] - centers[id * kAxes + i];
      sum += offset * offset;
    }
    return sum;
  }

  // False where the table points outside, or lists too few centers.
  template <int kAxes>
  bool find(const float *point, Nearest *nearest) const {
    const int64_t at = cell(point), first = start[at], last = start[at + 1];
    if (first < 0 || last > listed) return false;
    for (int64_t i = first; i < last; ++i) {
      const int64_t id = ids[i];
      if (id < 0 || id >= count) return false;
      nearest->offer(squared_distance<kAxes>(point, id), static_cast<uint32_t>(id));
    }
    return nearest->full();
  }

  bool find(const float *point, Nearest *nearest) const {
    return axes == 1   ? find<1>(point, nearest)
           : axes == 2 ? find<2>(point, nearest)
                       : find<3>(point, nearest);
  }
};

}  // namespace smalti::SMALTI_LEVEL
