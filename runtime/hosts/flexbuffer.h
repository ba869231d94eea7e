// Reads the attributes of a node from a FlexBuffers map, as TensorFlow Lite stores custom options.
// The map is the last value of the buffer, and every offset points backwards.
// https://flatbuffers.dev/internals, section "FlexBuffers"
#pragma once

#include <string.h>

#include "hosts/signature.h"

namespace smalti::flex {

enum Type {
  kInt = 1,
  kUInt = 2,
  kFloat = 3,
  kIndirectInt = 6,
  kIndirectUInt = 7,
  kIndirectFloat = 8,
  kMap = 9,
  kVector = 10,
  kVectorInt = 11,
  kVectorUInt = 12,
  kPairInt = 16,  // then pairs, triples and quadruples of int, uint and float
  kPairUInt = 17,
  kTripleInt = 19,
  kTripleUInt = 20,
  kQuadrupleInt = 22,
  kQuadrupleUInt = 23,
  kBool = 26
};

// A value at `at`, whose own numbers or offsets are `width` bytes wide.
struct Ref {
  size_t at;
  int width;
  int type;
  int child_width;  // of what it points to
};

class Reader {
 public:
  Reader(const void *data, size_t size) : data_(static_cast<const uint8_t *>(data)), size_(size) {}

  bool root(Ref *map) const {
    if (data_ == nullptr || size_ < 3) return false;
    const int width = data_[size_ - 1];
    if (!is_width(width) || size_ < static_cast<size_t>(width) + 2) return false;
    *map = typed(size_ - 2 - width, width, data_[size_ - 2]);
    return map->type == kMap;
  }

  bool find(const Ref &map, const char *name, Ref *value) const {
    size_t values, keys;
    uint64_t count, offset, key_width;
    if (!follow(map, &values) || !length(values, map.child_width, &count)) return false;
    const size_t width = map.child_width;
    if (values < 3 * width || !number(values - 3 * width, width, &offset)) return false;
    if (!number(values - 2 * width, width, &key_width)) return false;
    if (!is_width(static_cast<int>(key_width)) || offset > values - 3 * width) return false;
    keys = values - 3 * width - offset;
    for (uint64_t i = 0; i < count; ++i) {
      if (is_key(keys + i * key_width, static_cast<int>(key_width), name)) {
        return element(values, map.child_width, count, i, value);
      }
    }
    return false;
  }

  bool integer(const Ref &value, int64_t *found) const {
    Ref direct = value;
    if (value.type == kIndirectInt || value.type == kIndirectUInt) {
      if (!follow(value, &direct.at)) return false;
      direct.width = value.child_width;
      direct.type = value.type - (kIndirectInt - kInt);
    }
    uint64_t bits;
    if (!number(direct.at, direct.width, &bits)) return false;
    const int shift = 64 - 8 * direct.width;
    if (direct.type == kInt) {
      *found = static_cast<int64_t>(bits << shift) >> shift;
      return true;
    }
    *found = static_cast<int64_t>(bits);
    return (direct.type == kUInt || direct.type == kBool) && *found >= 0;
  }

  bool real(const Ref &value, float *found) const {
    Ref direct = value;
    if (value.type == kIndirectFloat) {
      if (!follow(value, &direct.at)) return false;
      direct.width = value.child_width;
    }
    uint64_t bits;
    if (value.type != kFloat && value.type != kIndirectFloat) return false;
    if (direct.width < 4 || !number(direct.at, direct.width, &bits)) return false;
    double wide;
    memcpy(&wide, &bits, sizeof wide);
    memcpy(found, &bits, sizeof *found);  // little endian
    if (direct.width == 8) *found = static_cast<float>(wide);
    return true;
  }

