// Tiled attention for long rows on Hopper (sm_90a): the contract of attention_prefill_kernel.cuh, for 16-bit caches, head
// dimensions 64 and 128 and blocks of a multiple of 8 tokens.
//
// A block of threads has three warpgroups and stays on its multiprocessor: it takes units (a tile of kRows packed rows of one
// KV head, attention_units.cuh) until there are none. Two warpgroups compute, 64 rows each: products by wgmma, the softmax in
// registers. While one has its tensor cores, the other has its exponentials: they take turns to issue their products. Within
// a warpgroup the scores of the next keys are issued before the values of these.
// The third warpgroup fetches: one warp brings K and one V through the copy engine, a box for each page of a block and 64
// dimensions, into rings of kStages tiles; one warp for each computing warpgroup brings its rows of q, a unit ahead.
//
// Units are taken heaviest of a row first, by whichever block of threads is ready for one. Those of a single row are dealt
// instead, every other round in reverse: as even, and no counter has to be zeroed before.
// Where the batch has too few tiles for the multiprocessors and long contexts, the second variant of the kernel takes parts of
// units (attention_split.cuh) instead.
// Stale V is zero in shared memory, since weights of 0 do not cancel a NaN: pages that no row of the unit sees are copied from
// outside of the tensor map, which gives zeros, and what follows the sequence in its last page is overwritten before the
// tile is handed over. K needs no such care: its scores are masked.
// A NaN in the V of a token reaches earlier tokens of the same row in this tile; never another row.
// Bound: tensor operations. Shared memory: Shared below.
// Ideas: FlashAttention-3 (Shah et al.): warp specialisation, turns between warpgroups, products ahead of the softmax.
#include <algorithm>
#include <climits>
#include <numeric>

#include "cuda/attention_split.cuh"
#include "cuda/attention_tile.cuh"
#include "cuda/attention_units.cuh"
#include "cuda/launch.cuh"
#include "cuda/mbarrier.cuh"
#include "cuda/tensor_maps.h"
#include "cuda/tma.cuh"
#include "cuda/wgmma.cuh"

namespace vn::cuda {
namespace {

constexpr int kWarpgroup = 128;  // threads
constexpr int kConsumers = 2;    // warpgroups that compute
constexpr int kThreads = kWarpgroup * (1 + kConsumers);
constexpr int kGroupRows = 64;   // of a warpgroup: M of wgmma
constexpr int kRows = kConsumers * kGroupRows;
constexpr int kKeys = 128;  // of a tile of K and V
constexpr int kStages = 2;
constexpr int kQuerySlots = 2;
constexpr int kDraws = 2;
constexpr int kBox = kBoxElements;

static_assert(WgmmaSplitLine::kTileRows == kRows && WgmmaSplitLine::kTileKeys == kKeys);

// Numbers of units on their way from the fetching warp that drew them to the other ones.
struct Draws {
  int number[kDraws];
  uint64_t full[kDraws], empty[kDraws];
};

// Tiles are [64 dimensions' part][row][64], swizzled as wgmma.cuh has it.
template <int kDim>
struct __align__(wgmma::kAtomBytes) Shared {
  static constexpr int kParts = kDim / kBox;

  uint16_t query[kQuerySlots][kConsumers][kParts][kGroupRows][kBox];
  uint16_t key[kStages][kParts][kKeys][kBox];
  uint16_t value[kStages][kParts][kKeys][kBox];
  Unit unit[kQuerySlots][kConsumers];  // what the q in the slot is; rows = 0: there is no more
  uint64_t query_full[kQuerySlots][kConsumers], query_empty[kQuerySlots][kConsumers];
  uint64_t key_full[kStages], key_empty[kStages];
  uint64_t value_full[kStages], value_empty[kStages];
  Draws draws;
  uint64_t cut_value;  // of the fetching warp alone: the tile in which the sequence ends
  Share share;         // of the block, where it takes parts of units
  LineTotals totals[kThreads / 32];
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kMaxPages = kKeys / 8;  // of a tile
constexpr int kChunk = kChunkElements<uint16_t>;
constexpr float kSlack = 8.0f;        // the base of the exponents may lag behind the largest by 2^8
constexpr int kFetchers = kConsumers + 2;  // warps that fetch
constexpr int kProducerRegisters = 56, kConsumerRegisters = 224;

// A place in a ring of kSlots, and the parity of the phase that it is in.
template <int kSlots>
struct Cursor {
  uint32_t count = 0;

