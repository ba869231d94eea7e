// What GridEncode accepts: shapes, then the numbers of its levels, before anything is read by them.
#pragma once

#include "ops/grid_encode/locate.h"

namespace smalti::SMALTI_LEVEL {

enum Input { kX, kTable, kLevels, kScales, kCodebook };
enum Attributes { kFeatures, kInterpolation, kWarp, kAlignCorners };

constexpr int64_t kCodes = 256;
constexpr int64_t kMostResolution = 1 << 22;  // a float has room for halves of cells
constexpr int64_t kMostElements = int64_t{1} << 31;
constexpr int64_t kMostFeatures = 1 << 16;
constexpr uint32_t kPrimes[kMostAxes] = {1, 2654435761, 805459861, 3674653429};

inline long long number(int64_t value) { return static_cast<long long>(value); }

inline Status check_attributes(const Value *a) {
  if (a[kFeatures].i < 1 || a[kFeatures].i > kMostFeatures)
    return fail(SMALTI_INVALID, "features: %lld; pass 1 to %lld", number(a[kFeatures].i),
                number(kMostFeatures));
  if (a[kInterpolation].i < kNearest || a[kInterpolation].i > kSimplex)
    return fail(SMALTI_INVALID,
                "interpolation: %lld; pass 0 (nearest), 1 (linear), 2 (smoothstep) or 3 (simplex)",
                number(a[kInterpolation].i));
  if (a[kWarp].i < kNoWarp || a[kWarp].i > kArcsin)
    return fail(SMALTI_INVALID, "warp: %lld; pass 0 (none), 1 (sin) or 2 (arcsin)",
                number(a[kWarp].i));
  return Status();
}

inline Status check_rank(const char *name, const Shape &shape, int rank) {
  if (shape.rank < 0 || shape.rank == rank) return Status();
  return fail(SMALTI_INVALID, "%s: rank %d; pass %d", name, shape.rank, rank);
}

inline Status check_ranks(const Shape *inputs) {
  SMALTI_TRY(check_rank("x", inputs[kX], 2));
  SMALTI_TRY(check_rank("table", inputs[kTable], 2));
  SMALTI_TRY(check_rank("levels", inputs[kLevels], 2));
  SMALTI_TRY(check_rank("scales", inputs[kScales], 1));
  return check_rank("codebook", inputs[kCodebook], 2);
}

inline Status check_axes(const Shape &x, const Shape &levels) {
  const int64_t axes = x.rank < 0 ? -1 : x.dims[1];
  if (axes == 0 || axes > kMostAxes)
    return fail(SMALTI_INVALID, "x: %lld coordinates a point; pass 1 to %d", number(axes),
                kMostAxes);
  const int64_t columns = levels.rank < 0 ? -1 : levels.dims[1];
  if (axes > 0 && columns >= 0 && columns != axes + 2)
    return fail(SMALTI_INVALID, "levels: %lld columns; pass %lld, for points of %lld coordinates",
                number(columns), number(axes + 2), number(axes));
  return Status();
}

inline Status check_scales(const Shape &levels, const Shape &scales) {
  if (levels.rank < 0 || scales.rank < 0) return Status();
  if (levels.dims[0] < 0 || scales.dims[0] < 0 || levels.dims[0] == scales.dims[0]) return Status();
  return fail(SMALTI_INVALID, "scales: %lld; pass one for each of %lld levels",
              number(scales.dims[0]), number(levels.dims[0]));
}

inline Status check_codebook(const Shape &codebook) {
  if (codebook.rank < 0) return Status();
  if (codebook.dims[0] >= 0 && codebook.dims[0] != kCodes)
    return fail(SMALTI_INVALID, "codebook: %lld entries; fill up with zeros to %lld",
                number(codebook.dims[0]), number(kCodes));
  const int64_t p = codebook.dims[1];
  if (p >= 0 && p != 1 && p != 2 && p != 4 && p != 8)
    return fail(SMALTI_INVALID, "codebook: entries of %lld numbers; pass 1, 2, 4 or 8", number(p));
  return Status();
}

inline Status encoded_shape(const Shape *inputs, const Value *attributes, Shape *output) {
  const Shape &x = inputs[kX], &levels = inputs[kLevels];
  SMALTI_TRY(check_attributes(attributes));
  SMALTI_TRY(check_ranks(inputs));
  SMALTI_TRY(check_axes(x, levels));
  SMALTI_TRY(check_scales(levels, inputs[kScales]));
  SMALTI_TRY(check_codebook(inputs[kCodebook]));
  const int64_t count = levels.rank < 0 ? -1 : levels.dims[0];
  *output = {2, {x.rank < 0 ? -1 : x.dims[0], count < 0 ? -1 : count * attributes[kFeatures].i}};
  return Status();
}

inline Status check_table(const Call &call) {
  const Tensor &table = call.inputs[kTable], &codebook = call.inputs[kCodebook];
  const bool coded = codebook.data != nullptr;
  if (coded != (table.type == SMALTI_U8))
    return fail(SMALTI_INVALID, coded ? "codebook: given, but the table has no codes; pass u8"
                                      : "codebook: missing; a table of u8 is one of codes");
  const int64_t features = table.dims[1] * (coded ? codebook.dims[1] : 1);
  if (features != call.attributes[kFeatures].i)
    return fail(SMALTI_INVALID, "table: rows of %lld features; pass %lld as the attribute says",
                number(features), number(call.attributes[kFeatures].i));
  return Status();
}

inline bool is_power_of_two(uint32_t value) { return (value & (value - 1)) == 0; }

// Steps are rows so far.
inline void scale_steps(int axes, Level *level) {
  level->masked = is_power_of_two(level->rows) && is_power_of_two(level->stride);
  level->mask = (level->rows - 1) * level->stride;
  for (int axis = 0; axis < axes; ++axis) {
    if (!level->dense) level->step[axis] = kPrimes[axis];
    if (level->dense || level->masked) level->step[axis] *= level->stride;
  }
}

inline Status check_rows(int64_t first, int64_t rows, const Tensor &table) {
  if (first < 0 || rows < 1 || first > table.dims[0] || rows > table.dims[0] - first)
    return fail(SMALTI_INVALID, "levels: %lld rows from row %lld; the table has %lld", number(rows),
                number(first), number(table.dims[0]));
  if (rows > kMostElements / table.dims[1])
    return fail(SMALTI_INVALID, "levels: %lld rows in a level; pass at most 2^31 elements",
                number(rows));
  return Status();
}

// from: the vertices along every axis, the first row, the rows.
inline Status read_level(const int64_t *from, int axes, bool align, const Tensor &table,
                         Level *level) {
  const int64_t rows = from[axes + 1];
  SMALTI_TRY(check_rows(from[axes], rows, table));
  level->first_row = from[axes];
  level->rows = static_cast<uint32_t>(rows);
  level->stride = static_cast<uint32_t>(table.dims[1]);
  int64_t vertices = 1;  // those of no more axes once there are too many
  for (int axis = 0; axis < axes; ++axis) {
    if (from[axis] < 2 || from[axis] > kMostResolution)
      return fail(SMALTI_INVALID, "levels: %lld vertices along an axis; pass 2 to 2^22",
                  number(from[axis]));
    level->last_cell[axis] = static_cast<int32_t>(from[axis] - 2);
    level->span[axis] = static_cast<float>(from[axis] - (align ? 1 : 2));
    level->step[axis] = static_cast<uint32_t>(vertices);
    if (vertices <= rows) vertices *= from[axis];
  }
  level->dense = vertices <= rows;
  scale_steps(axes, level);
  return Status();
}

}  // namespace smalti::SMALTI_LEVEL
