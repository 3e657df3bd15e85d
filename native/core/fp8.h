// fp8 E4M3 (1 sign, 4 exponent bits with bias 7, 3 mantissa bits; no infinity, NaN is 0x7f and 0xff): the element of a
// quantized KV cache. Integer operations and exact or once-rounded IEEE ones only, so that every device computes the same.
//
// Largest value 448 (0x7e), smallest normal 2^-6 (0x08), smallest 2^-9 (0x01).
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace vn {

// To nearest, ties to even; beyond 448, infinities too, to +-448; NaN of either sign to 0x7f.
VN_HOST_DEVICE uint8_t e4m3_from_float(float x) {
  const uint32_t bits = float_bits(x), magnitude = bits & 0x7fffffffu, sign = bits >> 24 & 0x80u;
  if (magnitude > 0x7f800000u) return 0x7f;
  if (magnitude >= 0x43e00000u) return static_cast<uint8_t>(sign | 0x7eu);  // 448
  if (magnitude < 0x3c800000u) {  // below 2^-6: the addition rounds to a multiple of 2^-9
    const uint32_t steps = float_bits(ieee_add(bits_float(magnitude), 0x1p14f)) - 0x46800000u;
    return static_cast<uint8_t>(sign | steps);
  }
  const uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
  return static_cast<uint8_t>(sign | (rounded - 0x3c000000u) >> 20);
}

// What a cache with this scale stores for x.
VN_HOST_DEVICE uint8_t e4m3_quantize(float x, float scale) { return e4m3_from_float(ieee_div(x, scale)); }

// Exact.
VN_HOST_DEVICE float e4m3_to_float(uint8_t code) {
  const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24, magnitude = code & 0x7fu;
  if (magnitude == 0x7f) return bits_float(sign | 0x7fc00000u);
  if (magnitude < 8) {  // zero and subnormals: magnitude * 2^-9
    return bits_float(sign | float_bits(ieee_mul(static_cast<float>(magnitude), 0x1p-9f)));
  }
  return bits_float(sign | ((magnitude << 20) + 0x3c000000u));
}

}  // namespace vn