  __device__ int slot() const { return static_cast<int>(count % kSlots); }
  __device__ uint32_t full() const { return count / kSlots & 1; }
  __device__ uint32_t empty() const { return full() ^ 1; }  // the first round finds every slot empty
  __device__ void advance() { ++count; }
};

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

// ---- fetching ----------------------------------------------------------------------------------------------------

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
__device__ Place place_of(const AttentionArgs& a, const Unit& u, const int32_t* table, int position, int box_slots) {
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

// ---- computing ---------------------------------------------------------------------------------------------------

// Of the two rows of a lane, g and g + 8 of its warp's sixteen.
struct Softmax {
  float base[2] = {-INFINITY, -INFINITY};
  float weight[2] = {0.0f, 0.0f};
  float correction[2];  // of sums so far, if `corrects`
  bool corrects;
  int position[2];
};

constexpr int kScores = kKeys / 2;  // of a lane

// Scores of a tile to weights. masked: whether a row of the warpgroup does not see a part of it. start: its first position.
__device__ void soften(Softmax& x, float (&score)[kScores], bool masked, int start, uint32_t window, float factor, float cap) {
  if (cap > 0.0f) {
#pragma unroll
    for (int i = 0; i < kScores; ++i) score[i] = cap * tanh_fast(score[i] * factor);
    factor = 1.0f;
  }
  if (masked) {
    const int first = start + threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < kScores; ++i) {
      const int behind = x.position[i / 2 % 2] - (first + i / 4 * 8 + i % 2);
      if (static_cast<uint32_t>(behind) >= window) score[i] = -INFINITY;
    }
  }
  float largest[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
#pragma unroll
  for (int i = 0; i < kScores; ++i) largest[i % 4] = fmaxf(largest[i % 4], score[i]);
  largest[0] = row_max(fmaxf(largest[0], largest[1])) * factor;
  largest[1] = row_max(fmaxf(largest[2], largest[3])) * factor;
  x.corrects = __any_sync(kAllLanes, largest[0] > x.base[0] + kSlack || largest[1] > x.base[1] + kSlack);
  if (x.corrects) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      // Of this row alone: a neighbour that makes the warp come here must not show in its bits.
      const float base = largest[half] > x.base[half] + kSlack ? largest[half] : x.base[half];
      x.correction[half] = weight_of(x.base[half], base);
      x.base[half] = base;
      x.weight[half] *= x.correction[half];
    }
  }
  float base[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) base[half] = x.base[half] == -INFINITY ? 0.0f : x.base[half];
#pragma unroll
  for (int i = 0; i < kScores; ++i) {
    score[i] = exp2_fast(fmaf(score[i], factor, -base[i / 2 % 2]));
    x.weight[i / 2 % 2] += score[i];
  }
}

// score = q k^T for the 64 rows of a warpgroup; both tiles have kDim elements a row. Closes a group.
template <typename T, int kDim>
__device__ void multiply_keys(float (&score)[kScores], uint64_t query, uint64_t key) {
  constexpr int kStepBytes = 32, kSteps = wgmma::kRowBytes / kStepBytes;  // 16 elements
#pragma unroll
  for (int step = 0; step < kDim / 16; ++step) {
    const int part = step / kSteps, bytes = step % kSteps * kStepBytes;
    wgmma::multiply_rows<T>(score, wgmma::advance(query, part * kGroupRows * wgmma::kRowBytes + bytes),
                            wgmma::advance(key, part * kKeys * wgmma::kRowBytes + bytes), step > 0);
  }
  wgmma::commit();
}

using Weights = uint32_t[kKeys / 16][4];

// sum += weights v. Closes a group.
template <typename T, int kDim>
__device__ void multiply_values(float (&sum)[kDim / 2], const Weights& weights, uint64_t value) {
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
    wgmma::multiply_columns<T>(sum, weights[step], wgmma::advance(value, step * 16 * wgmma::kRowBytes));
  }
  wgmma::commit();
}

template <typename T>
__device__ void round_weights(Weights& weights, const float (&score)[kScores]) {
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) weights[step][i] = pack<T>(score[8 * step + 2 * i], score[8 * step + 2 * i + 1]);
  }
}

// Element j of lane t, among the four lanes of a row, becomes element t of lane j.
__device__ void transpose_quad(uint32_t (&x)[4]) {
  const int lane = threadIdx.x % 4;
#pragma unroll
  for (int bit = 1; bit <= 2; bit *= 2) {
    const bool upper = lane & bit;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i & bit) continue;
      const uint32_t got = __shfl_xor_sync(kAllLanes, upper ? x[i] : x[i + bit], bit);
      (upper ? x[i] : x[i + bit]) = got;
    }
  }
}

