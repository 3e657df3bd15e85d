// y[m][n] = sum over k of x[m][k] * W[n][k], + bias[n]: x [M, K], W [N, K], y [M, N], row-major; x and W bf16 or f16 (one dtype)
// with rows that the copy engine takes, y and bias of any floating dtype, sums in f32. Hopper (sm_90a).
//
// For decode batches: W is read once, and that is all the time there should be. So W is wgmma's A, 128 rows of it a block, and x
// is B: as many columns as rows of x, rounded up. Two warpgroups compute, 64 rows of W each; one thread fetches steps of 64
// of K through the copy engine, W far ahead in a ring of its own.
// W is requested before the wait for the kernel ahead (launch.cuh), and two blocks fit a multiprocessor: this kernel fills its
// rings while the one ahead ends. The next one is released when the last of W has been requested, not before: blocks that begin
// much earlier crowd onto the multiprocessors that happen to be free.
//
// A cluster of blocks shares a product of few tiles: `parts` of them divide K, each then adds up a share of the tile out of all
// parts' shared memory; no workspace, no counters.
//
// The bits of a row of y depend on the row of x, W, K and N alone: parts_of() does not look at M, each part adds its steps
// of 16 in order, the parts are added in order, and an element of wgmma's result depends on its row and column alone, whatever
// the shape of the instruction. Deterministic devices build on this; parity_deterministic_test compares the bits.
//
// Grid: (parts of each kColumns rows of x, tiles of W). Shared memory: the rings, up to 112 KB.
// Bound: bytes of W up to about 128 rows, then x through the second-level cache and tensor operations.
// Ideas: the roles of W and x as in the skinny kernel, warp specialisation as in CUTLASS.
#include <algorithm>

#include "cuda/check.h"
#include "cuda/cluster.cuh"
#include "cuda/gemm.h"
#include "cuda/gemm_values.cuh"
#include "cuda/launch.cuh"
#include "cuda/mbarrier.cuh"
#include "cuda/tensor_maps.h"
#include "cuda/tma.cuh"
#include "cuda/warp_mma.cuh"
#include "cuda/wgmma.cuh"

namespace vn::cuda {
namespace {

constexpr int kWarpgroup = 128;  // threads
constexpr int kGroupRows = 64;   // of W: M of wgmma
constexpr int kConsumers = 2 * kWarpgroup;
constexpr int kThreads = kConsumers + 32;
constexpr int kTileRows = 2 * kGroupRows;
constexpr int kStep = kBoxElements;  // of K
constexpr int kTileBytes = kTileRows * wgmma::kRowBytes;
constexpr int kMaxParts = 8;
constexpr int kGroup = 4;  // elements of y that a thread stores at a time

struct Sm90Params {
  const void* bias;
  void* y;
  int64_t y_stride;
  int64_t n;
  int m;
  int steps;
  int parts;
  int32_t bias_dtype;
  int32_t y_dtype;
  bool whole_groups;  // of y: full and aligned for vectors
};

constexpr int kBlocks = 2;  // on a multiprocessor

// Slots of the rings, as many as fit.
template <int kColumns>
constexpr int kWSlots = kColumns <= 32 ? 6 : kColumns == 64 ? 5 : 4;
template <int kColumns>
constexpr int kXSlots = kColumns <= 16 ? 6 : kColumns <= 64 ? 4 : 3;

template <int kColumns>
struct __align__(wgmma::kAtomBytes) Shared {
  unsigned char w[kWSlots<kColumns>][kTileBytes];
  unsigned char x[kXSlots<kColumns>][kColumns * wgmma::kRowBytes];
  uint64_t w_full[kWSlots<kColumns>], x_full[kXSlots<kColumns>];
  uint64_t used[kWSlots<kColumns>];  // a step's W and x have been multiplied
};
template <int kColumns>
constexpr int kSharedBytes = sizeof(Shared<kColumns>);

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kConsumerWarps = kConsumers / 32;
constexpr int kTileGroups = kTileRows / kGroup;
constexpr int kSumStride = kTileRows + 4;  // floats from one row of y to the next in shared memory: no bank conflicts

// Where a block is in the product.
struct Place {
  int part;
  int first_row;     // of W
  int first_column;  // row of x and y
  int first_step, steps;

