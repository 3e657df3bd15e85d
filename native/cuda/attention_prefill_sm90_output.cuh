// What a computing warpgroup writes of a unit: its rows of out, or its part of their sums, to be merged (attention_split.cuh).
#pragma once

#include "cuda/attention_prefill_sm90_softmax.cuh"
#include "cuda/attention_split.cuh"
#include "cuda/attention_units.cuh"

namespace vn::cuda::prefill_sm90 {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Element j of lane t, among the four lanes of a row, becomes element t of lane j.
__device__ inline void transpose_quad(uint32_t (&x)[4]) {
  const int lane = threadIdx.x % 4;
#pragma unroll
  for (int bit = 1; bit <= 2; bit *= 2) {
    const bool upper = lane & bit;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i & bit) continue;
      const uint32_t got = __shfl_xor_sync(kAllLanes, upper ? x[i] : x[i + bit], bit);
      (upper ? x[i] : x[i + bit]) = got;
    }
  }
}

template <typename T, int kDim>
__device__ void write_out(const AttentionArgs& a, const Unit& u, const Softmax& x, const float (&sum)[kDim / 2],
                          int first_row) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float factor = a.value_scale / row_sum(x.weight[half]);
    const int m = u.first + first_row + 8 * half + lane / 4;
    const bool exists = m < u.rows && x.position[half] >= 0;
    T* out = static_cast<T*>(a.out) + (u.range.begin + m / a.group) * a.out_token_stride +
             (u.kv_head * a.group + m % a.group) * a.out_head_stride + lane % 4 * kChunk;
#pragma unroll
    for (int columns = 0; columns < kDim; columns += 32) {  // a chunk for each of the four lanes
      uint32_t chunk[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &sum[columns / 2 + 4 * i + 2 * half];
        chunk[i] = pack<T>(pair[0] * factor, pair[1] * factor);
      }
      transpose_quad(chunk);
      if (exists) *reinterpret_cast<uint4*>(out + columns) = make_uint4(chunk[0], chunk[1], chunk[2], chunk[3]);
    }
  }
}

// first_row: of the warp's sixteen, in the tile.
template <int kDim>
__device__ void write_partial(const AttentionArgs& a, const Unit& u, const Softmax& x, const float (&sum)[kDim / 2],
                              int first_row) {
  const int lane = threadIdx.x % 32;
  float* const part = split_partial(a, u.part, kRows, kDim);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float weight = row_sum(x.weight[half]);
    const int m = first_row + 8 * half + lane / 4;
    if (u.first + m >= u.rows) continue;
    float* const row = part + m * kDim + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<float2*>(row + 8 * n) = make_float2(sum[4 * n + 2 * half], sum[4 * n + 2 * half + 1]);
    }
    if (lane % 4 == 0) {
      part[kRows * kDim + m] = x.base[half];
      part[kRows * kDim + kRows + m] = weight;
    }
  }
}

#endif

}  // namespace vn::cuda::prefill_sm90
