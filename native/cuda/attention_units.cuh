// How the kernels for long rows divide a batch: a tile holds packed (token, head of the group) pairs of one row of the step
// and one KV head, so that what it reads of K and V serves the whole group.
#pragma once

#include "cuda/attention.cuh"

namespace vn::cuda {

// One tile of one KV head: packed rows [first, rows) of a row of the step, as many as a tile has.
struct Unit {
  RowRange range;
  int row;
  int first, rows;
  int kv_head;
  int low, high;  // positions that the tile's rows see together, or that are this part's of them
  int part;       // slot of its partial result (attention_split.cuh); -1: none, it is whole

  __device__ int position(int m, int group) const { return range.first_position() + (first + m) / group; }
};

// Tiles of a row; none where the row is empty or the split-KV kernel takes it.
__device__ inline int tiles_of_row(const AttentionArgs& a, const RowRange& range, int rows_per_tile) {
  if (range.queries() <= 0 || range.length <= 0 || (a.decode_rows_elsewhere && is_decode_row(a, range))) return 0;
  return static_cast<int>((static_cast<int64_t>(range.queries()) * a.group + rows_per_tile - 1) / rows_per_tile);
}

__device__ inline int tiles_of_row(const AttentionArgs& a, int row, int rows_per_tile) {
  return tiles_of_row(a, row_range(a, row), rows_per_tile);
}

// A tile of a row that has it. False where its tokens do not exist: they lie before position 0, in a flagged row.
__device__ inline bool open_unit(const AttentionArgs& a, int row, int tile, int kv_head, int rows_per_tile, Unit& u) {
  u.row = row;
  u.range = row_range(a, row);
  u.first = tile * rows_per_tile;
  u.rows = u.range.queries() * a.group;
  u.kv_head = kv_head;
  u.low = first_seen(a, u.position(0, a.group));
  u.high = u.position(min(rows_per_tile, u.rows - u.first) - 1, a.group) + 1;
  u.part = -1;
  return u.high > 0;
}

// Tiles of any batch of this size, at most, for each KV head.
__host__ __device__ inline int64_t tile_slots(const AttentionArgs& a, int rows_per_tile) {
  return (static_cast<int64_t>(a.tokens) * a.group + static_cast<int64_t>(a.rows) * (rows_per_tile - 1)) / rows_per_tile;
}

}  // namespace vn::cuda