  __device__ Place(const Sm90Params& p, int columns) {
    part = static_cast<int>(blockIdx.x) % p.parts;
    first_row = static_cast<int>(blockIdx.y) * kTileRows;
    first_column = static_cast<int>(blockIdx.x) / p.parts * columns;
    first_step = static_cast<int>(int64_t{part} * p.steps / p.parts);
    steps = static_cast<int>(int64_t{part + 1} * p.steps / p.parts) - first_step;
  }
};

template <int kColumns>
struct Fetcher {
  static constexpr int kDeep = kWSlots<kColumns>, kXDeep = kXSlots<kColumns>;
  Shared<kColumns>& s;
  const CUtensorMap &w_map, &x_map;
  const Place at;
  const uint64_t w_policy, x_policy = evict_last_policy();

  // W is read once, unless rows of x are too many for one block.
  __device__ Fetcher(Shared<kColumns>& shared, const CUtensorMap& w, const CUtensorMap& x, const Place& place, const Sm90Params& p)
      : s(shared), w_map(w), x_map(x), at(place), w_policy(p.m <= kColumns ? evict_first_policy() : evict_normal_policy()) {}

  __device__ void fetch_w(int i) const {
    const uint32_t full = shared_address(&s.w_full[i % kDeep]);
    mbarrier_arrive_expecting(full, kTileBytes);
    copy_box(shared_address(s.w[i % kDeep]), w_map, full, (at.first_step + i) * kStep, at.first_row, w_policy);
  }
  __device__ void fetch_x(int i) const {
    const uint32_t full = shared_address(&s.x_full[i % kXDeep]);
    mbarrier_arrive_expecting(full, kColumns * wgmma::kRowBytes);
    copy_box(shared_address(s.x[i % kXDeep]), x_map, full, (at.first_step + i) * kStep, at.first_column, x_policy);
  }
  __device__ void begin() const {
    prefetch_map(w_map);
    prefetch_map(x_map);
    for (int i = 0; i < kDeep; ++i) {
      mbarrier_init(shared_address(&s.w_full[i]), 1);
      mbarrier_init(shared_address(&s.used[i]), kConsumerWarps);
    }
    for (int i = 0; i < kXDeep; ++i) mbarrier_init(shared_address(&s.x_full[i]), 1);
    mbarrier_init_fence();
    async_proxy_fence();
    for (int i = 0; i < kDeep && i < at.steps; ++i) fetch_w(i);
    if (at.steps <= kDeep) release_next_kernel();
  }
  // A step's end frees a slot of either ring.
  __device__ void run() const {
    for (int i = 0; i < kXDeep && i < at.steps; ++i) fetch_x(i);
    for (int i = 0; i + kXDeep < at.steps; ++i) {
      mbarrier_wait(shared_address(&s.used[i % kDeep]), i / kDeep & 1);
      if (i + kDeep < at.steps) fetch_w(i + kDeep);
      if (i + kDeep + 1 == at.steps) release_next_kernel();
      fetch_x(i + kXDeep);
    }
  }
};

// The block's part of the sums, into shared memory as [row of y][row of W] over the rings.
template <typename T, int kColumns>
__device__ __forceinline__ void multiply(Shared<kColumns>& s, const Place& at, int rows) {
  constexpr int kDeep = kWSlots<kColumns>, kXDeep = kXSlots<kColumns>;
  static_assert(kColumns * kSumStride * 4 <= sizeof s.w + sizeof s.x);
  constexpr int kInFlight = kXDeep > 3 ? 1 : 0;  // steps; slots that wait for this are missed where they are few
  const int group = static_cast<int>(threadIdx.x) / kWarpgroup, lane = static_cast<int>(threadIdx.x) % 32;
  float d[kColumns / 2] = {};
  wgmma::pin(d);
  for (int i = 0; i < at.steps; ++i) {
    mbarrier_wait(shared_address(&s.w_full[i % kDeep]), i / kDeep & 1);
    mbarrier_wait(shared_address(&s.x_full[i % kXDeep]), i / kXDeep & 1);
    const auto tile = [](const unsigned char* data) { return wgmma::descriptor(shared_address(data), wgmma::kAtomBytes, 0); };
    const uint64_t w = tile(s.w[i % kDeep] + group * kGroupRows * wgmma::kRowBytes), x = tile(s.x[i % kXDeep]);
    wgmma::fence();
#pragma unroll
    for (int k = 0; k < kStep / 16; ++k) {
      wgmma::multiply_rows<T>(d, wgmma::advance(w, 32 * k), wgmma::advance(x, 32 * k), true);
    }
    wgmma::commit();
    wgmma::wait<kInFlight>();
    if (i >= kInFlight && lane == 0) mbarrier_arrive(shared_address(&s.used[(i - kInFlight) % kDeep]));
  }
  wgmma::wait<0>(d);
  named_barrier_sync(1, kConsumers);  // nobody multiplies out of the rings any more, and all copies have arrived

  const int warp = static_cast<int>(threadIdx.x) % kWarpgroup / 32;
  float* const sums = reinterpret_cast<float*>(&s) + lane % 4 * 2 * kSumStride + group * kGroupRows + warp * 16 + lane / 4;
#pragma unroll
  for (int j = 0; j < kColumns / 8; ++j) {
    if (j * 8 >= rows) break;
    float* const to = sums + j * 8 * kSumStride;
    to[0] = d[4 * j];
    to[kSumStride] = d[4 * j + 1];
    to[8] = d[4 * j + 2];
    to[kSumStride + 8] = d[4 * j + 3];
  }
}

__device__ __forceinline__ void store_group(const Sm90Params& p, int64_t row, int64_t n, float (&v)[kGroup]) {
  if (p.bias) {
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      if (n + i < p.n) v[i] += read_value(p.bias, p.bias_dtype, n + i);
    }
  }
  const int64_t at = row * p.y_stride + n;
  if (!p.whole_groups) {
    for (int i = 0; i < kGroup && n + i < p.n; ++i) write_value(p.y, p.y_dtype, at + i, v[i]);
  } else if (p.y_dtype == VN_DTYPE_F32) {
    *reinterpret_cast<float4*>(static_cast<float*>(p.y) + at) = make_float4(v[0], v[1], v[2], v[3]);
  } else {
    const auto store = [&](auto* y) {
      using Y = std::remove_pointer_t<decltype(y)>;
      __align__(8) Y rounded_v[kGroup];
#pragma unroll
      for (int i = 0; i < kGroup; ++i) rounded_v[i] = rounded<Y>(v[i]);
      *reinterpret_cast<uint2*>(y + at) = *reinterpret_cast<const uint2*>(rounded_v);
    };
    p.y_dtype == VN_DTYPE_F16 ? store(static_cast<__half*>(p.y)) : store(static_cast<__nv_bfloat16*>(p.y));
  }
}

// All parts' sums for one group, added in order.
template <int kParts>
__device__ __forceinline__ void add_group(const float* sums, float (&v)[kGroup]) {
  float4 part[kParts];
  if constexpr (kParts == 1) {
    part[0] = *reinterpret_cast<const float4*>(sums);
  } else {
#pragma unroll
    for (int j = 0; j < kParts; ++j) part[j] = cluster_load(cluster_address(shared_address(sums), static_cast<uint32_t>(j)));
  }
  v[0] = part[0].x, v[1] = part[0].y, v[2] = part[0].z, v[3] = part[0].w;
#pragma unroll
  for (int j = 1; j < kParts; ++j) v[0] += part[j].x, v[1] += part[j].y, v[2] += part[j].z, v[3] += part[j].w;
}

// This block's share of the tile's rows of y. Others may end once it has read their sums: it says so before it waits for memory.
template <int kParts, int kColumns>
__device__ __forceinline__ void finish(const float* sums, const Sm90Params& p, const Place& at, int rows) {
  constexpr int kRounds = (kColumns * kTileGroups / kParts + kConsumers - 1) / kConsumers;
  const int share = rows * kTileGroups / kParts;
  float v[kRounds][kGroup];
  const auto each = [&](auto&& act) {
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      const int i = round * kConsumers + static_cast<int>(threadIdx.x);
      if (i < share) act(v[round], (at.part * share + i) / kTileGroups, (at.part * share + i) % kTileGroups * kGroup);
    }
  };
  each([&](float(&of)[kGroup], int row, int n) { add_group<kParts>(sums + row * kSumStride + n, of); });
  if (kParts > 1) cluster_arrive_all();
  await_earlier_kernels();  // who may still read what y held
  each([&](float(&of)[kGroup], int row, int n) {
    if (at.first_row + n < p.n) store_group(p, at.first_column + row, int64_t{at.first_row} + n, of);
  });
}

