// How the partial results of a (row, head) that several blocks share become one: the block that arrives last merges them, in the
// order of the blocks, so that arrival decides who works and not what comes out.
#pragma once

#include "cuda/attention_decode_plan.cuh"

namespace vn::cuda::decode {

// Which blocks have tiles of a (row, head): `count` of them from `first`.
struct Parts {
  int first, count;

  // Part i is in the slot of what its block began and did not end, or of what it did not begin.
  __device__ const float* part(const AttentionArgs& a, int i, int dim) const {
    return a.partials + (2 * (static_cast<int64_t>(first) + i) + (i == 0)) * partial_floats(dim);
  }
};

// unit: where the cursor's tile stands in the line.
__device__ inline Parts parts_of(const Share& share, const Cursor& at, int64_t unit) {
  const int64_t begin = unit - (at.tile - at.tiles.first), last = unit + (at.tiles.end - 1 - at.tile);
  const auto first = static_cast<int>(begin / share.size);
  return {first, static_cast<int>(last / share.size) - first + 1};
}

// Counts a block whose first warp has written its part; true in all its threads if the other parts are there. All threads
// call it; between two calls they meet at a barrier. The counter is left at zero, for the next launch.
__device__ inline bool arrives_last(const AttentionArgs& a, const Parts& parts, bool& last) {
  if (threadIdx.x < 32) {
    __threadfence();
    __syncwarp();
    if (threadIdx.x == 0) {
      last = atomicAdd(a.arrivals + parts.first, 1u) + 1 == static_cast<uint32_t>(parts.count);
      if (last) a.arrivals[parts.first] = 0;
    }
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

// A warp takes every kWarps-th of the rows, its lanes four dimensions each. Bound: latency, a trip to L2 for kAhead parts.
template <typename T, int kDim>
__device__ void merge_parts(const AttentionArgs& a, const Cursor& at, const Parts& parts) {
  constexpr int kVectors = (kDim / 4 + 31) / 32, kAhead = 8 / kVectors;
  const int lane = threadIdx.x % 32;
  for (int m = threadIdx.x / 32; m < kDecodeRows; m += kWarps) {
    const auto [token, head, exists] = pair_of(a, at.range, at.head, m);
    if (!exists || at.range.first_position() + token < 0) continue;
    float base = -INFINITY;
    for (int i = lane; i < parts.count; i += 32) base = fmaxf(base, __ldcg(parts.part(a, i, kDim) + kDecodeRows * kDim + m));
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) base = fmaxf(base, __shfl_xor_sync(kAllLanes, base, offset));
    float4 sum[kVectors] = {};
    float weight = 0.0f;
#pragma unroll kAhead
    for (int i = 0; i < parts.count; ++i) {
      const float* p = parts.part(a, i, kDim);
      const float factor = weight_of(__ldcg(p + kDecodeRows * kDim + m), base);
      weight += factor * __ldcg(p + kDecodeRows * kDim + kDecodeRows + m);
#pragma unroll
      for (int j = 0; j < kVectors; ++j) {
        const int d = 4 * (lane + 32 * j);
        if (d >= kDim) continue;
        const float4 x = __ldcg(reinterpret_cast<const float4*>(p + m * kDim + d));
        sum[j].x += factor * x.x;
        sum[j].y += factor * x.y;
        sum[j].z += factor * x.z;
        sum[j].w += factor * x.w;
      }
    }
    T* out = static_cast<T*>(a.out) + (at.range.begin + token) * a.out_token_stride + head * a.out_head_stride;
    const float scale = a.value_scale / weight;
#pragma unroll
    for (int j = 0; j < kVectors; ++j) {
      const int d = 4 * (lane + 32 * j);
      if (d >= kDim) continue;
      const uint2 four = {pack<T>(sum[j].x * scale, sum[j].y * scale), pack<T>(sum[j].z * scale, sum[j].w * scale)};
      *reinterpret_cast<uint2*>(out + d) = four;
    }
  }
}

}  // namespace vn::cuda::decode
