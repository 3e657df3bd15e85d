// What the blocks of gemm_sm90.cu share: their parameters, where each is in the product, and the ring through which W and x reach
// the tensor cores.
#pragma once

#include <cstdint>

#include "cuda/mbarrier.cuh"
#include "cuda/tensor_maps.h"
#include "cuda/tma.cuh"
#include "cuda/warp_mma.cuh"
#include "cuda/wgmma.cuh"

namespace vn::cuda::sm90 {

constexpr int kWarpgroup = 128;  // threads
constexpr int kGroupRows = 64;   // of W: M of wgmma
constexpr int kConsumers = 2 * kWarpgroup;
constexpr int kWThread = kConsumers, kXThread = kConsumers + 32;  // they fetch
constexpr int kThreads = kConsumers + 64;
constexpr int kTileRows = 2 * kGroupRows;
constexpr int kStep = kBoxElements;  // of K
constexpr int kTileBytes = kTileRows * wgmma::kRowBytes;

struct Params {
  const void* bias;
  void* y;
  int64_t y_stride;
  int64_t n;
  int m;
  int steps;
  int parts;
  int tiles;  // in all
  int tiles_each;
  int32_t bias_dtype;
  int32_t y_dtype;
  bool whole_groups;  // of y: full and aligned for vectors
};

// Of the ring, as many as fit.
template <int kColumns>
constexpr int kSlots = kColumns <= 16 ? 6 : kColumns == 32 ? 5 : kColumns <= 64 ? 4 : 3;

template <int kColumns>
struct __align__(wgmma::kAtomBytes) Shared {
  unsigned char w[kSlots<kColumns>][kTileBytes];
  unsigned char x[kSlots<kColumns>][kColumns * wgmma::kRowBytes];
  uint64_t full[kSlots<kColumns>];  // a step's W and x are there
  uint64_t used[kSlots<kColumns>];  // they have been multiplied
};
template <int kColumns>
constexpr int kSharedBytes = sizeof(Shared<kColumns>);

// Where a block is in the product.
struct Place {
  int part;
  int first_row;     // of W
  int first_column;  // row of x and y
  int tiles;
  int first_step, steps;  // of each tile

  __device__ Place(const Params& p, int columns) {
    const int group = static_cast<int>(blockIdx.y);
    part = static_cast<int>(blockIdx.x) % p.parts;
    first_row = group * p.tiles_each * kTileRows;
    first_column = static_cast<int>(blockIdx.x) / p.parts * columns;
    tiles = min(p.tiles_each, p.tiles - group * p.tiles_each);
    first_step = static_cast<int>(int64_t{part} * p.steps / p.parts);
    steps = static_cast<int>(int64_t{part + 1} * p.steps / p.parts) - first_step;
  }
};

// A slot of the ring, and the parity of the round that it is in.
template <int kCount>
struct Cursor {
  int slot = 0;
  uint32_t full = 0;

  __device__ uint32_t used() const { return full ^ 1; }  // of the round before; the first finds every slot used
  __device__ void advance() {
    if (++slot < kCount) return;
    slot = 0;
    full ^= 1;
  }
};

// The thread that fetches W.
template <int kColumns>
struct WFetcher {
  Shared<kColumns>& s;
  const CUtensorMap& map;
  const Place& at;
  const uint64_t policy;
  Cursor<kSlots<kColumns>> cursor = {};
  int left, step = 0, row;

  // W is read once, unless rows of x are too many for one block.
  __device__ WFetcher(Shared<kColumns>& shared, const CUtensorMap& w, const Place& place, bool once)
      : s(shared), map(w), at(place), policy(once ? evict_first_policy() : evict_normal_policy()),
        left(place.tiles * place.steps), row(place.first_row) {}

  __device__ void init() {
    prefetch_map(map);
    for (int i = 0; i < kSlots<kColumns>; ++i) {
      mbarrier_init(shared_address(&s.full[i]), 2);
      mbarrier_init(shared_address(&s.used[i]), kConsumers / 32);
    }
    mbarrier_init_fence();
    async_proxy_fence();
  }
  __device__ void run(int count) {
    for (count = min(count, left); count > 0; --count, --left, cursor.advance()) {
      const uint32_t full = shared_address(&s.full[cursor.slot]);
      mbarrier_wait(shared_address(&s.used[cursor.slot]), cursor.used());
      mbarrier_arrive_expecting(full, kTileBytes);
      copy_box(shared_address(s.w[cursor.slot]), map, full, (at.first_step + step) * kStep, row, policy);
      if (++step < at.steps) continue;
      step = 0;
      row += kTileRows;
    }
  }
};

// The thread that fetches x, again for each tile.
template <int kColumns>
__device__ __forceinline__ void fetch_x(Shared<kColumns>& s, const CUtensorMap& map, const Place& at) {
  const uint64_t policy = evict_last_policy();
  Cursor<kSlots<kColumns>> cursor;
  for (int tile = 0; tile < at.tiles; ++tile) {
    for (int step = 0; step < at.steps; ++step, cursor.advance()) {
      const uint32_t full = shared_address(&s.full[cursor.slot]);
      mbarrier_wait(shared_address(&s.used[cursor.slot]), cursor.used());
      mbarrier_arrive_expecting(full, kColumns * wgmma::kRowBytes);
      copy_box(shared_address(s.x[cursor.slot]), map, full, (at.first_step + step) * kStep, at.first_column, policy);
    }
  }
}

}  // namespace vn::cuda::sm90
