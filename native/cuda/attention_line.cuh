// The work of a batch in one line, cut into equal runs: long and short sequences, few and many rows all keep every
// multiprocessor equally busy, and the plan follows seq_lens on the device, so that a captured graph adapts.
//
// A unit is one tile of K and V for one head of a row; what a head is says the Line: tiles(a, range) and heads(a, range) of a
// row, no tiles where the row is not in this line, and least_run(most): units below which a block costs more than it saves,
// where no row has more than `most` tiles. Units stand in the order row, head, tile.
#pragma once

#include <climits>

#include "cuda/attention.cuh"
#include "cuda/attention_mma.cuh"

namespace vn::cuda {

// Tiles of K and V, for each head of a row.
struct TileRange {
  int first, end;

  __device__ int count() const { return end - first; }
};

// A block's run [begin, end) of units; all runs but the last have `size`. The first unit lies `offset` units into row `row`.
struct Share {
  int64_t begin, end, size;
  int64_t offset;
  int row;
};

// What a warp counted of its rows: units, and the fewest and most tiles of a row that has any.
struct LineTotals {
  int64_t units;
  int fewest, most;
};

// Units of a run. Where all rows have as many tiles, as in a batch that began together, blocks take whole heads if those are a
// few units more: what has to be merged costs a launch as much as two to eight units (5 to 9 us).
__device__ inline int64_t run_size(int64_t even, int fewest, int most) {
  if (fewest != most || even <= most) return even;
  const int64_t whole = (even + most - 1) / most * most;
  return whole - even <= max(static_cast<int64_t>(2), even / 32) ? whole : even;
}

// The run of block `block` of `blocks`. Called by all kThreads threads; the result is in shared memory.
template <int kThreads, typename Line>
__device__ void find_share(const AttentionArgs& a, const Line& line, int block, int blocks, Share& share,
                           LineTotals (&totals)[kThreads / 32]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int per_thread = (a.rows + kThreads - 1) / kThreads;
  const int first = min(static_cast<int>(threadIdx.x) * per_thread, a.rows), last = min(first + per_thread, a.rows);
  const auto units_of = [&](int row, int& count) {
    const RowRange range = row_range(a, row);
    count = line.tiles(a, range).count();
    return count == 0 ? 0 : static_cast<int64_t>(count) * line.heads(a, range);
  };
  int64_t mine = 0;
  int fewest = INT_MAX, most = 0;
  for (int r = first; r < last; ++r) {
    int count;
    mine += units_of(r, count);
    if (count > 0) fewest = min(fewest, count);
    most = max(most, count);
  }
  int64_t sum = mine;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const int64_t other = __shfl_up_sync(kAllLanes, sum, offset);
    if (lane >= offset) sum += other;
  }
  fewest = __reduce_min_sync(kAllLanes, fewest);
  most = __reduce_max_sync(kAllLanes, most);
  if (lane == 31) totals[warp] = {sum, fewest, most};
  __syncthreads();
  int64_t before = sum - mine, total = 0;
#pragma unroll
  for (int w = 0; w < kThreads / 32; ++w) {
    if (w < warp) before += totals[w].units;
    total += totals[w].units;
    fewest = min(fewest, totals[w].fewest);
    most = max(most, totals[w].most);
  }
  const int64_t even = max((total + blocks - 1) / blocks, static_cast<int64_t>(line.least_run(most)));
  const int64_t size = run_size(even, fewest, most), begin = block * size;
  if (threadIdx.x == 0) {
    share.begin = begin;
    share.end = min(begin + size, total);
    share.size = size;
  }
  if (begin >= before && begin < before + mine) {
    int64_t offset = begin - before;
    for (int r = first; r < last; ++r) {
      int count;
      const int64_t units = units_of(r, count);
      if (offset < units) {
        share.row = r;
        share.offset = offset;
        break;
      }
      offset -= units;
    }
  }
  __syncthreads();
}

}  // namespace vn::cuda
