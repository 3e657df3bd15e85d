// What a warp of the split-KV kernel computes: an online softmax of 16 rows over its tokens, 16 at a time; and how the states
// of a block's warps become one.
#pragma once

#include "cuda/attention_decode_plan.cuh"
#include "cuda/attention_queries.cuh"

namespace vn::cuda::decode {

constexpr float kSlack = 8.0f;  // the base of the exponents may lag behind the largest by 2^8

// What a warp knows of its 16 rows: of a lane's rows g and g + 8, largest exponent and its part of the sum of weights.
template <int kDim>
struct State {
  uint32_t q[kDim / 16][4];
  float sum[kDim / 8][4];
  float largest[2], weight[2];
  float unscale[2];    // what undoes the scaling of q, where it was scaled
  int low[2], end[2];  // positions that the rows see
};

// The words of q that a lane multiplies: row `half` of its two, of a pair's q at `q`, zeros if there is none.
template <typename T, typename Cache, int kDim>
__device__ void load_query(State<kDim>& s, int half, const T* q, bool exists) {
  const int t = threadIdx.x % 4;
#pragma unroll
  for (int group = 0; group < kDim / 16; ++group) {
    uint2 words = {0, 0};
    if constexpr (kIsFp8<Cache>) {
      if (exists) words = *reinterpret_cast<const uint2*>(q + 16 * group + 4 * t);
    } else if (exists) {
      words.x = *reinterpret_cast<const uint32_t*>(q + 16 * group + 2 * t);
      words.y = *reinterpret_cast<const uint32_t*>(q + 16 * group + 2 * t + 8);
    }
    s.q[group][half] = words.x;
    s.q[group][half + 2] = words.y;
  }
  if constexpr (kScalesQueries<T, Cache>) {
    uint32_t largest = 0;
#pragma unroll
    for (int group = 0; group < kDim / 16; ++group) {
      largest = larger_magnitude(larger_magnitude(largest, s.q[group][half]), s.q[group][half + 2]);
    }
    largest = max(largest, __shfl_xor_sync(kAllLanes, largest, 1));
    const PowerOfTwo range = into_half_range(max(largest, __shfl_xor_sync(kAllLanes, largest, 2)));
    s.unscale[half] = range.inverse;
#pragma unroll
    for (int group = 0; group < kDim / 16; ++group) {
      s.q[group][half] = bf16x2_to_half2(s.q[group][half], range.factor);
      s.q[group][half + 2] = bf16x2_to_half2(s.q[group][half + 2], range.factor);
    }
  }
}

template <typename T, typename Cache, int kDim>
__device__ void begin_piece(const AttentionArgs& a, const Cursor& at, State<kDim>& s) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto [token, head, exists] = pair_of(a, at.range, at.head, threadIdx.x % 32 / 4 + 8 * half);
    const int position = at.range.first_position() + token;
    s.largest[half] = -INFINITY;
    s.weight[half] = 0.0f;
    s.end[half] = exists ? position + 1 : 0;
    s.low[half] = first_seen(a, position);
    const T* q = static_cast<const T*>(a.q) + (at.range.begin + token) * a.q_token_stride + head * a.q_head_stride;
    load_query<T, Cache, kDim>(s, half, q, exists);
  }
#pragma unroll
  for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) s.sum[n][i] = 0.0f;
  }
}

// 16 tokens, the first at `position`.
template <typename T, typename Cache, int kDim>
__device__ void add_tokens(State<kDim>& s, uint32_t key_tile, uint32_t value_tile, int position, const ScoreScale& scale) {
  using Element = Operand<T, Cache>;
  constexpr int kGroups = kGroupsPerLoad<Cache>;
  float score[2][4] = {};
#pragma unroll
  for (int load = 0; load < kDim / 16 / kGroups; ++load) {
    uint32_t key[kGroups][4];
    load_keys<Cache, kDim>(key, key_tile, 0, load);
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      mma<Element>(score[0], s.q[load * kGroups + group], key[group][0], key[group][1]);
      mma<Element>(score[1], s.q[load * kGroups + group], key[group][2], key[group][3]);
    }
  }
  if constexpr (kScalesQueries<T, Cache>) {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) score[n][i] *= s.unscale[i / 2];
    }
  }
  const int first = position + threadIdx.x % 4 * 2;
  float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int p = first + 8 * n + i % 2;
      score[n][i] = p >= s.low[i / 2] && p < s.end[i / 2] ? scale(score[n][i]) : -INFINITY;
      largest[i / 2] = fmaxf(largest[i / 2], score[n][i]);
    }
  }
  largest[0] = row_max(largest[0]);
  largest[1] = row_max(largest[1]);
  if (__any_sync(kAllLanes, largest[0] > s.largest[0] + kSlack || largest[1] > s.largest[1] + kSlack)) {
    float correction[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float base = fmaxf(s.largest[half], largest[half]);
      correction[half] = weight_of(s.largest[half], base);
      s.largest[half] = base;
      s.weight[half] *= correction[half];
    }
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) s.sum[n][i] *= correction[i / 2];
    }
  }
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      score[n][i] = weight_of(score[n][i], s.largest[i / 2]);
      s.weight[i / 2] += score[n][i];
    }
  }
  const uint32_t weights[4] = {pack<Element>(score[0][0], score[0][1]), pack<Element>(score[0][2], score[0][3]),
                               pack<Element>(score[1][0], score[1][1]), pack<Element>(score[1][2], score[1][3])};