#endif

// Compiled for sm_90a alone; elsewhere it is empty and never launched.
template <typename T, int kColumns>
__global__ void __launch_bounds__(kThreads, kBlocks)
    gemm_sm90_kernel(const __grid_constant__ CUtensorMap w_map, const __grid_constant__ CUtensorMap x_map, const Sm90Params p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(wgmma::kAtomBytes) unsigned char raw[];
  auto& s = *reinterpret_cast<Shared<kColumns>*>(raw);
  const Place at(p, kColumns);
  const bool fetches = threadIdx.x == kConsumers;
  if (fetches) Fetcher<kColumns>(s, w_map, x_map, at, p).begin();
  __syncthreads();
  const int rows = min(kColumns, p.m - at.first_column);
  if (threadIdx.x < kConsumers) {
    multiply<T>(s, at, rows);
  } else if (fetches) {
    await_earlier_kernels();
    Fetcher<kColumns>(s, w_map, x_map, at, p).run();
  }
  __syncwarp();
  p.parts == 1 ? __syncthreads() : cluster_sync();
  if (threadIdx.x < kConsumers) {
    const float* const sums = reinterpret_cast<const float*>(raw);
    switch (p.parts) {
      case 1: finish<1, kColumns>(sums, p, at, rows); break;
      case 2: finish<2, kColumns>(sums, p, at, rows); break;
      case 4: finish<4, kColumns>(sums, p, at, rows); break;
      default: finish<8, kColumns>(sums, p, at, rows); break;
    }
  } else if (p.parts > 1) {
    cluster_arrive_all();
  }
  if (p.parts > 1) cluster_wait_all();
#endif
}

