// y[m][n] = sum over k of x[m][k] * W[n][k], + bias[n]: x [M, K], W [N, K], y [M, N], row-major; x and W bf16 or f16 (one dtype)
// with rows that the copy engine takes, y and bias of any floating dtype, sums in f32. Hopper (sm_90a).
//
// For decode batches: W is read once, and that is all the time there should be. So W is wgmma's A, 128 rows of it a tile, and x
// is B: as many columns as rows of x, rounded up. Two warpgroups compute, 64 rows of W each. Two more warps fetch steps of 64 of K
// through the copy engine, one W and one x, into a ring; W is requested before the wait for the kernel ahead (launch.cuh).
//
// A product has at most a block for each multiprocessor, while two fit: so every multiprocessor has room for a block of the next
// one, which fills its ring before this one ends, and small kernels between them begin as early. Blocks that crowd onto half of the
// multiprocessors would not get all of the bandwidth. Large matrices give a block several tiles, one after the other. Small ones
// give a tile to a cluster of blocks: its `parts` divide K, each then adds up a share of the tile out of all parts' shared memory;
// no workspace, no counters.
//
// gemm_sm90_deep.cu balances this otherwise and is faster for most decode batches; this kernel takes any number of rows.
//
// The bits of a row of y depend on the row of x, W, K and N alone: parts_of() does not look at M, each part adds its steps
// of 16 in order, the parts are added in order, and an element of wgmma's result depends on its row and column alone, whatever
// the shape of the instruction. Deterministic devices build on this; parity_deterministic_gemm_test compares the bits.
//
// Grid: (parts of each kColumns rows of x, groups of tiles of W). Shared memory: the ring, up to 108 KB.
// Bound: bytes of W up to about 128 rows, then x through the second-level cache and tensor operations.
// Ideas: the roles of W and x as in the skinny kernel, warp specialisation as in CUTLASS.
#include <climits>
#include <cstddef>

#include "cuda/check.h"
#include "cuda/cluster.cuh"
#include "cuda/gemm.h"
#include "cuda/gemm_sm90_ring.cuh"
#include "cuda/gemm_values.cuh"
#include "cuda/launch.cuh"

namespace vn::cuda {
namespace {

using namespace sm90;

constexpr int kBlocks = 2;  // on a multiprocessor
constexpr int kTileRows = 2 * kGroupRows;
// With as many slots as fit.
template <int kColumns>
using TileOf = Tile<2, kColumns, kColumns <= 16 ? 6 : kColumns == 32 ? 5 : kColumns <= 64 ? 4 : 3>;
constexpr int kMaxParts = 8;
constexpr int kGroup = 4;  // elements of y that a thread stores at a time

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// The next kernel is released when the ring is full for the first time; for up to 16 rows when so many steps of W are left, which was
// measured to be faster by 10% where small kernels lie between products, and for no other number of rows.
template <int kColumns>
constexpr bool kReleasesLate = kColumns == 16;
constexpr int kLateSteps = 4;

constexpr int kTileGroups = kTileRows / kGroup;
constexpr int kSumStride = kTileRows + 4;  // floats from one row of y to the next in shared memory: no bank conflicts

// What one thread has of a tile's sums, as multiply_steps() leaves it.
template <typename T, int kColumns>
struct Sums {
  float d[kColumns / 2];

  // Calls act(row of x, row of W, sum) for each of the tile's.
  template <typename Act>
  __device__ void each(int rows, Act&& act) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int n = static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4, m = lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < kColumns / 8; ++j) {
      if (j * 8 >= rows) break;
      act(m + 8 * j, n, d[4 * j]);
      act(m + 8 * j + 1, n, d[4 * j + 1]);
      act(m + 8 * j, n + 8, d[4 * j + 2]);
      act(m + 8 * j + 1, n + 8, d[4 * j + 3]);
    }
  }

  // Into shared memory as [row of x][row of W], over the ring, from which everything has been read.
  static_assert(kColumns * kSumStride * 4 <= offsetof(Shared<TileOf<kColumns>>, full));
  __device__ void share(float* sums, int rows) const {
    each(rows, [&](int m, int n, float sum) { sums[m * kSumStride + n] = sum; });
  }

