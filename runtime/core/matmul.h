// Rows of activations times packed weights. Few rows meet weights straight from the codes; many
// come in blocks of kLanes, which share one decoding. Every output is one chain of sums that does
// not depend on its neighbours: the same bits on every level and with any number of threads.
#pragma once

#include "core/floats.h"
#include "core/integers.h"
#include "core/ranges.h"

namespace smalti::SMALTI_LEVEL {

constexpr int64_t kFewRows = 3;                // decoding anew for each of them costs less
constexpr int kMaxUnits = 32;                  // units (rows or blocks) that share one decoding
constexpr int kTaskUnits = 16;                 // enough blocks for that to be cheap
constexpr int64_t kActivationBytes = 1 << 20;  // prepared at once: about an L2 cache
constexpr int64_t kPrepareCost = 8;            // of one activation, in multiplications

// What a Source has to have:
//   int64_t units() const: rows, or blocks of at most kLanes rows
//   int rows(int64_t unit) const: of a block
//   int64_t scratch_bytes() const, void start(void *scratch) const: of a thread that fills
//   fill(int64_t unit, void *scratch) const: rotated activations, zero up to padded_columns:
//     one row of floats, or Floats with lanes = rows, which may be overwritten
//   void write(int64_t unit, int64_t tile, const float *out) const: takes out (rows, 16)

// The prepared units from `first` on.
template <class Mode, class Source>
class Chunk {
 public:
  Chunk(const Weights &w, float step, const Source &source, int64_t first, int64_t units,
        void *memory)
      : w_(w), mode_(w, step, memory, units), source_(source), first_(first), units_(units) {
    for (int64_t i = 0; i < units; ++i) rows_[i] = source.rows(first + i);
  }

  void prepare(int64_t begin, int64_t end, void *scratch) const {
    source_.start(scratch);
    for (int64_t i = begin; i < end; ++i) mode_.prepare(i, source_.fill(first_ + i, scratch));
  }

  template <class D>
  __attribute__((noinline)) void multiply(const D &decode, int64_t begin, int64_t end) const {
    constexpr int kUnitSums = Mode::kUnit * kTileRows;
    for (int64_t tile = begin; tile < end; ++tile) {
      alignas(64) float out[kMaxUnits * kUnitSums];
      memset(out, 0, units_ * kUnitSums * sizeof *out);
      mode_.meet(decode, tile, rows_, units_, out);
      for (int64_t i = 0; i < units_; ++i) source_.write(first_ + i, tile, out + i * kUnitSums);
    }
  }

 private:
  const Weights &w_;
  Mode mode_;
  const Source &source_;
  int64_t first_, units_;
  int rows_[kMaxUnits];
};

// Units apart: every task prepares its own and meets all tiles with them.
template <class Mode, class Source>
inline Status multiply_apart(const Weights &w, float step, const Source &source,
                             const Parallel &parallel) {
  const int64_t units = source.units(), extra = round_up(source.scratch_bytes(), 64);
  const int64_t bytes = extra + kTaskUnits * Mode::unit_bytes(w);
  bool exhausted = false;
  with_decoder(w, [&](const auto &decode) {
    parallel((units + kTaskUnits - 1) / kTaskUnits, [&](int64_t task) {
      char *memory = static_cast<char *>(scratch(Slot::kTask, bytes));
      if (memory == nullptr) return __atomic_store_n(&exhausted, true, __ATOMIC_RELAXED);
      const int64_t first = task * kTaskUnits, left = units - first;
      const int64_t count = left < kTaskUnits ? left : kTaskUnits;
      const Chunk<Mode, Source> chunk(w, step, source, first, count, memory + extra);
      chunk.prepare(0, count, memory);
      chunk.multiply(decode, 0, w.tiles);
    });
  });
  return exhausted ? no_memory(bytes) : Status();
}

// Tiles apart: all threads prepare the units, then every task meets them with tiles of its own.
template <class Mode, class Source>
inline Status multiply_chunk(const Weights &w, float step, const Source &source, int64_t first,
                             int64_t units, const Parallel &parallel) {
  const int64_t bytes = units * Mode::unit_bytes(w);
  void *memory = scratch(Slot::kCall, bytes);
  if (memory == nullptr) return no_memory(bytes);
  const Chunk<Mode, Source> chunk(w, step, source, first, units, memory);
  const int64_t values = Mode::kUnit * w.padded_columns;
  bool exhausted = false;
  in_ranges(parallel, units, kPrepareCost * values, [&](int64_t begin, int64_t end) {
    void *own = scratch(Slot::kTask, source.scratch_bytes());
    if (own == nullptr) return __atomic_store_n(&exhausted, true, __ATOMIC_RELAXED);
    chunk.prepare(begin, end, own);
  });
  if (exhausted) return no_memory(source.scratch_bytes());
  with_decoder(w, [&](const auto &decode) {
    in_ranges(parallel, w.tiles, units * values * kTileRows,
              [&](int64_t begin, int64_t end) { chunk.multiply(decode, begin, end); });
  });
  return Status();
}

template <class Mode, class Source>
inline Status multiply(const Weights &w, float step, const Source &source,
                       const Parallel &parallel) {
  const int64_t units = source.units(), fitting = kActivationBytes / Mode::unit_bytes(w);
  if constexpr (Mode::kUnit > 1) {
    if (units / kTaskUnits > w.tiles) return multiply_apart<Mode>(w, step, source, parallel);
  }
  const int64_t chunk = fitting < 1 ? 1 : fitting < kMaxUnits ? fitting : kMaxUnits;
  for (int64_t first = 0; first < units; first += chunk) {
    const int64_t count = units - first < chunk ? units - first : chunk;
    SMALTI_TRY(multiply_chunk<Mode>(w, step, source, first, count, parallel));
  }
  return Status();
}

}  // namespace smalti::SMALTI_LEVEL