template <typename T, int kDim>
__device__ void write_out(const AttentionArgs& a, const Unit& u, const Softmax& x, const float (&sum)[kDim / 2],
                          int first_row) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float factor = a.value_scale / row_sum(x.weight[half]);
    const int m = u.first + first_row + 8 * half + lane / 4;
    const bool exists = m < u.rows && x.position[half] >= 0;
    T* out = static_cast<T*>(a.out) + (u.range.begin + m / a.group) * a.out_token_stride +
             (u.kv_head * a.group + m % a.group) * a.out_head_stride + lane % 4 * kChunk;
#pragma unroll
    for (int columns = 0; columns < kDim; columns += 32) {  // a chunk for each of the four lanes
      uint32_t chunk[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &sum[columns / 2 + 4 * i + 2 * half];
        chunk[i] = pack<T>(pair[0] * factor, pair[1] * factor);
      }
      transpose_quad(chunk);
      if (exists) *reinterpret_cast<uint4*>(out + columns) = make_uint4(chunk[0], chunk[1], chunk[2], chunk[3]);
    }
  }
}

// first_row: of the warp's sixteen, in the tile.
template <int kDim>
__device__ void write_partial(const AttentionArgs& a, const Unit& u, const Softmax& x, const float (&sum)[kDim / 2],
                              int first_row) {
  const int lane = threadIdx.x % 32;
  float* const part = split_partial(a, u.part, kRows, kDim);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float weight = row_sum(x.weight[half]);
    const int m = first_row + 8 * half + lane / 4;
    if (u.first + m >= u.rows) continue;
    float* const row = part + m * kDim + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<float2*>(row + 8 * n) = make_float2(sum[4 * n + 2 * half], sum[4 * n + 2 * half + 1]);
    }
    if (lane % 4 == 0) {
      part[kRows * kDim + m] = x.base[half];
      part[kRows * kDim + kRows + m] = weight;
    }
  }
}

// Computes the 64 rows of one warpgroup of all units.
template <typename T, int kDim, bool kSplit>
__device__ void compute(const AttentionArgs& a, Shared<kDim>& s, int consumer) {
  constexpr int kTurn = 1;  // named barriers kTurn + consumer: its turn to issue products
  const int lane = threadIdx.x % 32, warp_row = consumer * kGroupRows + threadIdx.x % kWarpgroup / 32 * 16;
  const auto release = [&](uint64_t& barrier) {
    if (lane == 0) mbarrier_arrive(shared_address(&barrier));
  };
  const auto tile = [](const auto& part) {
    return wgmma::descriptor(shared_address(&part), wgmma::kAtomBytes, kKeys * wgmma::kRowBytes);
  };
  const ScoreScale scale(a);
  const uint32_t window = a.window > 0 ? a.window : INT_MAX;
  Cursor<kStages> key, value;
  if (consumer == 1) named_barrier_arrive(kTurn, 2 * kWarpgroup);

  for (Cursor<kQuerySlots> cursor;; cursor.advance()) {
    const int slot = cursor.slot();
    mbarrier_wait(shared_address(&s.query_full[slot][consumer]), cursor.full());
    const Unit u = s.unit[slot][consumer];
    if (u.rows == 0) return;
    const int begin = u.low / kKeys, end = (u.high - 1) / kKeys + 1;
    const int first_position = u.position(consumer * kGroupRows, a.group);
    const int last_position = u.position(consumer * kGroupRows + kGroupRows - 1, a.group);
    const auto masked = [&](int t) {
      return (t + 1) * kKeys > first_position + 1 || t * kKeys < first_seen(a, last_position);
    };
    const uint64_t query = tile(s.query[slot][consumer]);
    Softmax x;
#pragma unroll
    for (int half = 0; half < 2; ++half) x.position[half] = u.position(warp_row + 8 * half + lane / 4, a.group);
    float score[kScores], sum[kDim / 2];
    Weights weights;
#pragma unroll
    for (int i = 0; i < kDim / 2; ++i) sum[i] = 0.0f;

    mbarrier_wait(shared_address(&s.key_full[key.slot()]), key.full());
    wgmma::fence();
    multiply_keys<T, kDim>(score, query, tile(s.key[key.slot()]));
    wgmma::wait<0>(score);
    release(s.key_empty[key.slot()]);
    key.advance();
    soften(x, score, masked(begin), begin * kKeys, window, scale.factor, scale.cap);
    round_weights<T>(weights, score);

    for (int t = begin + 1; t < end; ++t) {
      mbarrier_wait(shared_address(&s.key_full[key.slot()]), key.full());
      named_barrier_sync(kTurn + consumer, 2 * kWarpgroup);
      wgmma::fence();
      multiply_keys<T, kDim>(score, query, tile(s.key[key.slot()]));
      mbarrier_wait(shared_address(&s.value_full[value.slot()]), value.full());
      multiply_values<T, kDim>(sum, weights, tile(s.value[value.slot()]));
      named_barrier_arrive(kTurn + (consumer ^ 1), 2 * kWarpgroup);
      wgmma::wait<1>(score);
      release(s.key_empty[key.slot()]);
      key.advance();
      soften(x, score, masked(t), t * kKeys, window, scale.factor, scale.cap);
      // The exponentials are what passes the time until the wait. Only a branch keeps the compiler from moving them behind it.
      wgmma::pin(score);
      if (x.corrects) {
        wgmma::wait<0>(sum);
#pragma unroll
        for (int i = 0; i < kDim / 2; ++i) sum[i] *= x.correction[i / 2 % 2];
      } else {
        wgmma::wait<0>(sum);
      }
      release(s.value_empty[value.slot()]);
      value.advance();
      round_weights<T>(weights, score);
    }
    release(s.query_empty[slot][consumer]);

    mbarrier_wait(shared_address(&s.value_full[value.slot()]), value.full());
    wgmma::fence();
    multiply_values<T, kDim>(sum, weights, tile(s.value[value.slot()]));
    wgmma::wait<0>(sum);
    release(s.value_empty[value.slot()]);
    value.advance();
    if (kSplit && u.part >= 0) {
      write_partial<kDim>(a, u, x, sum, warp_row);
    } else {
      write_out<T, kDim>(a, u, x, sum, warp_row);
    }
  }
}