  // Straight into y: 16 or 32 bytes of a row at a time.
  __device__ void store(const Params& p, int first_column, int64_t first_row, int rows) const {
    const auto store_as = [&](auto* y) {
      using Y = std::remove_pointer_t<decltype(y)>;
      const int64_t mine = first_row + static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4;
      float bias[2] = {};
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (p.bias && mine + 8 * i < p.n) bias[i] = read_value(p.bias, p.bias_dtype, mine + 8 * i);
      }
      each(rows, [&](int m, int n, float sum) {
        const float with_bias = p.bias ? sum + bias[(n & 8) != 0] : sum;
        if (m < rows && first_row + n < p.n) y[(first_column + m) * p.y_stride + first_row + n] = rounded<Y>(with_bias);
      });
    };
    switch (p.y_dtype) {
      case VN_DTYPE_F32: return store_as(static_cast<float*>(p.y));
      case VN_DTYPE_F16: return store_as(static_cast<__half*>(p.y));
      default: return store_as(static_cast<__nv_bfloat16*>(p.y));
    }
  }
};

__device__ __forceinline__ void store_group(const Params& p, int64_t row, int64_t n, float (&v)[kGroup]) {
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
#pragma unroll
  for (int j = 0; j < kParts; ++j) part[j] = cluster_load(cluster_address(shared_address(sums), static_cast<uint32_t>(j)));
  v[0] = part[0].x, v[1] = part[0].y, v[2] = part[0].z, v[3] = part[0].w;
#pragma unroll
  for (int j = 1; j < kParts; ++j) v[0] += part[j].x, v[1] += part[j].y, v[2] += part[j].z, v[3] += part[j].w;
}

// This block's share of the tile's rows of y. Others may end once it has read their sums: it says so before it waits for memory.
template <int kParts, int kColumns>
__device__ __forceinline__ void finish(const float* sums, const Params& p, const Place& at, int rows) {
  constexpr int kRounds = (kColumns * kTileGroups / kParts + TileOf<kColumns>::kConsumers - 1) / TileOf<kColumns>::kConsumers;
  const int share = rows * kTileGroups / kParts;
  float v[kRounds][kGroup];
  const auto each = [&](auto&& act) {
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      const int i = round * TileOf<kColumns>::kConsumers + static_cast<int>(threadIdx.x);
      if (i < share) act(v[round], (at.part * share + i) / kTileGroups, (at.part * share + i) % kTileGroups * kGroup);
    }
  };
  each([&](float(&of)[kGroup], int row, int n) { add_group<kParts>(sums + row * kSumStride + n, of); });
  cluster_arrive_all();
  await_earlier_kernels();  // who may still read what y held
  each([&](float(&of)[kGroup], int row, int n) {
    if (at.first_row + n < p.n) store_group(p, at.first_column + row, int64_t{at.first_row} + n, of);
  });
}

#endif

// Compiled for sm_90a alone; elsewhere it is empty and never launched.
template <typename T, int kColumns>
__global__ void __launch_bounds__(TileOf<kColumns>::kThreads, kBlocks)
    gemm_sm90_kernel(const __grid_constant__ CUtensorMap w_map, const __grid_constant__ CUtensorMap x_map, const Params p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Block = TileOf<kColumns>;
  extern __shared__ __align__(wgmma::kAtomBytes) unsigned char raw[];
  auto& s = *reinterpret_cast<Shared<Block>*>(raw);
  const Place at(p, Block{});
  WFetcher<Block> w_fetcher(s, w_map, at, p.m <= kColumns);
  if (threadIdx.x == Block::kWThread) {
    w_fetcher.init();
    w_fetcher.run(Block::kSlots);
    if (!kReleasesLate<kColumns>) release_next_kernel();
  }
  __syncthreads();
  const int rows = min(kColumns, p.m - at.first_column);
  const auto sums = reinterpret_cast<float*>(raw);
  if (threadIdx.x < Block::kConsumers) {
    Sums<T, kColumns> mine;
    Cursor<Block::kSlots> cursor;
    for (int tile = 0; tile < at.tiles; ++tile) {
      multiply_steps<T>(mine.d, s, cursor, at.steps);
      if (p.parts > 1) break;
      await_earlier_kernels();  // who may still read what y held
      mine.store(p, at.first_column, int64_t{at.first_row} + tile * kTileRows, rows);
    }
    if (p.parts > 1) {
      named_barrier_sync(1, Block::kConsumers);
      mine.share(sums, rows);
    }
  } else if (threadIdx.x == Block::kWThread) {
    if (kReleasesLate<kColumns>) {
      w_fetcher.run(w_fetcher.left - kLateSteps);
      release_next_kernel();
    }
    w_fetcher.run(INT_MAX);
  } else if (threadIdx.x == Block::kXThread) {
    await_earlier_kernels();
    fetch_x(s, x_map, p, at);
  }
  if (p.parts == 1) return;
  __syncwarp();
  cluster_sync();
  if (threadIdx.x < Block::kConsumers) {
    switch (p.parts) {
      case 2: finish<2, kColumns>(sums, p, at, rows); break;
      case 4: finish<4, kColumns>(sums, p, at, rows); break;
      default: finish<8, kColumns>(sums, p, at, rows); break;
    }
  } else {
    cluster_arrive_all();
  }
  cluster_wait_all();
#endif
}

