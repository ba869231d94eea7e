// The centers nearest to a point, out of those that a table lists for the cell it lies in.
#pragma once

#include <stdint.h>

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

// The best so far, best first. Of equal distances the lower number is the better one, so that the
// order in which centers come does not matter.
struct Nearest {
  int count;
  float distances[kMaxNeighbours];
  int64_t ids[kMaxNeighbours];

  explicit Nearest(int neighbours) : count(neighbours) {
    for (int i = 0; i < count; ++i) {
      distances[i] = __builtin_inff();
      ids[i] = INT64_MAX;
    }
  }

  bool beats(float distance, int64_t id, int place) const {
    return distance < distances[place] || (distance == distances[place] && id < ids[place]);
  }

  void offer(float distance, int64_t id) {
    if (!beats(distance, id, count - 1)) return;
    int place = count - 1;
    for (; place > 0 && beats(distance, id, place - 1); --place) {
      distances[place] = distances[place - 1];
      ids[place] = ids[place - 1];
    }
    distances[place] = distance;
    ids[place] = id;
  }

  bool full() const { return ids[count - 1] != INT64_MAX; }
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

  float squared_distance(const float *point, int64_t id) const {
    float sum = 0.0f;
    for (int i = 0; i < axes; ++i) {
      const float offset = point[i] - centers[id * axes + i];
      sum += offset * offset;
    }
    return sum;
  }

  // False where the table points outside, or lists too few centers.
  bool find(const float *point, Nearest *nearest) const {
    const int64_t at = cell(point), first = start[at], last = start[at + 1];
    if (first < 0 || last > listed) return false;
    for (int64_t i = first; i < last; ++i) {
      const int64_t id = ids[i];
      if (id < 0 || id >= count) return false;
      nearest->offer(squared_distance(point, id), id);
    }
    return nearest->full();
  }
};

}  // namespace smalti::SMALTI_LEVEL
