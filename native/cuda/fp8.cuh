// E4M3 codes on the device, several at a time, with the results of core/fp8.h: by conversion instructions where there are
// any (sm_89 on), else by arithmetic on F16.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "core/fp8.h"

namespace vn::cuda {

#if __CUDA_ARCH__ < 890
// Two codes, in the upper bytes of the halves of a word. Exponent and mantissa in their places of an F16 are the value times
// 2^-8, but for NaN, which would read as 480: 35840 / 256 sends that, and no other code, to infinity, and infinity minus
// itself is NaN.
__device__ inline uint32_t e4m3x2_to_half2(uint32_t upper) {
  const uint32_t bits = (upper & 0x80008000u) | (upper & 0x7f007f00u) >> 1;
  uint32_t result;
  asm("{\n"
      ".reg .b32 x;\n"
      "mul.rn.f16x2 x, %1, %2;\n"
      "sub.rn.f16x2 x, x, x;\n"
      "fma.rn.f16x2 %0, %1, %3, x;\n"
      "}"
      : "=r"(result)
      : "r"(bits), "r"(0x78607860u), "r"(0x5c005c00u));  // 35840, 256
  return result;
}
#endif

// Four codes as F16, exactly; first: the codes of the lower half of the word.
__device__ inline void e4m3x4_to_half2(uint32_t codes, uint32_t& first, uint32_t& second) {
#if __CUDA_ARCH__ >= 890
  asm("{\n"
      ".reg .b16 low, high;\n"
      "mov.b32 {low, high}, %2;\n"
      "cvt.rn.f16x2.e4m3x2 %0, low;\n"
      "cvt.rn.f16x2.e4m3x2 %1, high;\n"
      "}"
      : "=r"(first), "=r"(second)
      : "r"(codes));
#else
  first = e4m3x2_to_half2(__byte_perm(codes, 0, 0x1404));
  second = e4m3x2_to_half2(__byte_perm(codes, 0, 0x3424));
#endif
}

// One code, without a branch, so that loads of several stay in flight together.
__device__ inline float e4m3_value(uint8_t code) {
  uint32_t pair, none;
  e4m3x4_to_half2(code, pair, none);
  return __half2float(__ushort_as_half(static_cast<uint16_t>(pair)));
}

// Four floats as codes, the first in the lowest byte.
__device__ inline uint32_t e4m3x4_from_floats(float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 890
  uint32_t codes;
  asm("{\n"
      ".reg .b16 low, high;\n"
      "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n"
      "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
      "mov.b32 %0, {low, high};\n"
      "}"
      : "=r"(codes)
      : "f"(a), "f"(b), "f"(c), "f"(d));
  return codes;
#else
  return static_cast<uint32_t>(e4m3_from_float(a)) | static_cast<uint32_t>(e4m3_from_float(b)) << 8 |
         static_cast<uint32_t>(e4m3_from_float(c)) << 16 | static_cast<uint32_t>(e4m3_from_float(d)) << 24;
#endif
}

}  // namespace vn::cuda