#pragma unroll
  for (int load = 0; load < kDim / 16 / kGroups; ++load) {
    uint32_t value[kGroups][4];
    load_values<Cache, kDim>(value, value_tile, 0, load);
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const int n = 2 * (load * kGroups + group);
      mma<Element>(s.sum[n], weights, value[group][0], value[group][1]);
      mma<Element>(s.sum[n + 1], weights, value[group][2], value[group][3]);
    }
  }
}

struct MergeScratch {
  float largest[kWarps][kDecodeRows], weight[kWarps][kDecodeRows];
};

// Merges the warps' states into warp 0's, whose weight and largest then are the block's. Three block barriers; `sums` holds
// the sums of two warps, as float4 [warp][dim / 8][lane].
template <int kDim>
__device__ void merge_warps(State<kDim>& s, MergeScratch& scratch, float4* sums) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  constexpr int kVectors = kDim / 8;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float weight = row_sum(s.weight[half]);
    if (lane % 4 == 0) {
      scratch.largest[warp][lane / 4 + 8 * half] = s.largest[half];
      scratch.weight[warp][lane / 4 + 8 * half] = weight;
    }
  }
  __syncthreads();
  float factor[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int m = lane / 4 + 8 * half;
    float base = -INFINITY, weight = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) base = fmaxf(base, scratch.largest[w][m]);
#pragma unroll
    for (int w = 0; w < kWarps; ++w) weight += weight_of(scratch.largest[w][m], base) * scratch.weight[w][m];
    factor[half] = weight_of(s.largest[half], base);
    s.largest[half] = base;
    s.weight[half] = weight;
  }
#pragma unroll
  for (int n = 0; n < kVectors; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) s.sum[n][i] *= factor[i / 2];
  }
  const auto give = [&](float4* to) {
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
      to[n * 32 + lane] = make_float4(s.sum[n][0], s.sum[n][1], s.sum[n][2], s.sum[n][3]);
    }
  };
  const auto take = [&](const float4* from) {
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
      const float4 x = from[n * 32 + lane];
      s.sum[n][0] += x.x;
      s.sum[n][1] += x.y;
      s.sum[n][2] += x.z;
      s.sum[n][3] += x.w;
    }
  };
  static_assert(kWarps == 4);
  if (warp >= 2) give(sums + (warp - 2) * kVectors * 32);
  __syncthreads();
  if (warp < 2) take(sums + warp * kVectors * 32);
  if (warp == 1) give(sums + kVectors * 32);
  __syncthreads();
  if (warp == 0) take(sums + kVectors * 32);
}

template <typename T, typename Cache, int kDim>
__device__ void write_out(const AttentionArgs& a, const Cursor& at, const State<kDim>& s) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (s.end[half] <= 0) continue;  // no such pair, or before position 0
    const Pair pair = pair_of(a, at.range, at.head, threadIdx.x % 32 / 4 + 8 * half);
    T* out = static_cast<T*>(a.out) + (at.range.begin + pair.token) * a.out_token_stride + pair.head * a.out_head_stride;
    store_sums<Cache>(out, s.sum, half, a.value_scale / s.weight[half]);
  }
}

// A partial result leaves the scale of V to the merge.
template <typename Cache, int kDim>
__device__ void write_partial(float* slot, const State<kDim>& s) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int m = lane / 4 + 8 * half;
    if (s.end[half] <= 0) continue;
    store_sums<Cache>(slot + m * kDim, s.sum, half, 1.0f);
    if (lane % 4 == 0) {
      slot[kDecodeRows * kDim + m] = s.largest[half];
      slot[kDecodeRows * kDim + kDecodeRows + m] = s.weight[half];
    }
  }
}

}  // namespace vn::cuda::decode
