// Weights of one bit as they lie in the file, checked before a kernel touches them.
// The layout is drawn in docs/formats.md; packing.py writes it.
#pragma once

#include <string.h>

#include "core/packed.h"

namespace smalti::SMALTI_LEVEL {

constexpr int kTileOutputs = 32;         // outputs that share a tile, one byte each
constexpr int64_t kMostWeights = 65535;  // of one output: their differences are counted in 16 bits

// The first bytes, little endian, padded to kHeaderBytes.
struct BinaryHeader {
  char magic[4];     // "SMLB"
  uint16_t version;  // 1
  uint16_t zero;
  uint32_t outputs;
  uint32_t channels;
  uint32_t kernel[2];  // height, width
};

struct BinaryWeights {
  BinaryHeader header;
  int64_t taps, bytes;  // of a kernel; of the channels of one tap
  int64_t tiles, tile_bytes;
  const uint8_t *codes;  // (tiles, taps, bytes, kTileOutputs)
};

inline Status read_header(const Tensor &codes, BinaryHeader *header) {
  if (elements(codes) < kHeaderBytes)
    return fail(SMALTI_CORRUPT, "codes: %lld bytes are too few for a header of %d",
                static_cast<long long>(elements(codes)), kHeaderBytes);
  memcpy(header, codes.data, sizeof *header);
  if (memcmp(header->magic, "SMLB", 4) != 0)
    return fail(SMALTI_CORRUPT, "codes: no packed bits (they start with SMLB)");
  if (header->version != 1)
    return fail(SMALTI_CORRUPT, "codes: layout version %d, this library reads 1; update smalti",
                header->version);
  const uint64_t taps = uint64_t{header->kernel[0]} * header->kernel[1];
  const bool sized = header->outputs > 0 && header->outputs < kMaxDimension && taps > 0 &&
                     taps <= kMostWeights && header->channels > 0 &&
                     header->channels * taps <= kMostWeights;
  if (!sized)
    return fail(SMALTI_CORRUPT,
                "codes: %u outputs of %u channels and %u x %u taps; an output takes 1 to %lld bits",
                header->outputs, header->channels, header->kernel[0], header->kernel[1],
                static_cast<long long>(kMostWeights));
  return Status();
}

inline Status open_weights(const Tensor &codes, BinaryWeights *w) {
  SMALTI_TRY(read_header(codes, &w->header));
  w->taps = int64_t{w->header.kernel[0]} * w->header.kernel[1];
  w->bytes = round_up(w->header.channels, 8) / 8;
  w->tiles = round_up(w->header.outputs, kTileOutputs) / kTileOutputs;
  w->tile_bytes = w->taps * w->bytes * kTileOutputs;
  w->codes = static_cast<const uint8_t *>(codes.data) + kHeaderBytes;
  return expect_count("codes", elements(codes), kHeaderBytes + w->tiles * w->tile_bytes);
}

}  // namespace smalti::SMALTI_LEVEL
