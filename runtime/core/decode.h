// Codes -> quads. A format stores 64 codes (16 rows x 4 slots) in a register's worth of bits; every
// decoder hands its quads to `sink(quad_index, Bytes)`, in the order in which activations are
// stored (see activation.h).
#pragma once

#include "core/packed.h"
#include "core/simd.h"

namespace smalti::SMALTI_LEVEL {

template <int kP, int kBits>
struct Decoder;

template <>
struct Decoder<1, 4> {
  Table<4, 0> table;
  explicit Decoder(const int8_t *grid) : table(grid, 1) {}
  template <class Sink>
  void operator()(const uint8_t *codes, int columns, Sink &&sink) const {
    for (int quad = 0; quad < columns / 4; quad += 2, codes += 64) {
      const Bytes two = load_bytes(codes);
      sink(quad, table(shift_and_mask<0, 15>(two)));
      sink(quad + 1, table(shift_and_mask<4, 15>(two)));
    }
  }
};

// Pairs: a register of 64 codes is the even columns' quad, then the odd columns' quad.
template <int kBits>
struct Pairs {
  Table<kBits, 0> even;
  Table<kBits, 1> odd;
  explicit Pairs(const int8_t *grid) : even(grid, 2), odd(grid, 2) {}
  template <class Sink>
  void operator()(int quad, const Bytes &codes, Sink &&sink) const {
    sink(quad, even(codes));
    sink(quad + 1, odd(codes));
  }
};

template <>
struct Decoder<2, 4> {
  Pairs<4> pairs;
  explicit Decoder(const int8_t *grid) : pairs(grid) {}
  template <class Sink>
  void operator()(const uint8_t *codes, int columns, Sink &&sink) const {
    for (int quad = 0; quad < columns / 4; quad += 4, codes += 64) {
      const Bytes two = load_bytes(codes);
      pairs(quad, shift_and_mask<0, 15>(two), sink);
      pairs(quad + 2, shift_and_mask<4, 15>(two), sink);
    }
  }
};

template <>
struct Decoder<2, 6> {
  Pairs<6> pairs;
  explicit Decoder(const int8_t *grid) : pairs(grid) {}
  template <class Sink>
  void operator()(const uint8_t *codes, int columns, Sink &&sink) const {
    for (int quad = 0; quad < columns / 4; quad += 8, codes += 192) {
      const Bytes a = load_bytes(codes), b = load_bytes(codes + 64), c = load_bytes(codes + 128);
      pairs(quad, a, sink);
      pairs(quad + 2, b, sink);
      pairs(quad + 4, c, sink);
      pairs(quad + 6, top_bits(a, b, c), sink);
    }
  }
};

template <>
struct Decoder<2, 8> {
  Pairs<8> pairs;
  explicit Decoder(const int8_t *grid) : pairs(grid) {}
  template <class Sink>
  void operator()(const uint8_t *codes, int columns, Sink &&sink) const {
    for (int quad = 0; quad < columns / 4; quad += 2, codes += 64)
      pairs(quad, load_bytes(codes), sink);
  }
};

template <>
struct Decoder<4, 8> {
  Table4 table;
  explicit Decoder(const int8_t *grid) : table(grid) {}
  template <class Sink>
  void operator()(const uint8_t *codes, int columns, Sink &&sink) const {
    for (int quad = 0; quad < columns / 4; quad += 4, codes += 64) {
      const Bytes four = load_bytes(codes);
      sink(quad, table.slot<0>(four));
      sink(quad + 1, table.slot<1>(four));
      sink(quad + 2, table.slot<2>(four));
      sink(quad + 3, table.slot<3>(four));
    }
  }
};

// Calls body(decoder) with the decoder of the weights' format.
template <class Body>
inline void with_decoder(const Weights &w, Body &&body) {
  switch (w.header.p * 10 + w.header.bits) {
    case 14:
      return body(Decoder<1, 4>(w.grid));
    case 24:
      return body(Decoder<2, 4>(w.grid));
    case 26:
      return body(Decoder<2, 6>(w.grid));
    case 28:
      return body(Decoder<2, 8>(w.grid));
    case 48:
      return body(Decoder<4, 8>(w.grid));
  }
}

}  // namespace smalti::SMALTI_LEVEL
