// IEEE half precision to float, exactly.
#pragma once

#include <stdint.h>
#include <string.h>

namespace smalti::SMALTI_LEVEL {

inline float half_to_float(uint16_t half) {
  const uint32_t magnitude = half & 0x7FFF, sign = static_cast<uint32_t>(half & 0x8000) << 16;
  uint32_t bits = magnitude << 13;
  float value;
  memcpy(&value, &bits, sizeof value);
  value *= 0x1p112f;  // moves the exponent's bias from 15 to 127; exact, also for subnormals
  if (magnitude >= 0x7C00) {
    bits |= 0x7F800000;
    memcpy(&value, &bits, sizeof value);
  }
  memcpy(&bits, &value, sizeof bits);
  bits |= sign;
  memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace smalti::SMALTI_LEVEL
