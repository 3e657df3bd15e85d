// Reductions and scans over lanes, warps and blocks, always in the same order for the same block size. Block functions need
// every thread of the block, begin with a barrier (scratch may be reused) and end with all threads knowing the result.
#pragma once

#include <cstdint>

#include "cuda/dispatch.cuh"

namespace vn::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

// Over aligned runs of `lanes` lanes (a power of two up to 32).
__device__ __forceinline__ float lanes_sum(float x, int lanes = kWarpSize) {
  for (int step = lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// scratch: one float for each warp.
__device__ __forceinline__ float block_sum(float x, float* scratch) {
  x = lanes_sum(x);
  __syncthreads();
  if (threadIdx.x % kWarpSize == 0) scratch[threadIdx.x / kWarpSize] = x;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  return lanes_sum(lane < warps ? scratch[lane] : 0.0f);
}

__device__ __forceinline__ uint64_t warp_sum(uint64_t x) {
#pragma unroll
  for (int step = kWarpSize / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

struct Scan {
  uint64_t before;  // sum over the threads before this one
  uint64_t total;
};

// Block of kThreads threads; scratch: one word for each warp.
template <int kThreads>
__device__ __forceinline__ Scan block_scan(uint64_t x, uint64_t* scratch) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  uint64_t inclusive = x;
#pragma unroll
  for (int step = 1; step < kWarpSize; step *= 2) {
    const uint64_t other = __shfl_up_sync(kAllLanes, inclusive, step);
    inclusive += lane >= step ? other : 0;
  }
  __syncthreads();
  if (lane == kWarpSize - 1) scratch[warp] = inclusive;
  __syncthreads();
  Scan scan{inclusive - x, 0};
#pragma unroll
  for (int w = 0; w < kThreads / kWarpSize; ++w) {
    const uint64_t sum = scratch[w];
    scan.before += w < warp ? sum : 0;
    scan.total += sum;
  }
  return scan;
}

}  // namespace vn::cuda
