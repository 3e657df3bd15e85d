// The warps that fetch: one brings K and one V through the copy engine, a box for each page of a block and 64 dimensions, into
// rings of kStages tiles; one for each computing warpgroup brings its rows of q, a unit ahead.
//
// Stale V is zero in shared memory, since weights of 0 do not cancel a NaN: pages that no row of the unit sees are copied from
// outside of the tensor map, which gives zeros, and what follows the sequence in its last page is overwritten before the
// tile is handed over. K needs no such care: its scores are masked.
#pragma once

#include "cuda/attention_prefill_sm90_units.cuh"
#include "cuda/attention_tile.cuh"
#include "cuda/tma.cuh"

namespace vn::cuda::prefill_sm90 {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kMaxPages = kKeys / 8;  // of a tile

// The box that a lane of the fetching warp brings of each tile: one page (box_slots slots of a block), one part of the
// dimensions.
struct LaneBox {
  int row, part;  // in the tile
  bool active;

  template <int kParts>
  __device__ static LaneBox of(int box_slots) {
    const int lane = threadIdx.x % 32, pages = kKeys / box_slots;
    static_assert(kMaxPages * kParts <= 32, "one box for each lane");
    return {lane % pages * box_slots, lane / pages, lane < pages * kParts};
  }
};

struct Place {
  int block, slot;
};

// Where the page at a position lies; outside of the pool when no row of the unit sees it.
__device__ inline Place place_of(const AttentionArgs& a, const Unit& u, const int32_t* table, int position, int box_slots) {
  if (position >= u.high || position + box_slots <= u.low) return {a.num_blocks, 0};
  return {block_at(a, table, position / a.block_size), position % a.block_size};
}

// Zeros in rows [first, end) of a tile of V, by a warp.
template <int kDim>
__device__ void clear_rows(uint16_t (&tile)[kDim / kBox][kKeys][kBox], int first, int end) {
  constexpr int kRowChunks = kDim / kChunk, kPartChunks = kBox / kChunk;
  for (int i = threadIdx.x % 32; i < (end - first) * kRowChunks; i += 32) {
    const int row = first + i / kRowChunks, chunk = i % kRowChunks;
    *reinterpret_cast<uint4*>(&tile[chunk / kPartChunks][row][chunk % kPartChunks * kChunk]) = uint4{};
  }
}

// Brings K, or V, of all units; by one warp. map: of K or V.
template <int kDim, bool kValues, bool kSplit>
__device__ void fetch_cache(const AttentionArgs& a, const CUtensorMap& map, int box_slots, Shared<kDim>& s) {
  constexpr int kTileBytes = kKeys * kDim * 2;
  auto& tiles = kValues ? s.value : s.key;
  auto& full = kValues ? s.value_full : s.key_full;
  auto& empty = kValues ? s.value_empty : s.key_empty;
  const bool leader = threadIdx.x % 32 == 0;
  const LaneBox box = LaneBox::of<kDim / kBox>(box_slots);
  Cursor<kStages> cursor;
  Cursor<1> cut;
  auto units = work_of<kSplit>(a, s, false);
  for (Unit u; units.next(a, u);) {
    const int32_t* table = table_of(a, u.row);
    const int begin = u.low / kKeys, end = (u.high - 1) / kKeys + 1;
    const auto look_up = [&](int t) { return place_of(a, u, table, t * kKeys + box.row, box_slots); };
    const int ending = u.range.length / box_slots * box_slots;  // the page in which the sequence ends
    const bool cuts = kValues && ending < u.range.length && ending < u.high;
    Place place = look_up(begin);
    for (int t = begin; t < end; ++t, cursor.advance()) {
      const Place next = t + 1 < end ? look_up(t + 1) : place;  // its latency passes while this waits
      const int stage = cursor.slot(), start = t * kKeys;
      const bool cuts_here = cuts && ending / kKeys == t;
      const uint32_t landed = shared_address(cuts_here ? &s.cut_value : &full[stage]);
      mbarrier_wait(shared_address(&empty[stage]), cursor.empty());
      if (leader) mbarrier_arrive_expecting(landed, kTileBytes);
      __syncwarp();
      if (box.active) {
        copy_box(shared_address(&tiles[stage][box.part][box.row][0]), map, landed, box.part * kBox, place.slot, u.kv_head,
                 place.block);
      }
      __syncwarp();
      if (cuts_here) {
        mbarrier_wait(landed, cut.full());
        cut.advance();
        clear_rows<kDim>(tiles[stage], u.range.length - start, ending + box_slots - start);
        async_proxy_fence();
        __syncwarp();
        if (leader) mbarrier_arrive(shared_address(&full[stage]));
      }
      place = next;
    }
  }
}

// Brings 64 rows of q, from packed row `first` on; by one warp. Each lane finds where two of the rows lie. Rows that do not
// exist become zeros.
template <typename T, int kDim>
__device__ void fetch_rows_of_q(const AttentionArgs& a, const Unit& u, int first,
                                uint16_t (&tile)[kDim / kBox][kGroupRows][kBox]) {
  constexpr int kRowChunks = kDim / kChunk, kPartChunks = kBox / kChunk;
  constexpr int kRowsAtOnce = 32 / kRowChunks;
  const int lane = threadIdx.x % 32, chunk = lane % kRowChunks;
#pragma unroll
  for (int base = 0; base < kGroupRows; base += 32) {
    const int m = first + base + lane;
    const int64_t offset = (u.range.begin + m / a.group) * a.q_token_stride +
                           (u.kv_head * a.group + m % a.group) * a.q_head_stride;
    const unsigned existing = __ballot_sync(kAllLanes, m < u.rows);
#pragma unroll 4
    for (int i = 0; i < 32; i += kRowsAtOnce) {
      const int source = i + lane / kRowChunks, row = base + source;
      const int64_t from = __shfl_sync(kAllLanes, offset, source);
      const bool exists = existing >> source & 1;
      uint16_t* to = &tile[chunk / kPartChunks][row][(chunk % kPartChunks ^ row % 8) * kChunk];
      const T* q = static_cast<const T*>(a.q);
      copy_chunk(shared_address(to), exists ? q + from + chunk * kChunk : q, exists);
    }
  }
}

// Brings the rows of q of one computing warpgroup for all units, and what the units are; by one warp.
template <typename T, int kDim, bool kSplit>
__device__ void fetch_queries(const AttentionArgs& a, Shared<kDim>& s, int consumer) {
  const bool leader = threadIdx.x % 32 == 0;
  auto units = work_of<kSplit>(a, s, consumer == 0);
  bool more = true;
  for (Cursor<kQuerySlots> cursor; more; cursor.advance()) {
    const int slot = cursor.slot();
    mbarrier_wait(shared_address(&s.query_empty[slot][consumer]), cursor.empty());
    Unit u;  // taken no earlier than it can be fetched: what another block could begin with is left to it
    more = units.next(a, u);
    if (!more) u.rows = 0;
    if (more) {
      fetch_rows_of_q<T, kDim>(a, u, u.first + consumer * kGroupRows, s.query[slot][consumer]);
      commit_copies();
      wait_copies<0>();
      async_proxy_fence();
    }
    if (leader) s.unit[slot][consumer] = u;
    __syncwarp();
    if (leader) mbarrier_arrive(shared_address(&s.query_full[slot][consumer]));
  }
}

#endif

}  // namespace vn::cuda::prefill_sm90
