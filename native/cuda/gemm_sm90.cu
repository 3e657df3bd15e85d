// y[m][n] = sum over k of x[m][k] * W[n][k], + bias[n]: x [M, K], W [N, K], y [M, N], row-major; x and W bf16 or f16 (one dtype)
// with rows that the copy engine takes, y and bias of any floating dtype, sums in f32. Hopper (sm_90a).
//
// For decode batches: W is read once, and that is all the time there should be. So W is wgmma's A, 128 rows of it a block, and x
// is B: as many columns as rows of x, rounded up. Two warpgroups compute, 64 rows of W each; one thread fetches steps of 64
// of K through the copy engine, W far ahead in a ring of its own.
// W is requested before the wait for the kernel ahead (launch.cuh), and two blocks fit a multiprocessor up to 128 rows of x: this
// kernel fills its rings while the one ahead still runs, and what follows it while this one ends.
//
// A cluster of blocks shares a product of few tiles: `parts` of them divide K, each then adds up a share of the tile out of all
// parts' shared memory; no workspace, no counters. Where x is as large as what is read of W, `pair` blocks with neighbouring
// tiles read it together: each fetches half of a step's x for both.
//
// The bits of a row of y depend on the row of x, W, K and N alone: parts_of() does not look at M, each part adds its steps
// of 16 in order, the parts are added in order, and an element of wgmma's result depends on its row and column alone, whatever
// the shape of the instruction. Deterministic devices build on this; parity_deterministic_test compares the bits.
//
// Grid: (clusters for kColumns rows of x each, tiles of W / pair). Shared memory: the rings, up to 112 KB (192 KB at 256 columns).
// Bound: bytes of W up to about 128 rows, then tensor operations.
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
constexpr int kMaxCluster = 8;
constexpr int kGroup = 8;  // elements of y that a thread stores at a time

struct Sm90Params {
  const void* bias;
  void* y;
  int64_t y_stride;
  int64_t n;
  int m;
  int steps;
  int parts;
  int pair;
  int32_t bias_dtype;
  int32_t y_dtype;
  bool whole_groups;  // of y: full and aligned for vectors
};

// Slots of the rings, as many as fit twice on a multiprocessor; once at 256 columns, whose sums take too many registers.
template <int kColumns>
constexpr int kBlocks = kColumns <= 128 ? 2 : 1;
template <int kColumns>
constexpr int kWSlots = kColumns <= 32 || kColumns == 256 ? 6 : kColumns == 64 ? 5 : 4;
template <int kColumns>
constexpr int kXSlots = kColumns <= 16 ? 6 : kColumns <= 64 ? 4 : 3;

template <int kColumns>
struct __align__(wgmma::kAtomBytes) Shared {
  unsigned char w[kWSlots<kColumns>][kTileBytes];
  unsigned char x[kXSlots<kColumns>][kColumns * wgmma::kRowBytes];
  uint64_t w_full[kWSlots<kColumns>], x_full[kXSlots<kColumns>];
  uint64_t used[kWSlots<kColumns>];  // a step's W and x have been multiplied, by this block and the other one of its pair
};
template <int kColumns>
constexpr int kSharedBytes = sizeof(Shared<kColumns>);

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kConsumerWarps = kConsumers / 32;
constexpr int kTileGroups = kTileRows / kGroup;
constexpr int kSumStride = kTileRows + 4;  // floats from one row of y to the next in shared memory: no bank conflicts

// Where a block is in the product and in its cluster.
struct Place {
  int rank, part, peer;  // peer: within the pair
  int first_row;         // of W
  int first_column;      // row of x and y
  int first_step, steps;

