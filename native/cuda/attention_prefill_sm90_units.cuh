// Which units a block of threads takes, heaviest of a row first: whichever block is ready for one draws the next. Those of a
// single row are dealt instead, every other round in reverse: as even, and no counter has to be zeroed before.
#pragma once

#include "cuda/attention_prefill_sm90_shared.cuh"
#include "cuda/attention_units.cuh"

namespace vn::cuda::prefill_sm90 {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// The units of this block of threads, one after the other; for each fetching warp as a whole. The batch's units are numbered
// from the last row's last tile on, KV heads fastest. One warp decides the next number and tells the others: the first is the
// block's own, later ones are drawn from the counter that all blocks share, or dealt where there is none. Each lane counts
// the tiles of one row, of 32 at a time.
class Units {
 public:
  __device__ Units(const AttentionArgs& a, Draws& draws, bool draws_here)
      : draws_(draws), draws_here_(draws_here), rows_(a.rows) {}

  __device__ bool next(const AttentionArgs& a, Unit& u) {
    for (;;) {
      const int number = next_number(a), tile = number / a.kv_heads;
      while (tile >= end_) {
        if (rows_ <= 0) return false;
        count_rows(a);
      }
      const unsigned reached = __ballot_sync(kAllLanes, tile < lane_end_);
      const int owner = __ffs(reached) - 1;
      const int from_end = __shfl_sync(kAllLanes, lane_end_, owner) - 1 - tile;
      if (open_unit(a, rows_ + 31 - owner, from_end, number % a.kv_heads, kRows, u)) return true;
    }
  }

 private:
  __device__ int decide(uint32_t* counter) const {
    const uint32_t round = cursor_.count, block = blockIdx.x, blocks = gridDim.x;
    if (counter && round > 0) return static_cast<int>(blocks + atomicAdd(counter, 1u));
    return static_cast<int>(round * blocks + (round % 2 == 0 ? block : blocks - 1 - block));
  }

  __device__ int next_number(const AttentionArgs& a) {
    const int slot = cursor_.slot();
    const bool leader = threadIdx.x % 32 == 0;
    const uint32_t full = shared_address(&draws_.full[slot]), empty = shared_address(&draws_.empty[slot]);
    if (draws_here_) {
      mbarrier_wait(empty, cursor_.empty());
      if (leader) {
        draws_.number[slot] = decide(a.counter);
        mbarrier_arrive(full);
      }
      __syncwarp();
    } else {
      mbarrier_wait(full, cursor_.full());
    }
    const int number = draws_.number[slot];
    __syncwarp();
    if (leader && !draws_here_) mbarrier_arrive(empty);
    cursor_.advance();
    return number;
  }

  __device__ void count_rows(const AttentionArgs& a) {
    const int lane = threadIdx.x % 32, row = rows_ - 1 - lane;
    int sum = row >= 0 ? tiles_of_row(a, row, kRows) : 0;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const int other = __shfl_up_sync(kAllLanes, sum, offset);
      if (lane >= offset) sum += other;
    }
    lane_end_ = end_ + sum;
    end_ = __shfl_sync(kAllLanes, lane_end_, 31);
    rows_ -= 32;
  }

  Draws& draws_;
  const bool draws_here_;
  Cursor<kDraws> cursor_;
  int rows_;          // rows [0, rows_) are still to be counted
  int end_ = 0;       // tiles of the rows that are counted
  int lane_end_ = 0;  // and of those up to this lane's, row rows_ + 31 - lane
};

// What a fetching warp takes one after the other: units, or parts of them.
template <bool kSplit, int kDim>
__device__ auto work_of(const AttentionArgs& a, Shared<kDim>& s, bool draws_here) {
  if constexpr (kSplit) {
    return RunOfParts<WgmmaSplitLine>(a, s.share);
  } else {
    return Units(a, s.draws, draws_here);
  }
}

#endif

}  // namespace vn::cuda::prefill_sm90
