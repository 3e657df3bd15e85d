// The softmax of a computing warpgroup, in the registers that its products leave their scores in.
#pragma once

#include "cuda/attention_prefill_sm90_shared.cuh"
#include "cuda/attention_tile.cuh"

namespace vn::cuda::prefill_sm90 {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr float kSlack = 8.0f;  // the base of the exponents may lag behind the largest by 2^8

// Of the two rows of a lane, g and g + 8 of its warp's sixteen.
struct Softmax {
  float base[2] = {-INFINITY, -INFINITY};
  float weight[2] = {0.0f, 0.0f};
  float correction[2];  // of sums so far, if `corrects`
  bool corrects;
  int position[2];
};

constexpr int kScores = kKeys / 2;  // of a lane

// Scores of a tile to weights. masked: whether a row of the warpgroup does not see a part of it. start: its first position.
__device__ inline void soften(Softmax& x, float (&score)[kScores], bool masked, int start, uint32_t window, float factor, float cap) {
  if (cap > 0.0f) {
#pragma unroll
    for (int i = 0; i < kScores; ++i) score[i] = cap * tanh_fast(score[i] * factor);
    factor = 1.0f;
  }
  if (masked) {
    const int first = start + threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < kScores; ++i) {
      const int behind = x.position[i / 2 % 2] - (first + i / 4 * 8 + i % 2);
      if (static_cast<uint32_t>(behind) >= window) score[i] = -INFINITY;
    }
  }
  float largest[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
#pragma unroll
  for (int i = 0; i < kScores; ++i) largest[i % 4] = fmaxf(largest[i % 4], score[i]);
  largest[0] = row_max(fmaxf(largest[0], largest[1])) * factor;
  largest[1] = row_max(fmaxf(largest[2], largest[3])) * factor;
  x.corrects = __any_sync(kAllLanes, largest[0] > x.base[0] + kSlack || largest[1] > x.base[1] + kSlack);
  if (x.corrects) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      // Of this row alone: a neighbour that makes the warp come here must not show in its bits.
      const float base = largest[half] > x.base[half] + kSlack ? largest[half] : x.base[half];
      x.correction[half] = weight_of(x.base[half], base);
      x.base[half] = base;
      x.weight[half] *= x.correction[half];
    }
  }
  float base[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) base[half] = x.base[half] == -INFINITY ? 0.0f : x.base[half];
#pragma unroll
  for (int i = 0; i < kScores; ++i) {
    score[i] = exp2_fast(fmaf(score[i], factor, -base[i / 2 % 2]));
    x.weight[i / 2 % 2] += score[i];
  }
}

#endif

}  // namespace vn::cuda::prefill_sm90