  __device__ Place(const Sm90Params& p, int columns) {
    const int cluster = p.parts * p.pair;
    rank = static_cast<int>(blockIdx.x) % cluster;
    part = rank / p.pair;
    peer = rank % p.pair;
    first_row = (static_cast<int>(blockIdx.y) * p.pair + peer) * kTileRows;
    first_column = static_cast<int>(blockIdx.x) / cluster * columns;
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
  const int pair;
  const uint64_t w_policy, x_policy = evict_last_policy();

  // W is read once, unless rows of x are too many for one block.
  __device__ Fetcher(Shared<kColumns>& shared, const CUtensorMap& w, const CUtensorMap& x, const Place& place, const Sm90Params& p)
      : s(shared), w_map(w), x_map(x), at(place), pair(p.pair),
        w_policy(p.m <= kColumns ? evict_first_policy() : evict_normal_policy()) {}

  __device__ void fetch_w(int i) const {
    const uint32_t full = shared_address(&s.w_full[i % kDeep]);
    mbarrier_arrive_expecting(full, kTileBytes);
    copy_box(shared_address(s.w[i % kDeep]), w_map, full, (at.first_step + i) * kStep, at.first_row, w_policy);
  }
  __device__ void fetch_x(int i) const {
    const uint32_t full = shared_address(&s.x_full[i % kXDeep]), to = shared_address(s.x[i % kXDeep]);
    const int k = (at.first_step + i) * kStep;
    mbarrier_arrive_expecting(full, kColumns * wgmma::kRowBytes);
    if (pair == 1) {
      copy_box(to, x_map, full, k, at.first_column, x_policy);
    } else {
      constexpr int kHalf = kColumns / 2;
      const auto both = static_cast<uint16_t>(3 << (at.rank - at.peer));
      copy_box_to(both, to + at.peer * kHalf * wgmma::kRowBytes, x_map, full, k, at.first_column + at.peer * kHalf, x_policy);
    }
  }
  __device__ void begin() const {
    prefetch_map(w_map);
    prefetch_map(x_map);
    for (int i = 0; i < kDeep; ++i) {
      mbarrier_init(shared_address(&s.w_full[i]), 1);
      mbarrier_init(shared_address(&s.used[i]), kConsumerWarps * pair);
    }
    for (int i = 0; i < kXDeep; ++i) mbarrier_init(shared_address(&s.x_full[i]), 1);
    mbarrier_init_fence();
    async_proxy_fence();
    for (int i = 0; i < kDeep && i < at.steps; ++i) fetch_w(i);
  }
  // A step's end frees a slot of either ring.
  __device__ void run() const {
    for (int i = 0; i < kXDeep && i < at.steps; ++i) fetch_x(i);
    for (int i = 0; i + kXDeep < at.steps; ++i) {
      mbarrier_wait(shared_address(&s.used[i % kDeep]), i / kDeep & 1);
      if (i + kDeep < at.steps) fetch_w(i + kDeep);
      fetch_x(i + kXDeep);
    }
  }
};

// Tells those who fetch into this block's slots, its own thread and the pair's other one.
template <int kColumns>
__device__ __forceinline__ void release(Shared<kColumns>& s, const Place& at, int pair, int i) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const uint32_t used = shared_address(&s.used[i % kWSlots<kColumns>]);
  if (pair == 1) {
    if (lane == 0) mbarrier_arrive(used);
  } else if (lane < pair) {
    cluster_arrive(cluster_address(used, static_cast<uint32_t>(at.rank - at.peer + lane)));
  }
}

// The block's part of the sums, into shared memory as [row of y][row of W] over the rings.
template <typename T, int kColumns>
__device__ __forceinline__ void multiply(Shared<kColumns>& s, const Place& at, int pair, int rows) {
  constexpr int kDeep = kWSlots<kColumns>, kXDeep = kXSlots<kColumns>;
  static_assert(kColumns * kSumStride * 4 <= sizeof s.w + sizeof s.x);
  const int group = static_cast<int>(threadIdx.x) / kWarpgroup;
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
    wgmma::wait<1>();
    if (i > 0) release<kColumns>(s, at, pair, i - 1);
  }
  wgmma::wait<0>(d);
  named_barrier_sync(1, kConsumers);  // nobody multiplies out of the rings any more, and all copies have arrived

  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) % kWarpgroup / 32;
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
    float4* const to = reinterpret_cast<float4*>(static_cast<float*>(p.y) + at);
    to[0] = make_float4(v[0], v[1], v[2], v[3]);
    to[1] = make_float4(v[4], v[5], v[6], v[7]);
  } else {
    const auto store = [&](auto* y) {
      using Y = std::remove_pointer_t<decltype(y)>;
      __align__(16) Y rounded_v[kGroup];
#pragma unroll
      for (int i = 0; i < kGroup; ++i) rounded_v[i] = rounded<Y>(v[i]);
      *reinterpret_cast<uint4*>(y + at) = *reinterpret_cast<const uint4*>(rounded_v);
    };
    p.y_dtype == VN_DTYPE_F16 ? store(static_cast<__half*>(p.y)) : store(static_cast<__nv_bfloat16*>(p.y));
  }
}