int64_t tiles_of(int64_t n) { return (n + kTileRows - 1) / kTileRows; }
int64_t steps_of(int64_t k) { return (k + kStep - 1) / kStep; }

// As many as leave each block of an H100 a part of its own, of at least two steps. Looks neither at M nor at the chip: a row's bits
// depend on it.
int parts_of(int64_t n, int64_t k) {
  constexpr int64_t kMultiprocessors = 132;
  int parts = 1;
  while (parts < kMaxParts && tiles_of(n) * parts * 2 <= kMultiprocessors && steps_of(k) >= 4 * parts) parts *= 2;
  return parts;
}

template <typename T, int kColumns>
void launch(const GemmProblem& p, bool overlap, cudaStream_t stream) {
  const int parts = parts_of(p.n, p.k);
  const int64_t group_bytes = kGroup * dtype_size(p.y_dtype);
  const bool whole_groups = p.n % kGroup == 0 && p.y_stride % kGroup == 0 && reinterpret_cast<uintptr_t>(p.y) % group_bytes == 0;
  const Sm90Params params{p.bias, p.y,   p.y_stride,   p.n,       static_cast<int>(p.m), static_cast<int>(steps_of(p.k)),
                          parts,  p.bias_dtype, p.y_dtype, whole_groups};
  const auto kernel = gemm_sm90_kernel<T, kColumns>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<kColumns>),
        "gemm: cudaFuncSetAttribute of the Hopper kernel");
  const auto cluster = static_cast<unsigned>(parts);
  const dim3 grid(cluster * static_cast<unsigned>((p.m + kColumns - 1) / kColumns), static_cast<unsigned>(tiles_of(p.n)));
  launch_overlapped_clusters("gemm: launch of the Hopper kernel", stream, overlap, kernel, grid, cluster, kThreads,
                             kSharedBytes<kColumns>, map_of(MatrixBoxes{p.w, p.n, p.k, p.k, kTileRows}),
                             map_of(MatrixBoxes{p.x, p.m, p.k, p.x_stride, kColumns}), params);
}

template <typename T>
void launch_columns(const GemmProblem& p, bool overlap, cudaStream_t stream) {
  if (p.m <= 8) return launch<T, 8>(p, overlap, stream);
  if (p.m <= 16) return launch<T, 16>(p, overlap, stream);
  if (p.m <= 32) return launch<T, 32>(p, overlap, stream);
  if (p.m <= 64) return launch<T, 64>(p, overlap, stream);
  launch<T, 128>(p, overlap, stream);
}

}  // namespace

bool can_gemm_sm90(const GemmProblem& p, int capability) {
  constexpr int kHopper = 90;  // code for sm_90a runs nowhere else
  constexpr int64_t kMaxTiles = 65535, kMaxRows = int64_t{1} << 30;
  return capability == kHopper && p.x_dtype == p.w_dtype && p.w_dtype != VN_DTYPE_F32 && p.m <= kMaxRows &&
         tiles_of(p.n) <= kMaxTiles && can_map(MatrixBoxes{p.w, p.n, p.k, p.k, kTileRows}) &&
         can_map(MatrixBoxes{p.x, p.m, p.k, p.x_stride, kStep});
}

void launch_gemm_sm90(const GemmProblem& p, bool overlap, cudaStream_t stream) {
  if (p.w_dtype == VN_DTYPE_F16) {
    launch_columns<__half>(p, overlap, stream);
  } else {
    launch_columns<__nv_bfloat16>(p, overlap, stream);
  }
}

}  // namespace vn::cuda