  // As many as SMALTI_MAX_RANK go to `found`; `count` is how many there are.
  bool integers(const Ref &value, int64_t *found, uint64_t *count) const {
    size_t at;
    if (!follow(value, &at)) return false;
    const int fixed = fixed_count(value.type);
    *count = static_cast<uint64_t>(fixed);
    if (fixed == 0 && !length(at, value.child_width, count)) return false;
    for (uint64_t i = 0; i < *count && i < SMALTI_MAX_RANK; ++i) {
      Ref item;
      if (value.type == kVector && !element(at, value.child_width, *count, i, &item)) return false;
      if (value.type != kVector) {
        item = {at + static_cast<size_t>(i) * value.child_width, value.child_width,
                item_type(value.type), 0};
      }
      if (!integer(item, &found[i])) return false;
    }
    return true;
  }

 private:
  static bool is_width(int width) { return width == 1 || width == 2 || width == 4 || width == 8; }

  static Ref typed(size_t at, int width, uint8_t packed) {
    return {at, width, packed >> 2, 1 << (packed & 3)};
  }

  static int item_type(int vector) {
    const bool is_int = vector == kVectorInt || vector == kPairInt || vector == kTripleInt ||
                        vector == kQuadrupleInt;
    const bool is_uint = vector == kVectorUInt || vector == kPairUInt || vector == kTripleUInt ||
                         vector == kQuadrupleUInt;
    return is_int ? kInt : is_uint ? kUInt : 0;
  }

  static int fixed_count(int type) {
    return type < kPairInt || type > kQuadrupleUInt ? 0 : 2 + (type - kPairInt) / 3;
  }

  bool number(size_t at, int width, uint64_t *found) const {
    if (at > size_ || size_ - at < static_cast<size_t>(width)) return false;
    *found = 0;
    memcpy(found, data_ + at, width);
    return true;
  }

  bool follow(const Ref &value, size_t *at) const {
    uint64_t offset;
    if (!number(value.at, value.width, &offset) || offset > value.at) return false;
    *at = value.at - offset;
    return true;
  }

  bool length(size_t at, int width, uint64_t *count) const {
    const size_t wide = width;
    return at >= wide && number(at - wide, width, count) && *count <= size_;
  }

  bool element(size_t at, int width, uint64_t count, uint64_t i, Ref *value) const {
    uint64_t packed;
    if (!number(at + count * width + i, 1, &packed)) return false;
    *value = typed(at + i * width, width, static_cast<uint8_t>(packed));
    return true;
  }

  bool is_key(size_t at, int width, const char *name) const {
    size_t text;
    const size_t bytes = strlen(name) + 1;
    return follow({at, width, 0, 0}, &text) && text <= size_ && size_ - text >= bytes &&
           memcmp(data_ + text, name, bytes) == 0;
  }

  const uint8_t *data_;
  size_t size_;
};

inline Status read_attribute(const Reader &reader, const Ref &map, const Attribute &attribute,
                             Value *value) {
  Ref found;
  uint64_t count = 0;
  bool sound = reader.find(map, attribute.name, &found);
  switch (attribute.kind) {
    case Kind::kInt:
      sound = sound && reader.integer(found, &value->i);
      break;
    case Kind::kFloat:
      sound = sound && reader.real(found, &value->f);
      break;
    case Kind::kInts:
      sound = sound && reader.integers(found, value->ints, &count);
      break;
  }
  if (!sound) return missing_attribute(attribute);
  if (count > SMALTI_MAX_RANK) return bad_ints(attribute, static_cast<long long>(count));
  value->count = static_cast<int>(count);
  return {};
}

// values: as many as the op declares, in its order.
inline Status read_attributes(const Op &op, const void *data, size_t size, Value *values) {
  const Reader reader(data, size);
  Ref map;
  if (op.attribute_count > 0 && !reader.root(&map)) {
    return fail(SMALTI_CORRUPT, "its %zu bytes of options are no FlexBuffers map; export it again",
                size);
  }
  for (int i = 0; i < op.attribute_count; ++i) {
    SMALTI_TRY(read_attribute(reader, map, op.attributes[i], &values[i]));
  }
  return {};
}

}  // namespace smalti::flex
