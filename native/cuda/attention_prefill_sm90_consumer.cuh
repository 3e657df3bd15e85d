// The two warpgroups that compute, 64 rows each: products by wgmma, the softmax in registers. While one has its tensor cores, the
// other has its exponentials: they take turns to issue their products. Within a warpgroup the scores of the next keys are
// issued before the values of these.
#pragma once

#include <climits>

#include "cuda/attention_prefill_sm90_output.cuh"
#include "cuda/attention_prefill_sm90_softmax.cuh"

namespace vn::cuda::prefill_sm90 {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// score = q k^T for the 64 rows of a warpgroup; both tiles have kDim elements a row. Closes a group.
template <typename T, int kDim>
__device__ void multiply_keys(float (&score)[kScores], uint64_t query, uint64_t key) {
  constexpr int kStepBytes = 32, kSteps = wgmma::kRowBytes / kStepBytes;  // 16 elements
#pragma unroll
  for (int step = 0; step < kDim / 16; ++step) {
    const int part = step / kSteps, bytes = step % kSteps * kStepBytes;
    wgmma::multiply_rows<T>(score, wgmma::advance(query, part * kGroupRows * wgmma::kRowBytes + bytes),
                            wgmma::advance(key, part * kKeys * wgmma::kRowBytes + bytes), step > 0);
  }
  wgmma::commit();
}

using Weights = uint32_t[kKeys / 16][4];

// sum += weights v. Closes a group.
template <typename T, int kDim>
__device__ void multiply_values(float (&sum)[kDim / 2], const Weights& weights, uint64_t value) {
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
    wgmma::multiply_columns<T>(sum, weights[step], wgmma::advance(value, step * 16 * wgmma::kRowBytes));
  }
  wgmma::commit();
}

template <typename T>
__device__ void round_weights(Weights& weights, const float (&score)[kScores]) {
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) weights[step][i] = pack<T>(score[8 * step + 2 * i], score[8 * step + 2 * i + 1]);
  }
}

// Computes the 64 rows of one warpgroup of all units.
template <typename T, int kDim, bool kSplit>
__device__ void compute(const AttentionArgs& a, Shared<kDim>& s, int consumer) {
  constexpr int kTurn = 1;  // named barriers kTurn + consumer: its turn to issue products
  const int lane = threadIdx.x % 32, warp_row = consumer * kGroupRows + threadIdx.x % kWarpgroup / 32 * 16;
  const auto release = [&](uint64_t& barrier) {
    if (lane == 0) mbarrier_arrive(shared_address(&barrier));
  };
  const auto tile = [](const auto& part) {
    return wgmma::descriptor(shared_address(&part), wgmma::kAtomBytes, kKeys * wgmma::kRowBytes);
  };
  const ScoreScale scale(a);
  const uint32_t window = a.window > 0 ? a.window : INT_MAX;
  Cursor<kStages> key, value;
  if (consumer == 1) named_barrier_arrive(kTurn, 2 * kWarpgroup);

  for (Cursor<kQuerySlots> cursor;; cursor.advance()) {
    const int slot = cursor.slot();
    mbarrier_wait(shared_address(&s.query_full[slot][consumer]), cursor.full());
    const Unit u = s.unit[slot][consumer];
    if (u.rows == 0) return;
    const int begin = u.low / kKeys, end = (u.high - 1) / kKeys + 1;
    const int first_position = u.position(consumer * kGroupRows, a.group);
    const int last_position = u.position(consumer * kGroupRows + kGroupRows - 1, a.group);
    const auto masked = [&](int t) {
      return (t + 1) * kKeys > first_position + 1 || t * kKeys < first_seen(a, last_position);
    };
    const uint64_t query = tile(s.query[slot][consumer]);
    Softmax x;
#pragma unroll
    for (int half = 0; half < 2; ++half) x.position[half] = u.position(warp_row + 8 * half + lane / 4, a.group);
    float score[kScores], sum[kDim / 2];
    Weights weights;
#pragma unroll
    for (int i = 0; i < kDim / 2; ++i) sum[i] = 0.0f;

    mbarrier_wait(shared_address(&s.key_full[key.slot()]), key.full());
    wgmma::fence();
    multiply_keys<T, kDim>(score, query, tile(s.key[key.slot()]));
    wgmma::wait<0>(score);
    release(s.key_empty[key.slot()]);
    key.advance();
    soften(x, score, masked(begin), begin * kKeys, window, scale.factor, scale.cap);
    round_weights<T>(weights, score);

    for (int t = begin + 1; t < end; ++t) {
      mbarrier_wait(shared_address(&s.key_full[key.slot()]), key.full());
      named_barrier_sync(kTurn + consumer, 2 * kWarpgroup);
      wgmma::fence();
      multiply_keys<T, kDim>(score, query, tile(s.key[key.slot()]));
      mbarrier_wait(shared_address(&s.value_full[value.slot()]), value.full());
      multiply_values<T, kDim>(sum, weights, tile(s.value[value.slot()]));
      named_barrier_arrive(kTurn + (consumer ^ 1), 2 * kWarpgroup);
      wgmma::wait<1>(score);
      release(s.key_empty[key.slot()]);
      key.advance();
      soften(x, score, masked(t), t * kKeys, window, scale.factor, scale.cap);
      // The exponentials are what passes the time until the wait. Only a branch keeps the compiler from moving them behind it.
      wgmma::pin(score);
      if (x.corrects) {
        wgmma::wait<0>(sum);
#pragma unroll
        for (int i = 0; i < kDim / 2; ++i) sum[i] *= x.correction[i / 2 % 2];
      } else {
        wgmma::wait<0>(sum);
      }
      release(s.value_empty[value.slot()]);
      value.advance();
      round_weights<T>(weights, score);
    }
    release(s.query_empty[slot][consumer]);

    mbarrier_wait(shared_address(&s.value_full[value.slot()]), value.full());
    wgmma::fence();
    multiply_values<T, kDim>(sum, weights, tile(s.value[value.slot()]));
    wgmma::wait<0>(sum);
    release(s.value_empty[value.slot()]);
    value.advance();
    if (kSplit && u.part >= 0) {
      write_partial<kDim>(a, u, x, sum, warp_row);
    } else {
      write_out<T, kDim>(a, u, x, sum, warp_row);
    }
  }
}

#endif

}  // namespace vn::cuda::prefill_sm90
