// How the partial results of a (row, head) that several blocks share become one: the block that arrives last merges them, in the
// order of the blocks, so that arrival decides who works and not what comes out.
#pragma once

#include "cuda/attention_decode_plan.cuh"
#include "cuda/attention_merge.cuh"

namespace vn::cuda::decode {

// Which blocks have tiles of a (row, head): `count` of them from `first`.
struct Parts {
  int first, count;

  // Part i is in the slot of what its block began and did not end, or of what it did not begin.
  __device__ const float* part(const AttentionArgs& a, int i, int dim) const {
    return a.partials + (2 * (static_cast<int64_t>(first) + i) + (i == 0)) * partial_floats(dim);
  }
};

// unit: of this block's run, where the cursor is.
__device__ inline Parts parts_of(const Share& share, const Cursor& at, int unit) {
  const int size = static_cast<int>(share.size);
  const int ahead = max(at.tile - at.tiles.first - unit, 0);  // units that earlier blocks have of it
  const int blocks_ahead = (ahead + size - 1) / size;
  return {static_cast<int>(blockIdx.x) - blocks_ahead, blocks_ahead + (unit + at.tiles.end - 1 - at.tile) / size + 1};
}

// Counts a block whose first warp has written its part; true in all its threads if the other parts are there. All threads
// call it; between two calls they meet at a barrier. The counter is left at zero, for the next launch.
__device__ inline bool arrives_last(const AttentionArgs& a, const Parts& parts, bool& last) {
  if (threadIdx.x < 32) __syncwarp();  // the whole warp's part, of which the first lane tells the others
  if (threadIdx.x == 0) {
    uint32_t* const counter = a.arrivals + parts.first;
    uint32_t before;
    asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
    last = before + 1 == static_cast<uint32_t>(parts.count);
    if (last) *counter = 0;
  }
  __syncthreads();
  return last;
}

// A warp takes every kWarps-th of the rows.
template <typename T, int kDim>
__device__ void merge_parts(const AttentionArgs& a, const Cursor& at, const Parts& parts) {
  for (int m = threadIdx.x / 32; m < kDecodeRows; m += kWarps) {
    const auto [token, head, exists] = pair_of(a, at.range, at.head, m);
    if (!exists || at.range.first_position() + token < 0) continue;
    T* out = static_cast<T*>(a.out) + (at.range.begin + token) * a.out_token_stride + head * a.out_head_stride;
    merge_row<T, kDim>(out, parts.count, a.value_scale, [&](int i) {
      const float* p = parts.part(a, i, kDim);
      return PartOfRow{p + m * kDim, p + kDecodeRows * kDim + m, p + kDecodeRows * kDim + kDecodeRows + m};
    });
  }
}

}  // namespace vn::cuda::decode
