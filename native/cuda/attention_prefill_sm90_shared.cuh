// What the warps of attention_prefill_sm90.cu share: sizes, the layout of shared memory, its barriers and the cursors that go
// through its rings.
#pragma once

#include "cuda/attention_split.cuh"
#include "cuda/attention_tile.cuh"
#include "cuda/attention_units.cuh"
#include "cuda/mbarrier.cuh"
#include "cuda/tensor_maps.h"
#include "cuda/wgmma.cuh"

namespace vn::cuda::prefill_sm90 {

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

constexpr int kChunk = kChunkElements<uint16_t>;
constexpr int kFetchers = kConsumers + 2;  // warps that fetch

// A place in a ring of kSlots, and the parity of the phase that it is in.
template <int kSlots>
struct Cursor {
  uint32_t count = 0;

  __device__ int slot() const { return static_cast<int>(count % kSlots); }
  __device__ uint32_t full() const { return count / kSlots & 1; }
  __device__ uint32_t empty() const { return full() ^ 1; }  // the first round finds every slot empty
  __device__ void advance() { ++count; }
};

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

}  // namespace vn::cuda::prefill_sm90
