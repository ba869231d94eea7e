// A function of bytes, as the table of all its values.
#include "core/packed.h"
#include "core/ranges.h"
#include "core/vector.h"

namespace smalti::SMALTI_LEVEL {
namespace {

enum Input { kX, kTable };

constexpr int64_t kEntries = 256;

Status shape(const Shape *inputs, const Value *, Shape *output) {
  const Shape &table = inputs[kTable];
  if (table.rank >= 0 && (table.rank != 1 || (table.dims[0] >= 0 && table.dims[0] != kEntries)))
    return fail(SMALTI_INVALID, "table: rank %d, %lld entries; pass 256, for -128 to 127",
                table.rank, static_cast<long long>(table.rank == 0 ? 1 : table.dims[0]));
  *output = inputs[kX];
  return Status();
}

// Eight bytes a step: one load and one store serve eight lookups.
void look_up(const uint8_t *x, int64_t count, const uint8_t *table, uint8_t *y) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t from, to = 0;
    memcpy(&from, x + i, sizeof from);
    unrolled<8>([&](int j)
                    SMALTI_INLINE_LAMBDA { to |= uint64_t{table[from >> 8 * j & 255]} << 8 * j; });
    memcpy(y + i, &to, sizeof to);
  }
  for (; i < count; ++i) y[i] = table[x[i]];
}

Status run(const Call &call) {
  const uint8_t *x = static_cast<const uint8_t *>(call.inputs[kX].data);
  const uint8_t *given = static_cast<const uint8_t *>(call.inputs[kTable].data);
  uint8_t *y = static_cast<uint8_t *>(call.output->data);
  uint8_t table[kEntries];  // from 0 to 127, then -128 to -1: by the bits of x
  memcpy(table, given + kEntries / 2, kEntries / 2);
  memcpy(table + kEntries / 2, given, kEntries / 2);
  in_ranges(call.parallel, elements(*call.output), 1,
            [&](int64_t begin, int64_t end) { look_up(x + begin, end - begin, table, y + begin); });
  return Status();
}

}  // namespace

extern const Op LookupTable;
const Op LookupTable = {
    "LookupTable", 2,  {{"x", SMALTI_I8}, {"table", SMALTI_I8}}, {"y", SMALTI_I8}, 0, {},
    shape,         run};

}  // namespace smalti::SMALTI_LEVEL