template <int kDim>
__device__ void init_barriers(Shared<kDim>& s) {
  constexpr int kConsumerWarps = kConsumers * kWarpgroup / 32;
  const auto init = [](uint64_t& barrier, int arrivals) { mbarrier_init(shared_address(&barrier), arrivals); };
  for (int slot = 0; slot < kQuerySlots; ++slot) {
    for (int consumer = 0; consumer < kConsumers; ++consumer) {
      init(s.query_full[slot][consumer], 1);
      init(s.query_empty[slot][consumer], kWarpgroup / 32);
    }
  }
  for (int stage = 0; stage < kStages; ++stage) {
    init(s.key_full[stage], 1);
    init(s.value_full[stage], 1);
    init(s.key_empty[stage], kConsumerWarps);
    init(s.value_empty[stage], kConsumerWarps);
  }
  for (int slot = 0; slot < kDraws; ++slot) {
    init(s.draws.full[slot], 1);
    init(s.draws.empty[slot], kFetchers - 1);
  }
  init(s.cut_value, 1);
  mbarrier_init_fence();
}

#endif

// Compiled for sm_90a alone; elsewhere it is empty and never launched. kSplit: takes parts of units.
template <typename T, int kDim, bool kSplit>
__global__ void __launch_bounds__(kThreads, 1)
    attention_prefill_sm90_kernel(const __grid_constant__ AttentionArgs a, const __grid_constant__ CUtensorMap keys,
                                  const __grid_constant__ CUtensorMap values, int box_slots) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(wgmma::kAtomBytes) unsigned char memory[];
  Shared<kDim>& s = *reinterpret_cast<Shared<kDim>*>(memory);
  if (threadIdx.x == 0) init_barriers(s);
  if constexpr (kSplit) {
    release_next_kernel();
    WgmmaSplitLine(a).find_run<kThreads>(a, false, s.share, s.totals);
    await_earlier_kernels();
  } else {
    __syncthreads();
  }
  const int warpgroup = threadIdx.x / kWarpgroup;
  if (warpgroup == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kProducerRegisters));
    const int warp = threadIdx.x / 32;
    if (warp < kConsumers) {
      fetch_queries<T, kDim, kSplit>(a, s, warp);
    } else if (warp == kConsumers) {
      fetch_cache<kDim, false, kSplit>(a, keys, box_slots, s);
    } else {
      fetch_cache<kDim, true, kSplit>(a, values, box_slots, s);
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kConsumerRegisters));
    compute<T, kDim, kSplit>(a, s, warpgroup - 1);
  }
#endif
}

