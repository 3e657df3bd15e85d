// Split-KV for long rows: few query tokens behind a long context are a few tiles, which alone would leave most of the GPU
// idle. The tiles of K and V of all tiles of packed rows stand in one line (attention_line.cuh), and a block takes a run of
// it: parts of tiles, at most two of which (the first and the last of its run) leave partial results in slots of its own.
// Blocks work in teams (AttentionArgs.split_team): the members of a team walk the same positions of the same KV head at the
// same time, each for another tile of packed rows, so that what one brings from memory the others find in L2. Apart they would
// read K and V once for each tile, which takes twice as long as the products do.
// A second kernel, attention_split_merge.cu, merges the parts: it makes the same plan, and shares the rows out over the whole
// GPU, where the last block to arrive would be one of 8 out of 132 that read a megabyte each.
#pragma once

#include "cuda/attention_line.cuh"
#include "cuda/attention_units.cuh"

namespace vn::cuda {

// A head of the line is a KV head and as many tiles of kRowsPerTile packed rows as a team has members. All tiles of a row
// count the positions that the row sees, also those that lie behind a tile's last token: the chunks that are divided are short
// beside what they stand behind.
template <int kRowsPerTile, int kKeysPerTile>
struct SplitLine {
  static constexpr int kLeastPositions = 256;  // of a run
  static constexpr int kTileRows = kRowsPerTile, kTileKeys = kKeysPerTile;

  int team;

  __device__ explicit SplitLine(const AttentionArgs& a) : team(a.split_team) {}

  __device__ TileRange tiles(const AttentionArgs& a, const RowRange& row) const {
    if (tiles_of_row(a, row, kTileRows) == 0) return {0, 0};
    return {first_seen(a, row.first_position()) / kTileKeys, (row.length - 1) / kTileKeys + 1};
  }
  __device__ int heads(const AttentionArgs& a, const RowRange& row) const {
    return (tiles_of_row(a, row, kTileRows) + team - 1) / team * a.kv_heads;
  }
  __device__ int least_run(int most) const { return min(kLeastPositions / kTileKeys, most); }

  // The tile and KV head that head `head` of a row is for this block. False where it does not exist, or its tokens do not.
  __device__ bool open_head(const AttentionArgs& a, int row, int head, Unit& u) const {
    const int tile = head / a.kv_heads * team + static_cast<int>(blockIdx.x) % team;
    return tile < tiles_of_row(a, row, kTileRows) && open_unit(a, row, tile, head % a.kv_heads, kTileRows, u);
  }

  // The run of the block's team, or the one after it; for find_share.
  template <int kThreads>
  __device__ void find_run(const AttentionArgs& a, bool following, Share& share, LineTotals (&totals)[kThreads / 32]) const {
    find_share<kThreads>(a, *this, static_cast<int>(blockIdx.x) / team + following, static_cast<int>(gridDim.x) / team, share, totals);
  }
};

// A partial result of `rows` packed rows: [rows][dim] sums, then the rows' largest exponents, then their weights. Slot 2 b + 1:
// what block b began and did not end; slot 2 b: what it did not begin.
__host__ __device__ constexpr int64_t split_partial_floats(int rows, int dim) { return int64_t{rows} * (dim + 2); }

__device__ inline float* split_partial(const AttentionArgs& a, int slot, int rows, int dim) {
  return a.partials + slot * split_partial_floats(rows, dim);
}

// The parts of a block's run, one after the other; by whole warps.
template <typename Line>
class RunOfParts {
 public:
  __device__ RunOfParts(const AttentionArgs& a, const Share& share)
      : line_(a),
        row_(share.row),
        at_(static_cast<int>(share.offset)),
        left_(share.begin < share.end ? static_cast<int>(share.end - share.begin) : 0) {}

  __device__ bool next(const AttentionArgs& a, Unit& u) {
    while (left_ > 0) {
      const RowRange range = row_range(a, row_);
      const TileRange tiles = line_.tiles(a, range);
      if (tiles.count() == 0 || at_ == tiles.count() * line_.heads(a, range)) {
        next_row(a);
        continue;
      }
      const int head = at_ / tiles.count(), first = at_ % tiles.count(), count = min(tiles.count() - first, left_);
      at_ += count;
      left_ -= count;
      if (!line_.open_head(a, row_, head, u)) continue;
      u.low = max(u.low, (tiles.first + first) * Line::kTileKeys);
      u.high = min(u.high, (tiles.first + first + count) * Line::kTileKeys);
      if (u.low >= u.high) continue;  // nothing that this tile sees
      if (count < tiles.count()) u.part = 2 * static_cast<int>(blockIdx.x) + (first == 0);
      return true;
    }
    return false;
  }

 private:
  // There is one: the run has not ended. Each lane looks at a row, since many short ones may lie in between.
  __device__ void next_row(const AttentionArgs& a) {
    at_ = 0;
    for (++row_;; row_ += 32) {
      const int row = row_ + static_cast<int>(threadIdx.x % 32);
      const unsigned found = __ballot_sync(kAllLanes, row < a.rows && tiles_of_row(a, row, Line::kTileRows) > 0);
      if (found == 0) continue;
      row_ += __ffs(found) - 1;
      return;
    }
  }

  const Line line_;
  int row_, at_;  // unit at_ of the row is the next
  int left_;      // units of the run
};

// Tiles of the kernels that divide K and V: of the one by mma.sync (attention_prefill_kernel.cuh) and of Hopper's.
template <int kDim>
using MmaSplitLine = SplitLine<split_tile_rows(kDim), 64>;
using WgmmaSplitLine = SplitLine<128, 128>;

// Merge what one of them, of `blocks` blocks, left in a.partials.
void launch_mma_split_merge(const AttentionArgs& a, int blocks, cudaStream_t stream);
void launch_wgmma_split_merge(const AttentionArgs& a, int blocks, cudaStream_t stream);

}  // namespace vn::cuda
