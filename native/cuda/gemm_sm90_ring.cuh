// What the blocks of gemm_sm90.cu and gemm_sm90_deep.cu share: their parameters, where each is in the product, and the ring through
// which W and x reach the tensor cores.
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
constexpr int kStep = kBoxElements;  // of K

// What a block computes at a time: 64 rows of W for each of its computing warpgroups, by columns, which are rows of x. Its ring has
// kSlots slots.
template <int kGroupCount, int kColumnCount, int kSlotCount>
struct Tile {
  static constexpr int kGroups = kGroupCount, kColumns = kColumnCount, kSlots = kSlotCount;
  static constexpr int kConsumers = kGroups * kWarpgroup;
  static constexpr int kWThread = kConsumers, kXThread = kConsumers + 32;  // they fetch
  static constexpr int kThreads = kConsumers + 64;
  static constexpr int kRows = kGroups * kGroupRows;
  static constexpr int kWBytes = kRows * wgmma::kRowBytes, kXBytes = kColumns * wgmma::kRowBytes;  // of a step
};

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
  int x_rows;  // that are copied at a time
  int32_t bias_dtype;
  int32_t y_dtype;
  bool whole_groups;  // of y: full and aligned for the vectors that are stored
};

template <typename Tile>
struct __align__(wgmma::kAtomBytes) Shared {
  unsigned char w[Tile::kSlots][Tile::kWBytes];
  unsigned char x[Tile::kSlots][Tile::kXBytes];
  uint64_t full[Tile::kSlots];  // a step's W and x are there
  uint64_t used[Tile::kSlots];  // they have been multiplied
};

// Rows of x that a copy brings: no more than there are where one block takes all, since copies of rows beyond the end take long (128-row
// copies of 80 rows: 178 us a layer of Llama-3.1-8B, of 128 rows: 160). What stays unwritten enters sums that nobody stores.
template <typename Tile>
int box_rows(int64_t rows) {
  return rows < Tile::kColumns ? static_cast<int>(rows) : Tile::kColumns;
}

// Where a block is in the product.
struct Place {
  int part;
  int first_row;     // of W
  int first_column;  // row of x and y
  int tiles;
  int first_step, steps;  // of each tile

  template <typename Tile>
  __device__ Place(const Params& p, Tile) {
    const int group = static_cast<int>(blockIdx.y);
    part = static_cast<int>(blockIdx.x) % p.parts;
    first_row = group * p.tiles_each * Tile::kRows;
    first_column = static_cast<int>(blockIdx.x) / p.parts * Tile::kColumns;
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
template <typename Tile>
struct WFetcher {
  Shared<Tile>& s;
  const CUtensorMap& map;
  const Place& at;
  const uint64_t policy;
  Cursor<Tile::kSlots> cursor = {};
  int left, step = 0, row;

  // W is read once, unless rows of x are too many for one block.
  __device__ WFetcher(Shared<Tile>& shared, const CUtensorMap& w, const Place& place, bool once)
      : s(shared), map(w), at(place), policy(once ? evict_first_policy() : evict_normal_policy()),
        left(place.tiles * place.steps), row(place.first_row) {}

  __device__ void init() {
    prefetch_map(map);
    for (int i = 0; i < Tile::kSlots; ++i) {
      mbarrier_init(shared_address(&s.full[i]), 2);
      mbarrier_init(shared_address(&s.used[i]), Tile::kConsumers / 32);
    }
    mbarrier_init_fence();
    async_proxy_fence();
  }
  __device__ void run(int count) {
    for (count = min(count, left); count > 0; --count, --left, cursor.advance()) {
      const uint32_t full = shared_address(&s.full[cursor.slot]);
      mbarrier_wait(shared_address(&s.used[cursor.slot]), cursor.used());
      mbarrier_arrive_expecting(full, Tile::kWBytes);
      copy_box(shared_address(s.w[cursor.slot]), map, full, (at.first_step + step) * kStep, row, policy);
      if (++step < at.steps) continue;
      step = 0;
      row += Tile::kRows;
    }
  }
};

// The thread that fetches x, again for each tile.
template <typename Tile>
__device__ __forceinline__ void fetch_x(Shared<Tile>& s, const CUtensorMap& map, const Params& p, const Place& at) {
  const uint64_t policy = evict_last_policy();
  Cursor<Tile::kSlots> cursor;
  for (int tile = 0; tile < at.tiles; ++tile) {
    for (int step = 0; step < at.steps; ++step, cursor.advance()) {
      const uint32_t full = shared_address(&s.full[cursor.slot]);
      mbarrier_wait(shared_address(&s.used[cursor.slot]), cursor.used());
      mbarrier_arrive_expecting(full, p.x_rows * wgmma::kRowBytes);
      copy_box(shared_address(s.x[cursor.slot]), map, full, (at.first_step + step) * kStep, at.first_column, policy);
    }
  }
}

// What one thread of a computing warpgroup sums: of its warp's 16 rows of W two, of each 8 rows of x two.
template <typename T, typename Tile>
__device__ __forceinline__ void multiply_steps(float (&d)[Tile::kColumns / 2], Shared<Tile>& s, Cursor<Tile::kSlots>& cursor, int steps) {
  constexpr int kInFlight = Tile::kSlots > 3 ? 1 : 0;  // steps; slots that wait for this are missed where they are few
  const int group = static_cast<int>(threadIdx.x) / kWarpgroup, lane = static_cast<int>(threadIdx.x) % 32;
  const auto tile = [](const unsigned char* data) { return wgmma::descriptor(shared_address(data), wgmma::kAtomBytes, 0); };
  const auto release = [&](int slot) {
    if (lane == 0) mbarrier_arrive(shared_address(&s.used[slot]));
  };
  int last = 0;
#pragma unroll
  for (float& sum : d) sum = 0.0f;
  wgmma::pin(d);
  for (int i = 0; i < steps; ++i, cursor.advance()) {
    mbarrier_wait(shared_address(&s.full[cursor.slot]), cursor.full);
    const uint64_t w = tile(s.w[cursor.slot] + group * kGroupRows * wgmma::kRowBytes), x = tile(s.x[cursor.slot]);
    wgmma::fence();
#pragma unroll
    for (int k = 0; k < kStep / 16; ++k) {
      wgmma::multiply_rows<T>(d, wgmma::advance(w, 32 * k), wgmma::advance(x, 32 * k), true);
    }
    wgmma::commit();
    wgmma::wait<kInFlight>();
    if (i >= kInFlight) release(kInFlight == 0 ? cursor.slot : last);
    last = cursor.slot;
  }
  wgmma::wait<0>(d);
  if (kInFlight > 0) release(last);
}

}  // namespace vn::cuda::sm90
