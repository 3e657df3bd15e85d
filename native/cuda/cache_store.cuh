// Elements on their way into an fp8 cache: code = nearest E4M3 to x / scale, as core/fp8.h says.
#pragma once

#include "cuda/fp8.cuh"
#include "cuda/vec.cuh"

namespace vn::cuda {

// Eight elements as codes, the first in the lowest byte of x.
__device__ __forceinline__ uint2 quantized(const float (&x)[kGroup], float scale) {
  float q[kGroup];
#pragma unroll
  for (int i = 0; i < kGroup; ++i) q[i] = ieee_div(x[i], scale);
  return {e4m3x4_from_floats(q[0], q[1], q[2], q[3]), e4m3x4_from_floats(q[4], q[5], q[6], q[7])};
}

// Stores elements [first, first + 8) of a head with `width` elements, those past its end excepted. wide: the head and first
// allow 8-byte stores.
__device__ __forceinline__ void put_quantized(uint8_t* head, bool wide, int first, int width, const float (&x)[kGroup],
                                              float scale) {
  const uint2 codes = quantized(x, scale);
  if (wide && first + kGroup <= width) {
    *reinterpret_cast<uint2*>(head + first) = codes;
    return;
  }
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    if (first + i < width) head[first + i] = static_cast<uint8_t>((i < 4 ? codes.x : codes.y) >> (i % 4 * 8));
  }
}

}  // namespace vn::cuda
