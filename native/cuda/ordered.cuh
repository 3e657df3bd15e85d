// Lists of updates that must end as if they had been applied one after the other, applied in parallel.
#pragma once

#include <cstdint>

#include "cuda/reduce.cuh"

namespace vn::cuda {

// For the whole warp: calls apply() in the lanes with key >= 0, those of equal keys one after the other in lane order.
template <typename Apply>
__device__ __forceinline__ void in_lane_order(int64_t key, Apply&& apply) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const unsigned same = __match_any_sync(kAllLanes, static_cast<unsigned long long>(key));
  const unsigned turn = key < 0 ? 0u : static_cast<unsigned>(__popc(same & ((1u << lane) - 1)));
  const unsigned last = __reduce_max_sync(kAllLanes, turn);
  for (unsigned now = 0; now <= last; ++now) {
    if (key >= 0 && turn == now) apply();
    __syncwarp();
  }
}

// For the whole block: update i of count has target key_of(i), negative = none; apply(i) is called for each, in the order of
// the list among those of equal keys. Global memory that apply writes is visible to later calls of it.
template <typename KeyOf, typename Apply>
__device__ __forceinline__ void in_list_order(int32_t count, KeyOf&& key_of, Apply&& apply) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize, threads = static_cast<int>(blockDim.x);
  for (int64_t begin = 0; begin < count; begin += threads) {
    const int64_t i = begin + threadIdx.x;
    const int64_t key = i < count ? key_of(i) : -1;
    const int64_t left = count - begin;
    const int warps = static_cast<int>((left < threads ? left : threads) + kWarpSize - 1) / kWarpSize;
    for (int turn = 0; turn < warps; ++turn) {
      if (warp == turn) in_lane_order(key, [&] { apply(i); });
      __syncthreads();
    }
  }
}

}  // namespace vn::cuda
