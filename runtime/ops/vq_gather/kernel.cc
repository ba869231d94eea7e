// y = rows of a packed, rotated table, rotated back: only the rows asked for are decoded.
#include "core/hadamard.h"
#include "core/half.h"
#include "core/memory.h"
#include "core/packed.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kIndices, kCodes, kScales, kGrid };
enum Attributes { kColumns, kStep, kBlock, kSeed };

Status shape(const Shape *inputs, const Value *attributes, Shape *output) {
  *output = inputs[kIndices];
  if (output->rank < 0) return Status();
  if (output->rank == SMALTI_MAX_RANK)
    return fail(SMALTI_INVALID, "indices: rank %d leaves no axis for the columns", output->rank);
  output->dims[output->rank++] = attributes[kColumns].i;
  return Status();
}

// The four codes (slots) of register `r` for one lane of a span or tile.
struct Lane {
  const uint8_t *codes;  // of the tile, at the lane's first byte
  int bits;

  uint8_t byte(int64_t plane, int slot) const { return codes[plane * 64 + slot]; }
  int code(int64_t r, int slot) const {
    if (bits == 8) return byte(r, slot);
    if (bits == 4) return byte(r / 2, slot) >> 4 * (r % 2) & 15;
    const int64_t plane = r / 4 * 3;
    if (r % 4 < 3) return byte(plane + r % 4, slot) & 63;
    return byte(plane, slot) >> 6 | (byte(plane + 1, slot) >> 6) << 2 |
           (byte(plane + 2, slot) >> 6) << 4;
  }
};

// to (padded_columns): row `index`, still rotated.
void decode_row(const Weights &w, int64_t index, float step, float *to) {
  const int p = w.header.p;
  const int64_t tile = index / kTileRows, lane = index % kTileRows;
  const Lane codes = {w.codes + tile * w.tile_bytes + 4 * lane, w.header.bits};
  for (int64_t column = 0; column < w.padded_columns; column += 4 * p) {
    const float scale = half_to_float(w.span_scales(tile, column / w.span)[lane]) * step;
    for (int slot = 0; slot < 4; ++slot) {
      const int8_t *entry = w.grid + codes.code(column / (4 * p), slot) * p;
      for (int i = 0; i < p; ++i) to[column + slot * p + i] = static_cast<float>(entry[i]) * scale;
    }
  }
}

Status check(const Call &call, const Weights &w) {
  const int64_t columns = call.attributes[kColumns].i;
  if (columns != w.header.columns)
    return fail(SMALTI_CORRUPT, "columns is %lld, the table has %u",
                static_cast<long long>(columns), w.header.columns);
  const int64_t *indices = static_cast<const int64_t *>(call.inputs[kIndices].data);
  for (int64_t i = 0; i < elements(call.inputs[kIndices]); ++i) {
    if (indices[i] < 0 || indices[i] >= w.header.rows)
      return fail(SMALTI_INVALID, "indices: %lld at position %lld is outside 0 .. %u",
                  static_cast<long long>(indices[i]), static_cast<long long>(i), w.header.rows - 1);
  }
  const int64_t block = call.attributes[kBlock].i;
  SMALTI_TRY(check_block(block, columns));
  return check_rotation(w.header, block, static_cast<uint64_t>(call.attributes[kSeed].i));
}

Status run(const Call &call) {
  Weights w;
  SMALTI_TRY(open_weights(call.inputs[kCodes], call.inputs[kScales], call.inputs[kGrid], &w));
  SMALTI_TRY(check(call, w));
  const int64_t columns = w.header.columns, bytes = w.padded_columns * sizeof(float);
  float *row = static_cast<float *>(scratch(Slot::kCall, bytes));
  if (row == nullptr)
    return fail(SMALTI_OUT_OF_MEMORY, "no memory for a row of %lld columns",
                static_cast<long long>(columns));
  const int block = static_cast<int>(call.attributes[kBlock].i);
  const uint64_t seed = static_cast<uint64_t>(call.attributes[kSeed].i);
  const int64_t *indices = static_cast<const int64_t *>(call.inputs[kIndices].data);
  float *to = static_cast<float *>(call.output->data);
  for (int64_t i = 0; i < elements(call.inputs[kIndices]); ++i, to += columns) {
    decode_row(w, indices[i], call.attributes[kStep].f, row);
    hadamard_blocks(row, columns, block);
    flip_signs(seed, columns, row, to);
  }
  return Status();
}

}  // namespace

extern const Op VQGather;
const Op VQGather = {
    "VQGather",
    4,
    {{"indices", SMALTI_I64}, {"codes", SMALTI_U8}, {"scales", SMALTI_F16}, {"grid", SMALTI_I8}},
    {"y", SMALTI_F32},
    4,
    {{"columns", Kind::kInt}, {"step", Kind::kFloat}, {"block", Kind::kInt}, {"seed", Kind::kInt}},
    shape,
    run};

}  // namespace smalti::SMALTI_LEVEL
