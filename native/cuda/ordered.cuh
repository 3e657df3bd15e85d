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

// The last update of each target, among those that a block's threads have in hand: a hash table with open addressing.
template <int kThreads>
struct LastUpdates {
  static constexpr unsigned kSlots = 2 * kThreads;
  static constexpr unsigned long long kFree = ~0ull;

  unsigned long long targets[kSlots];
  int last[kSlots];

  __device__ __forceinline__ void clear() {
    for (unsigned slot = threadIdx.x; slot < kSlots; slot += kThreads) {
      targets[slot] = kFree;
      last[slot] = -1;
    }
  }
  // The slot of a target, which from now on knows of this thread's update.
  __device__ __forceinline__ unsigned add(unsigned long long target) {
    unsigned slot = static_cast<unsigned>(target * 0x9e3779b97f4a7c15ull >> 32) % kSlots;
    for (;;) {
      const unsigned long long found = atomicCAS(targets + slot, kFree, target);
      if (found == kFree || found == target) break;
      slot = (slot + 1) % kSlots;
    }
    atomicMax(last + slot, static_cast<int>(threadIdx.x));
    return slot;
  }
};

// For the whole block of kThreads threads: update i of count overwrites target_of(i), negative = none. apply(i) is called for those
// that no later one of the list overwrites, and for some that one does, but before it. Ends with a barrier.
template <int kThreads, typename TargetOf, typename Apply>
__device__ __forceinline__ void apply_last(int32_t count, LastUpdates<kThreads>& updates, TargetOf&& target_of, Apply&& apply) {
  for (int64_t begin = 0; begin < count; begin += kThreads) {
    const int64_t i = begin + threadIdx.x;
    const int64_t target = i < count ? target_of(i) : -1;
    updates.clear();
    __syncthreads();
    const unsigned slot = target < 0 ? 0 : updates.add(static_cast<unsigned long long>(target));
    __syncthreads();
    if (target >= 0 && updates.last[slot] == static_cast<int>(threadIdx.x)) apply(i);
    __syncthreads();
  }
}

}  // namespace vn::cuda
