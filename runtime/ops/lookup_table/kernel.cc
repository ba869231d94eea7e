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

#ifdef __AVX2__
typedef __m256i Bytes;

// pshufb looks up what 4 bits choose, and gives 0 for a byte below 0. Counting down by 16, a byte
// meets its own sixteen entries and all those before them: of each, the table has the difference to
// the ones before, by XOR.
struct Table {
  Bytes sixteens[16];

  explicit Table(const uint8_t *entries) {
    for (int i = 0; i < 16; ++i) {
      __m128i own, before = {};
      memcpy(&own, entries + 16 * i, sizeof own);
      if (i % 8 != 0) memcpy(&before, entries + 16 * (i - 1), sizeof before);
      sixteens[i] = _mm256_broadcastsi128_si256(own ^ before);
    }
  }

  // Of bytes from 0 to 127; 0 for the others.
  SMALTI_INLINE Bytes half(const Bytes *part, Bytes x) const {
    Bytes y = _mm256_shuffle_epi8(part[0], x);
    unrolled<7>([&](int i) SMALTI_INLINE_LAMBDA {
      x = _mm256_subs_epi8(x, _mm256_set1_epi8(16));
      y ^= _mm256_shuffle_epi8(part[i + 1], x);
    });
    return y;
  }

  // Returns how many of `count` bytes it has done: whole vectors.
  int64_t look_up(const uint8_t *x, int64_t count, uint8_t *y) const {
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
      Bytes from;
      memcpy(&from, x + i, sizeof from);
      const Bytes other = from ^ _mm256_set1_epi8(-128);
      const Bytes to = half(sixteens, from) | half(sixteens + 8, other);
      memcpy(y + i, &to, sizeof to);
    }
    return i;
  }
};
#else
struct Table {
  const uint8_t *entries;

  explicit Table(const uint8_t *given) : entries(given) {}

  // Eight bytes a step: one load and one store serve eight lookups.
  int64_t look_up(const uint8_t *x, int64_t count, uint8_t *y) const {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
      uint64_t from, to = 0;
      memcpy(&from, x + i, sizeof from);
      unrolled<8>([&](int j) SMALTI_INLINE_LAMBDA {
        to |= uint64_t{entries[from >> 8 * j & 255]} << 8 * j;
      });
      memcpy(y + i, &to, sizeof to);
    }
    return i;
  }
};
#endif

Status run(const Call &call) {
  const uint8_t *x = static_cast<const uint8_t *>(call.inputs[kX].data);
  const uint8_t *given = static_cast<const uint8_t *>(call.inputs[kTable].data);
  uint8_t *y = static_cast<uint8_t *>(call.output->data);
  uint8_t entries[kEntries];  // of 0 to 127, then of -128 to -1: by the bits of x
  memcpy(entries, given + kEntries / 2, kEntries / 2);
  memcpy(entries + kEntries / 2, given, kEntries / 2);
  const Table table(entries);
  in_ranges(call.parallel, elements(*call.output), 1, [&](int64_t begin, int64_t end) {
    begin += table.look_up(x + begin, end - begin, y + begin);
    for (; begin < end; ++begin) y[begin] = entries[x[begin]];
  });
  return Status();
}

}  // namespace

extern const Op LookupTable;
const Op LookupTable = {
    "LookupTable", 2,  {{"x", SMALTI_I8}, {"table", SMALTI_I8}}, {"y", SMALTI_I8}, 0, {},
    shape,         run};

}  // namespace smalti::SMALTI_LEVEL