// This block's share of the tile's rows of y: all parts added in order.
template <int kParts>
__device__ __forceinline__ void add_parts(const void* shared, const Sm90Params& p, const Place& at, int rows) {
  const int groups = rows * kTileGroups, end = groups * (at.part + 1) / kParts;
  for (int i = groups * at.part / kParts + static_cast<int>(threadIdx.x); i < end; i += kConsumers) {
    const int row = i / kTileGroups, column = i % kTileGroups * kGroup;
    const int64_t n = int64_t{at.first_row} + column;
    if (n >= p.n) continue;
    const uint32_t sums = shared_address(shared) + (row * kSumStride + column) * 4;
    float4 part[kParts][2];
#pragma unroll
    for (int j = 0; j < kParts; ++j) {
      const uint32_t from = cluster_address(sums, static_cast<uint32_t>(j * p.pair + at.peer));
      part[j][0] = cluster_load(from);
      part[j][1] = cluster_load(from + 16);
    }
    float v[kGroup];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float4 sum = part[0][half];
#pragma unroll
      for (int j = 1; j < kParts; ++j) {
        sum.x += part[j][half].x;
        sum.y += part[j][half].y;
        sum.z += part[j][half].z;
        sum.w += part[j][half].w;
      }
      v[4 * half] = sum.x;
      v[4 * half + 1] = sum.y;
      v[4 * half + 2] = sum.z;
      v[4 * half + 3] = sum.w;
    }
    store_group(p, at.first_column + row, n, v);
  }
}

#endif

// Compiled for sm_90a alone; elsewhere it is empty and never launched.
template <typename T, int kColumns>
__global__ void __launch_bounds__(kThreads, kBlocks<kColumns>)
    gemm_sm90_kernel(const __grid_constant__ CUtensorMap w_map, const __grid_constant__ CUtensorMap x_map, const Sm90Params p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(wgmma::kAtomBytes) unsigned char raw[];
  auto& s = *reinterpret_cast<Shared<kColumns>*>(raw);
  const Place at(p, kColumns);
  const bool fetches = threadIdx.x == kConsumers;
  if (fetches) Fetcher<kColumns>(s, w_map, x_map, at, p).begin();
  const bool alone = p.parts * p.pair == 1;
  alone ? __syncthreads() : cluster_sync();
  release_next_kernel();
  const int rows = min(kColumns, p.m - at.first_column);
  if (threadIdx.x < kConsumers) {
    multiply<T>(s, at, p.pair, rows);
  } else if (fetches) {
    await_earlier_kernels();
    Fetcher<kColumns>(s, w_map, x_map, at, p).run();
  }
  __syncwarp();
  alone ? __syncthreads() : cluster_sync();
  if (threadIdx.x < kConsumers) {
    await_earlier_kernels();  // who may still read what y held
    switch (p.parts) {
      case 1: add_parts<1>(raw, p, at, rows); break;
      case 2: add_parts<2>(raw, p, at, rows); break;
      case 4: add_parts<4>(raw, p, at, rows); break;
      default: add_parts<8>(raw, p, at, rows); break;
    }
  }
  if (!alone) cluster_sync();  // others read this block's sums
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
  constexpr int kPairColumns = 64;  // beyond which x is as large as the tile of W
  const int parts = parts_of(p.n, p.k);
  const int pair = kColumns > kPairColumns && parts * 2 <= kMaxCluster && tiles_of(p.n) > 1 ? 2 : 1;
  const auto y_bytes = static_cast<int64_t>(dtype_size(p.y_dtype));
  const bool whole_groups = p.n % kGroup == 0 && p.y_stride * y_bytes % 16 == 0 && reinterpret_cast<uintptr_t>(p.y) % 16 == 0;
  const Sm90Params params{p.bias, p.y,  p.y_stride,   p.n,       static_cast<int>(p.m), static_cast<int>(steps_of(p.k)),
                          parts,  pair, p.bias_dtype, p.y_dtype, whole_groups};
  const auto kernel = gemm_sm90_kernel<T, kColumns>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<kColumns>),
        "gemm: cudaFuncSetAttribute of the Hopper kernel");
  const auto cluster = static_cast<unsigned>(parts * pair);
  const dim3 grid(cluster * static_cast<unsigned>((p.m + kColumns - 1) / kColumns),
                  static_cast<unsigned>((tiles_of(p.n) + pair - 1) / pair));
  launch_overlapped_clusters("gemm: launch of the Hopper kernel", stream, overlap, kernel, grid, cluster, kThreads,
                             kSharedBytes<kColumns>, map_of(MatrixBoxes{p.w, p.n, p.k, p.k, kTileRows}),
                             map_of(MatrixBoxes{p.x, p.m, p.k, p.x_stride, kColumns / pair}), params);
}

template <typename T>
void launch_columns(const GemmProblem& p, bool overlap, cudaStream_t stream) {
  if (p.m <= 8) return launch<T, 8>(p, overlap, stream);
  if (p.m <= 16) return launch<T, 16>(p, overlap, stream);
  if (p.m <= 32) return launch<T, 32>(p, overlap, stream);
  if (p.m <= 64) return launch<T, 64>(p, overlap, stream);
  if (p.m <= 128 || p.m > 256) return launch<T, 128>(p, overlap, stream);
  launch<T, 256>(p, overlap, stream);
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
