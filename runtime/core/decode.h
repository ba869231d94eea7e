// Codes -> weights. A format stores 64 codes (16 rows x 4 slots) in a register's worth of bits;
// every decoder hands its weights to `sink(i, first, second)`, the two quads of octet i, in the
// order in which activations are stored (see activation.h).
#pragma once

#include "core/packed.h"
#include "core/simd.h"

namespace smalti::SMALTI_LEVEL {

template <int kP, int kBits>
struct Decoder;

template <class Body>
SMALTI_INLINE void each_octet(int columns, Body &&body) {
  for (int octet = 0; octet < columns / 8; octet += kOctets)
    unrolled<kOctets>([&](int i) SMALTI_INLINE_LAMBDA { body(octet + i); });
}

template <>
struct Decoder<1, 4> {
  Table<4, 0> table;
  explicit Decoder(const int8_t *grid) : table(grid, 1) {}
  template <class Sink>
  SMALTI_INLINE void operator()(const uint8_t *codes, int columns, Sink &&sink) const {
    each_octet(columns, [&](int octet) SMALTI_INLINE_LAMBDA {
      const Bytes two = load_bytes(codes + 64 * octet);
      sink(octet, table(nibbles<0>(two)), table(nibbles<4>(two)));
    });
  }
};

// Pairs: a register of 64 codes is one octet, even columns before odd.
template <int kBits>
struct Pairs {
  Table<kBits, 0> even;
  Table<kBits, 1> odd;
  explicit Pairs(const int8_t *grid) : even(grid, 2), odd(grid, 2) {}
  template <class Sink>
  SMALTI_INLINE void operator()(int octet, const Bytes &codes, Sink &&sink) const {
    sink(octet, even(codes), odd(codes));
  }
};

template <>
struct Decoder<2, 4> {
  Pairs<4> pairs;
  explicit Decoder(const int8_t *grid) : pairs(grid) {}
  template <class Sink>
  SMALTI_INLINE void operator()(const uint8_t *codes, int columns, Sink &&sink) const {
    for (int octet = 0; octet < columns / 8; octet += 2, codes += 64) {
      const Bytes two = load_bytes(codes);
      pairs(octet, nibbles<0>(two), sink);
      pairs(octet + 1, nibbles<4>(two), sink);
    }
  }
};

template <>
struct Decoder<2, 6> {
  Pairs<6> pairs;
  explicit Decoder(const int8_t *grid) : pairs(grid) {}
  template <class Sink>
  SMALTI_INLINE void operator()(const uint8_t *codes, int columns, Sink &&sink) const {
    for (int octet = 0; octet < columns / 8; octet += 4, codes += 192) {
      pairs(octet, load_bytes(codes), sink);
      pairs(octet + 1, load_bytes(codes + 64), sink);
      pairs(octet + 2, load_bytes(codes + 128), sink);
      pairs(octet + 3, top_bits(codes), sink);
    }
  }
};

template <>
struct Decoder<2, 8> {
  Pairs<8> pairs;
  explicit Decoder(const int8_t *grid) : pairs(grid) {}
  template <class Sink>
  SMALTI_INLINE void operator()(const uint8_t *codes, int columns, Sink &&sink) const {
    each_octet(columns, [&](int octet) SMALTI_INLINE_LAMBDA {
      pairs(octet, load_bytes(codes + 64 * octet), sink);
    });
  }
};

template <>
struct Decoder<4, 8> {
  Table4 table;
  explicit Decoder(const int8_t *grid) : table(grid) {}
  template <class Sink>
  SMALTI_INLINE void operator()(const uint8_t *codes, int columns, Sink &&sink) const {
    for (int octet = 0; octet < columns / 8; octet += 2, codes += 64) {
      sink(octet, table.quad<0>(codes), table.quad<1>(codes));
      sink(octet + 1, table.quad<2>(codes), table.quad<3>(codes));
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
