// Which work a block of the split-KV kernel has: a run of the line of units (attention_line.cuh), where a large group counts as
// several heads, and a cursor that walks along it.
#pragma once

#include "cuda/attention_line.cuh"
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

// The line of units (attention_line.cuh) of short rows.
struct DecodeLine {
  __device__ TileRange tiles(const AttentionArgs& a, const RowRange& row) const {
    if (row.queries() <= 0 || row.length <= 0 || !is_decode_row(a, row)) return {0, 0};
    return {first_seen(a, row.first_position()) / kTile, (row.length - 1) / kTile + 1};
  }
  __device__ int heads(const AttentionArgs& a, const RowRange&) const { return line_heads(a); }
  __device__ int least_run(int) const { return kMinShare; }
};

// A place in the line of units.
struct Cursor {
  RowRange range;
  TileRange tiles;
  const int32_t* table;
  int row, head, tile;  // head: in the line
  int low;  // first position that the row sees
  int settled;  // positions below were written before batch_prepare

  __device__ void open_row(const AttentionArgs& a, int index) {
    row = index;
    range = row_range(a, row);
    tiles = DecodeLine().tiles(a, range);
    table = table_of(a, row);
    low = first_seen(a, range.first_position());
    settled = a.step_rows[4 * static_cast<int64_t>(row) + 3];
  }
  __device__ void start(const AttentionArgs& a, const Share& share) {
    open_row(a, share.row);
    const int count = tiles.count();
    head = static_cast<int>(share.offset / count);
    tile = tiles.first + static_cast<int>(share.offset % count);
  }
  __device__ bool is_settled() const { return (tile + 1) * kTile <= settled; }
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
