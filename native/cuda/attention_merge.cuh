// How the partial results of one packed row become its result: by log-sum-exp, in the order of the parts, so that who merges
// does not show.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/attention_mma.cuh"

namespace vn::cuda {

// A part of a row: kDim sums, of weights below the base 2^largest.
struct PartOfRow {
  const float *sums, *largest, *weight;
};

// Writes the row at `out`; by a warp, its lanes four dimensions each. part(i), of `count`: a PartOfRow.
// Bound: latency, a trip to L2 for kAhead parts.
template <typename T, int kDim, typename Part>
__device__ void merge_row(T* out, int count, float value_scale, const Part& part) {
  constexpr int kVectors = (kDim / 4 + 31) / 32, kAhead = 8 / kVectors;
  const int lane = threadIdx.x % 32;
  float4 sum[kVectors] = {};
  float base = -INFINITY, weight = 0.0f;
  for (int first = 0; first < count; first += kAhead) {
    float largest[kAhead], weights[kAhead];
    float4 sums[kAhead][kVectors];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const bool is_part = first + i < count;
      const PartOfRow p = part(is_part ? first + i : first);
      largest[i] = is_part ? __ldcg(p.largest) : -INFINITY;
      weights[i] = __ldcg(p.weight);
#pragma unroll
      for (int j = 0; j < kVectors; ++j) {
        const int d = min(4 * (lane + 32 * j), kDim - 4);
        sums[i][j] = __ldcg(reinterpret_cast<const float4*>(p.sums + d));
      }
    }
    float next = base;
#pragma unroll
    for (int i = 0; i < kAhead; ++i) next = fmaxf(next, largest[i]);
    const float correction = weight_of(base, next);
    base = next;
    weight *= correction;
#pragma unroll
    for (int j = 0; j < kVectors; ++j) {
      sum[j] = {sum[j].x * correction, sum[j].y * correction, sum[j].z * correction, sum[j].w * correction};
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const float factor = weight_of(largest[i], base);
      weight += factor * weights[i];
#pragma unroll
      for (int j = 0; j < kVectors; ++j) {
        const float4 x = sums[i][j];
        sum[j].x += factor * x.x;
        sum[j].y += factor * x.y;
        sum[j].z += factor * x.z;
        sum[j].w += factor * x.w;
      }
    }
  }
  const float scale = value_scale / weight;
#pragma unroll
  for (int j = 0; j < kVectors; ++j) {
    const int d = 4 * (lane + 32 * j);
    if (d >= kDim) continue;
    const uint2 four = {pack<T>(sum[j].x * scale, sum[j].y * scale), pack<T>(sum[j].z * scale, sum[j].w * scale)};
    *reinterpret_cast<uint2*>(out + d) = four;
  }
}

}  // namespace vn::cuda