template <int kDim>
constexpr int kSharedBytes = sizeof(Shared<kDim>);

constexpr int kMaxUnits = 1 << 30;

// Slots of a page: pages divide blocks, and tiles.
int page_slots(const AttentionArgs& a) { return std::gcd(a.block_size, kKeys); }

PoolBoxes key_boxes(const AttentionArgs& a) {
  return {a.key,          a.key_dim,         a.block_size,       a.kv_heads,
          a.num_blocks,   a.key_slot_stride, a.key_head_stride,  a.key_block_stride,
          page_slots(a)};
}

PoolBoxes value_boxes(const AttentionArgs& a) {
  return {a.value,        a.value_dim,         a.block_size,        a.kv_heads,
          a.num_blocks,   a.value_slot_stride, a.value_head_stride, a.value_block_stride,
          page_slots(a)};
}

template <typename T, int kDim>
void launch(const AttentionArgs& a, TensorMaps& maps, int multiprocessors, cudaStream_t stream) {
  const int64_t units = tile_slots(a, kRows) * a.kv_heads;
  if (units > kMaxUnits) {
    fail(VN_UNSUPPORTED, "attention_paged: %d tokens of %d heads are %lld tiles, expected at most %d", a.tokens, a.q_heads,
         static_cast<long long>(units), kMaxUnits);
  }
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(units, multiprocessors));
  allow_shared_memory(attention_prefill_sm90_kernel<T, kDim, false>, kSharedBytes<kDim>);
  attention_prefill_sm90_kernel<T, kDim, false><<<blocks, kThreads, kSharedBytes<kDim>, stream>>>(
      a, maps.find(key_boxes(a)), maps.find(value_boxes(a)), page_slots(a));
  check(cudaGetLastError(), "attention_paged: Hopper launch");
}

template <typename T, int kDim>
void launch_split(const AttentionArgs& a, TensorMaps& maps, int multiprocessors, cudaStream_t stream) {
  const auto kernel = attention_prefill_sm90_kernel<T, kDim, true>;
  allow_shared_memory(kernel, kSharedBytes<kDim>);
  launch_overlapped("attention_paged: split Hopper launch", stream, a.overlap, kernel, static_cast<unsigned>(multiprocessors), kThreads,
                    kSharedBytes<kDim>, a, maps.find(key_boxes(a)), maps.find(value_boxes(a)), page_slots(a));
  launch_wgmma_split_merge(a, multiprocessors, stream);
}

// Calls body with the types of q and the head dimension as constants.
template <typename Body>
void with_variant(const AttentionArgs& a, Body&& body) {
  using Dim64 = std::integral_constant<int, 64>;
  using Dim128 = std::integral_constant<int, 128>;
  const bool half = a.q_dtype == VN_DTYPE_F16;
  if (a.key_dim == 64) {
    half ? body(__half(), Dim64()) : body(__nv_bfloat16(), Dim64());
  } else {
    half ? body(__half(), Dim128()) : body(__nv_bfloat16(), Dim128());
  }
}

}  // namespace

bool prefill_sm90_supports(const AttentionArgs& a, int capability) {
  constexpr int kHopper = 90;  // code for sm_90a runs nowhere else
  return capability == kHopper && a.cache_dtype == a.q_dtype && (a.key_dim == 64 || a.key_dim == 128) && kSharedBytes<128> <= a.shared_limit &&
         a.block_size % 8 == 0 && a.scale > 0.0f &&  // the largest score is found before scaling
         aligned_for_tiles(a) && can_map(key_boxes(a)) && can_map(value_boxes(a));
}

bool prefill_sm90_fills(const AttentionArgs& a) { return static_cast<int64_t>(a.max_query_len) * a.group >= kRows; }

void launch_attention_prefill_sm90(AttentionArgs a, TensorMaps& maps, int multiprocessors, cudaStream_t stream) {
  if (a.rows == 1) a.counter = nullptr;
  if (a.counter) check(cudaMemsetAsync(a.counter, 0, sizeof *a.counter, stream), "attention_paged: cudaMemsetAsync");
  with_variant(a, [&](auto type, auto dim) { launch<decltype(type), dim>(a, maps, multiprocessors, stream); });
}

void launch_attention_prefill_sm90_split(const AttentionArgs& a, TensorMaps& maps, int multiprocessors, cudaStream_t stream) {
  with_variant(a, [&](auto type, auto dim) { launch_split<decltype(type), dim>(a, maps, multiprocessors, stream); });
}

}  // namespace vn::cuda