int64_t tiles_of(int64_t n) { return (n + kTileRows - 1) / kTileRows; }
int64_t steps_of(int64_t k) { return (k + kStep - 1) / kStep; }

constexpr int64_t kMultiprocessors = 132;  // of an H100

// As many as leave each block a multiprocessor and at least two steps. Looks neither at M nor at the chip: a row's bits depend on it.
int parts_of(int64_t n, int64_t k) {
  int parts = 1;
  while (parts < kMaxParts && tiles_of(n) * parts * 2 <= kMultiprocessors && steps_of(k) >= 4 * parts) parts *= 2;
  return parts;
}

template <typename T, int kColumns>
void launch(const GemmProblem& p, bool overlap, cudaStream_t stream) {
  using Block = TileOf<kColumns>;
  const int parts = parts_of(p.n, p.k);
  const int64_t group_bytes = kGroup * dtype_size(p.y_dtype);
  const bool whole_groups = p.n % kGroup == 0 && p.y_stride % kGroup == 0 && reinterpret_cast<uintptr_t>(p.y) % group_bytes == 0;
  // A block takes several tiles where that leaves one for each multiprocessor; rows of x are cut up where those are many.
  const int64_t tiles = tiles_of(p.n), tiles_each = p.m > kColumns ? 1 : (tiles + kMultiprocessors - 1) / kMultiprocessors;
  const Params params{p.bias, p.y, p.y_stride, p.n, static_cast<int>(p.m), static_cast<int>(steps_of(p.k)), parts,
                      static_cast<int>(tiles), static_cast<int>(tiles_each), box_rows<Block>(p.m), p.bias_dtype, p.y_dtype,
                      whole_groups};
  constexpr int kSharedBytes = sizeof(Shared<Block>);
  const auto kernel = gemm_sm90_kernel<T, kColumns>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes),
        "gemm: cudaFuncSetAttribute of the Hopper kernel");
  const auto cluster = static_cast<unsigned>(parts);
  const dim3 grid(cluster * static_cast<unsigned>((p.m + kColumns - 1) / kColumns),
                  static_cast<unsigned>((tiles + tiles_each - 1) / tiles_each));
  launch_overlapped_clusters("gemm: launch of the Hopper kernel", stream, overlap, kernel, grid, cluster, Block::kThreads,
                             kSharedBytes, map_of(MatrixBoxes{p.w, p.n, p.k, p.k, kTileRows}),
                             map_of(MatrixBoxes{p.x, p.m, p.k, p.x_stride, params.x_rows}), params);
}

template <typename T>
void launch_columns(const GemmProblem& p, bool overlap, cudaStream_t stream) {
  if (p.m <= 8) return launch<T, 8>(p, overlap, stream);
  if (p.m <= 16) return launch<T, 16>(p, overlap, stream);
  if (p.m <= 32) return launch<T, 32>(p, overlap, stream);
  if (p.m <= 48) return launch<T, 48>(p, overlap, stream);
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
