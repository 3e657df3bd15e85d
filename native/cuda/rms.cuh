// The arithmetic of RMS norm that kernels share: sums of squares in the order of a group's elements, and the factor of a row.
#pragma once

#include "cuda/vec.cuh"

namespace vn::cuda {

// sum + the squares of a group.
__device__ __forceinline__ float sum_squares(const float (&values)[kGroup], float sum) {
#pragma unroll
  for (int i = 0; i < kGroup; ++i) sum = __fmaf_rn(values[i], values[i], sum);
  return sum;
}

// 1 / sqrt(sum / width + eps), within 3 ulp: IEEE divisions and root would be a chain of 100 instructions at the end of every
// row, as long as all the rest of a decode step's.
__device__ __forceinline__ float inverse_rms(float sum, float inverse_width, float eps) {
  return rsqrtf(__fmaf_rn(sum, inverse_width, eps));
}

// values * factor * (weight + offset)
__device__ __forceinline__ void scale(float (&values)[kGroup], float factor, const float (&weights)[kGroup], float offset) {
#pragma unroll
  for (int i = 0; i < kGroup; ++i) values[i] = __fmul_rn(__fmul_rn(values[i], factor), __fadd_rn(weights[i], offset));
}

}  // namespace vn::cuda
