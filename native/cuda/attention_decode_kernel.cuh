// Split-KV attention for short rows: out[t, h] = softmax(softcap(q[t, h] k^T * scale)) v, where a row's query tokens times
// the heads of a KV head's group are at most 16, or the row has one token and a larger group (16 heads at a time). q and out
// are F16 or BF16, the cache the same or fp8; head dimension 64, 96, 128 or 256; scores, sums and partial results in f32;
// weights are rounded to the dtype of the operands (F16 with an fp8 cache) before they multiply v.
//
// Work: one unit is kTile tokens of one (row, KV head). Units of the whole batch stand in one line (row, head, tile; a large
// group counts as several heads), and each of the grid's blocks, as many as the chip holds at once, takes an equal run of it:
// long and short sequences, few and many rows all keep every SM equally busy, and the plan follows seq_lens on the device, so
// that a captured graph adapts.
// A run that begins or ends inside a (row, head) leaves a partial result, at most two for each block; the last block to do so
// merges those of the (row, head) (attention_decode_merge.cuh).
// What the step's batch_prepare wrote is read, the plan made, and K and V of earlier steps fetched into the ring, before the
// kernels ahead have ended (launch.cuh).
// Block: kWarps warps; warp w takes tokens 16 w .. 16 w + 15 of each tile through a ring of kStages buffers of its own
// (cp.async; the page is looked up one tile ahead), without block barriers until the (row, head) ends, where the warps'
// states are merged. The 16 rows of an mma are (token, head of the group): K and V are read once for all of them.
// Shared memory: kStages x kTile x kDim x 2 (K, V) elements of the cache, and 2 x 16 x kDim x 4 bytes for merging.
// Alignment: 16 bytes for q, out, the cache, and all their strides. Bound: bytes of K and V. An fp8 cache has half of them;
// what its conversion adds to a warp's 16 tokens of 2 x kDim elements is kDim / 2 cvt and kDim / 4 prmt instructions, about
// a quarter of what they take without.
// A NaN in the V of a token reaches the row's other tokens in this tile that do not see it; never another row.
// Ideas: splitting along the sequence with a merge by log-sum-exp is Flash-Decoding's (Dao et al.), a group in the rows of an
// mma FlashInfer's, equal runs of a line of tiles Stream-K's (Osama et al.).
#pragma once

#include "cuda/attention_decode_merge.cuh"
#include "cuda/attention_decode_state.cuh"
#include "cuda/launch.cuh"

