// Which work a block of the split-KV kernel has: units of the batch stand in one line (row, head, tile; a large group counts
// as several heads), cut into equal runs, and a cursor walks along a run.
#pragma once

#include "cuda/attention_tile.cuh"

namespace vn::cuda::decode {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kTile = kWarps * kWarpTokens;
constexpr int kMinShare = 2;  // units: below, a block costs more than it saves
constexpr int kMaxBlocksPerSm = 3;

// Partial results: [slot][16 rows][dim] sums, then 16 largest exponents and 16 weights. Slot 2 b + 1: the (row, head) that
// block b began and did not end; slot 2 b: the one that it did not begin.
__host__ __device__ constexpr int64_t partial_floats(int dim) { return kDecodeRows * (dim + 2); }

// Parts of a group, of kDecodeRows (token, head) pairs each; more than one only for one token of a large group.
__device__ inline int parts_of_group(const AttentionArgs& a) { return (a.group + kDecodeRows - 1) / kDecodeRows; }

// Heads of a row in the line of units: parts of the KV heads' groups.
__device__ inline int line_heads(const AttentionArgs& a) { return a.kv_heads * parts_of_group(a); }

// Tiles [first, end) of a row, for each of its heads in the line.
struct TileRange {
  int first, end;
};

__device__ inline TileRange tiles_of(const AttentionArgs& a, const RowRange& row) {
  if (row.queries() <= 0 || row.length <= 0 || !is_decode_row(a, row)) return {0, 0};
  return {first_seen(a, row.first_position()) / kTile, (row.length - 1) / kTile + 1};
}

// Units of a block's run. Where all rows have as many tiles, as in a batch that began together, blocks take whole (row, head)s
// if those are a few units more: what has to be merged costs a launch as much as two to eight units (5 to 9 us).
__device__ inline int64_t run_size(int64_t total, int tiles_of_all) {
  const int64_t even = max((total + gridDim.x - 1) / gridDim.x, static_cast<int64_t>(kMinShare));
  if (tiles_of_all == 0 || even <= tiles_of_all) return even;
  const int64_t whole = (even + tiles_of_all - 1) / tiles_of_all * tiles_of_all;
  return whole - even <= max(static_cast<int64_t>(2), even / 32) ? whole : even;
}

// A block's run [begin, end) of units. The first lies `offset` units into row `row`.
struct Share {
  int64_t begin, end, size;
  int64_t offset;
  int row;
};

// Called by all threads; the result is in shared memory.
__device__ inline void find_share(const AttentionArgs& a, Share& share, int64_t (&warp_sums)[kWarps]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int per_thread = (a.rows + kThreads - 1) / kThreads;
  const int first = min(static_cast<int>(threadIdx.x) * per_thread, a.rows), last = min(first + per_thread, a.rows);
  const TileRange of_first = tiles_of(a, row_range(a, 0));
  const int expected = of_first.end - of_first.first;
  int64_t mine = 0;
  bool same = true;
  for (int r = first; r < last; ++r) {
    const TileRange tiles = tiles_of(a, row_range(a, r));
    const int count = tiles.end - tiles.first;
    same = same && (count == 0 || count == expected);
    mine += static_cast<int64_t>(count) * line_heads(a);
  }
  int64_t sum = mine;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const int64_t other = __shfl_up_sync(kAllLanes, sum, offset);
    if (lane >= offset) sum += other;
  }
  if (lane == 31) warp_sums[warp] = sum;
  const bool all_same = __syncthreads_and(same) != 0;
  int64_t before = sum - mine, total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before += warp_sums[w];
    total += warp_sums[w];
  }
  const int64_t size = run_size(total, all_same ? expected : 0);
  const int64_t begin = blockIdx.x * size;
  if (threadIdx.x == 0) {
    share.begin = begin;
    share.end = min(begin + size, total);
    share.size = size;
  }
  if (begin >= before && begin < before + mine) {
    int64_t offset = begin - before;
    for (int r = first; r < last; ++r) {
      const TileRange tiles = tiles_of(a, row_range(a, r));
      const int64_t units = static_cast<int64_t>(tiles.end - tiles.first) * line_heads(a);
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

// A place in the line of units.
struct Cursor {
  RowRange range;
  TileRange tiles;
  const int32_t* table;
  int row, head, tile;  // head: in the line
  int low;  // first position that the row sees

  __device__ void open_row(const AttentionArgs& a, int index) {
    row = index;
    range = row_range(a, row);
    tiles = tiles_of(a, range);
    table = table_of(a, row);
    low = first_seen(a, range.first_position());
  }
  __device__ void start(const AttentionArgs& a, const Share& share) {
    open_row(a, share.row);
    const int count = tiles.end - tiles.first;
    head = static_cast<int>(share.offset / count);
    tile = tiles.first + static_cast<int>(share.offset % count);
  }
  // There is a next unit.
  __device__ void advance(const AttentionArgs& a) {
    if (++tile < tiles.end) return;
    if (++head < line_heads(a)) {
      tile = tiles.first;
      return;
    }
    do open_row(a, row + 1);
    while (tiles.first == tiles.end);
    head = 0;
    tile = tiles.first;
  }
};

// A (token, head) pair of a row: m counts the pairs of a KV head's group, or of the part of it that `line_head` is.
struct Pair {
  int token, head;
  bool exists;
};

__device__ inline Pair pair_of(const AttentionArgs& a, const RowRange& row, int line_head, int m) {
  const int parts = parts_of_group(a), index = line_head % parts * kDecodeRows + m;
  const int token = index / a.group;
  return {token, line_head / parts * a.group + index % a.group, token < row.queries()};
}

}  // namespace vn::cuda::decode