namespace vn::cuda::decode {

template <typename Cache, int kDim>
constexpr int kStages = kIsFp8<Cache> || kDim <= 64 ? 4 : kDim <= 128 ? 3 : 2;
template <int kDim>
constexpr int kBlocksPerSm = kDim <= 64 ? kMaxBlocksPerSm : kDim <= 128 ? 2 : 1;

template <typename Cache, int kDim>
constexpr int kHalfStageBytes = kWarpTokens * kDim * static_cast<int>(sizeof(Cache));  // K or V of one warp
template <typename Cache, int kDim>
constexpr int kRingBytes = kStages<Cache, kDim> * kWarps * 2 * kHalfStageBytes<Cache, kDim>;
template <int kDim>
constexpr int kMergeBytes = 2 * kDecodeRows * kDim * 4;
template <typename Cache, int kDim>
constexpr int kSharedBytes = kRingBytes<Cache, kDim> + kMergeBytes<kDim>;

template <typename T, typename Cache, int kDim>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm<kDim>) attention_decode_kernel(const __grid_constant__ AttentionArgs a) {
  extern __shared__ __align__(128) unsigned char ring[];
  __shared__ Share share;
  __shared__ LineTotals totals[kWarps];
  __shared__ MergeScratch scratch;
  __shared__ bool last_part;
  constexpr int kDepth = kStages<Cache, kDim> - 1;
  release_next_kernel();
  find_share<kThreads>(a, DecodeLine(), static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x), share, totals);
  if (share.begin >= share.end) return await_earlier_kernels();
  const int units = static_cast<int>(share.end - share.begin);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t my_ring = shared_address(ring) + warp * kStages<Cache, kDim> * 2 * kHalfStageBytes<Cache, kDim>;
  const auto key_tile = [&](int unit) { return my_ring + unit % kStages<Cache, kDim> * 2 * kHalfStageBytes<Cache, kDim>; };

  // Looks one unit up and moves on.
  Cursor ahead;
  ahead.start(a, share);
  int looked_up = 0;
  const auto look_up = [&](TokenPlace& place, int& head) {
    if (looked_up >= units) return;
    const int position = ahead.tile * kTile + warp * kWarpTokens + lane % kWarpTokens;
    place.look_up(a, ahead.table, position, ahead.low, ahead.range.length);
    head = ahead.head / parts_of_group(a);
    if (++looked_up < units) ahead.advance(a);
  };
  const auto fetch = [&](int unit, const TokenPlace& place, int head) {
    if (unit < units) {
      fetch_tokens<Cache, kDim>(a, key_tile(unit), key_tile(unit) + kHalfStageBytes<Cache, kDim>, head, place);
    }
    commit_copies();
  };
  TokenPlace next;
  int next_head = 0;
  {
    TokenPlace places[kDepth];
    int heads[kDepth] = {};
    bool settled[kDepth];
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
      settled[i] = ahead.is_settled();
      look_up(places[i], heads[i]);
    }
    look_up(next, next_head);
    bool waits = true;
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
      if (waits && !settled[i]) {
        await_earlier_kernels();
        waits = false;
      }
      fetch(i, places[i], heads[i]);
    }
    if (waits) await_earlier_kernels();
  }

  Cursor at;
  at.start(a, share);
  const ScoreScale scale(a);
  State<kDim> s;
  bool from_start = at.tile == at.tiles.first, fresh = true;
  for (int unit = 0; unit < units; ++unit) {
    fetch(unit + kDepth, next, next_head);
    look_up(next, next_head);
    if (fresh) begin_piece<T, Cache, kDim>(a, at, s);
    fresh = false;
    wait_copies<kDepth>();
    __syncwarp();
    const int position = at.tile * kTile + warp * kWarpTokens;
    add_tokens<T, Cache, kDim>(s, key_tile(unit), key_tile(unit) + kHalfStageBytes<Cache, kDim>, position, scale);
    __syncwarp();  // the next fetch overwrites this tile
    const bool complete = at.tile + 1 == at.tiles.end;
    if (complete || unit + 1 == units) {
      merge_warps<kDim>(s, scratch, reinterpret_cast<float4*>(ring + kRingBytes<Cache, kDim>));
      if (complete && from_start) {
        if (warp == 0) write_out<T, Cache, kDim>(a, at, s);
      } else {
        float* const partial = a.partials + (2 * static_cast<int64_t>(blockIdx.x) + from_start) * partial_floats(kDim);
        if (warp == 0) write_partial<Cache, kDim>(partial, s);
        const Parts parts = parts_of(share, at, unit);
        if (arrives_last(a, parts, last_part)) merge_parts<T, kDim>(a, at, parts);
      }
      if constexpr (kDim <= 128) s = {};  // of no use any more: its registers are the merge's (of 256 dimensions ptxas keeps them)
      fresh = from_start = true;
    }
    if (unit + 1 < units) at.advance(a);
  }
}

template <typename T, typename Cache, int kDim>
void launch(const AttentionArgs& a, int multiprocessors, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(multiprocessors * kBlocksPerSm<kDim>);
  constexpr int kBytes = kSharedBytes<Cache, kDim>;
  allow_shared_memory(attention_decode_kernel<T, Cache, kDim>, kBytes);
  launch_overlapped("attention_paged: split-KV launch", stream, a.overlap, attention_decode_kernel<T, Cache, kDim>, blocks, kThreads,
                    kBytes, a);
}

}  // namespace vn::cuda::decode
