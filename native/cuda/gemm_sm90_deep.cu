// The product of gemm_sm90.cu for decode batches up to 128 rows, with another balance: a block is alone on its multiprocessor, so that
// nearly all of its shared memory is one deep ring, and what follows a tile's last step is short.
//
// At 128 rows a step of x is as large as one of W. A ring that leaves room for the next product's block then holds three steps, too
// few to keep the memory busy; this one holds six or eight. The next product's first fill begins later, when a block here ends, but is
// larger: 5 us of the memory's time, as long as the small kernels between products take.
//
// A tile has 64 rows of W (one computing warpgroup) where the matrix has few, so that no more than two blocks have to divide K, and
// 128 where there are more such tiles than multiprocessors. Two parts of a tile are added up by one exchange: each block sends the
// other its sums of half of the columns, and adds what it gets to its own. y goes through shared memory, in whole lines.
//
// A row's bits depend on x's row, W, K and N alone here too, but are not those of gemm_sm90.cu, which divides K otherwise: deterministic
// devices have that one for all row counts. The two do not mix within a step: blocks of that one would crowd where blocks of this end.
//
// Grid: (parts, tiles of W). Shared memory: up to 226 KB.
// Bound: bytes of W, and the time from a product's last step to the next one's first.
#include <climits>
#include <cstddef>

#include "cuda/check.h"
#include "cuda/cluster.cuh"
#include "cuda/dispatch.cuh"
#include "cuda/gemm.h"
#include "cuda/gemm_sm90_ring.cuh"
#include "cuda/gemm_values.cuh"
#include "cuda/launch.cuh"

namespace vn::cuda {
namespace {

using namespace sm90;

constexpr int kChunkBytes = 16;
constexpr int64_t kMultiprocessors = 132;  // of an H100
// What the compiler is told, more than there are: at most 128 registers a thread then, so that a small kernel's block fits beside one.
constexpr int kMaxThreads = 512;

template <typename Tile>
struct DeepShared {
  Shared<Tile> ring;
  // Of each warpgroup: first the other part's sums, thread by thread, then y, row by row of x.
  alignas(wgmma::kRowBytes) unsigned char stage[Tile::kGroups][Tile::kColumns * wgmma::kRowBytes];
  uint64_t received;
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

__device__ __forceinline__ int group_of_warps() { return static_cast<int>(threadIdx.x) / kWarpgroup; }
__device__ __forceinline__ void sync_group() { named_barrier_sync(1 + group_of_warps(), kWarpgroup); }

// Where a row of x has a chunk of its 64 elements of y in a stage: so that neither writing down rows nor reading along them has bank
// conflicts.
template <typename Y>
__device__ __forceinline__ int chunk_at(int row, int chunk) {
  constexpr int kRowChunks = kGroupRows * static_cast<int>(sizeof(Y)) / kChunkBytes;
  return (row * kRowChunks + (chunk ^ (sizeof(Y) == 2 ? row % 8 : row / 2 % 4 * 2))) * kChunkBytes;
}

template <typename Y>
__device__ __forceinline__ uint32_t pair_of(float first, float second) {
  __align__(4) const Y pair[2] = {rounded<Y>(first), rounded<Y>(second)};
  return *reinterpret_cast<const uint32_t*>(pair);
}

// Four 8 x 8 matrices of 16-bit elements, transposed; each lane has the address of a row of one of them.
__device__ __forceinline__ void store_transposed(uint32_t address, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(a), "r"(b), "r"(c), "r"(d)
               : "memory");
}

// v[kFirst], ... of all threads, which are kRows rows of x, into the stage.
template <typename Y, int kFirst, int kRows, int kCount>
__device__ __forceinline__ void write_stage(const float (&v)[kCount], unsigned char* stage) {
  const int warp = static_cast<int>(threadIdx.x) % kWarpgroup / 32, lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (sizeof(Y) == 2) {
    const uint32_t address = shared_address(stage) + chunk_at<Y>(lane / 16 * 8 + lane % 8, warp * 2 + lane / 8 % 2);
#pragma unroll
    for (int m = 0; m < kRows; m += 16) {
      const float* const at = v + kFirst + m / 2;
      store_transposed(address + m * kGroupRows * 2, pair_of<Y>(at[0], at[1]), pair_of<Y>(at[2], at[3]), pair_of<Y>(at[4], at[5]),
                       pair_of<Y>(at[6], at[7]));
    }
  } else {
    const int n = warp * 16 + lane / 4, within = n % 4 * 4;
#pragma unroll
    for (int m = 0; m < kRows; m += 8) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int row = m + lane % 4 * 2 + e % 2, chunk = n / 4 + e / 2 * 2;
        *reinterpret_cast<float*>(stage + chunk_at<Y>(row, chunk) + within) = v[kFirst + m / 2 + e];
      }
    }
  }
}

// Rows of the stage into y at (row, column).
template <typename Y>
__device__ __forceinline__ void store_stage(const Params& p, const unsigned char* stage, int row, int64_t column, int rows) {
  constexpr int kChunk = kChunkBytes / static_cast<int>(sizeof(Y)), kRowChunks = kGroupRows / kChunk;
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
  const int columns = static_cast<int>(min(int64_t{kGroupRows}, p.n - column));
  Y* const y = static_cast<Y*>(p.y) + row * p.y_stride + column;
#pragma unroll 2
  for (int i = thread; i < rows * kRowChunks; i += kWarpgroup) {
    const int m = i / kRowChunks, n = i % kRowChunks * kChunk;
    if (n >= columns) continue;
    const uint4 chunk = *reinterpret_cast<const uint4*>(stage + chunk_at<Y>(m, i % kRowChunks));
    Y* const to = y + m * p.y_stride + n;
    if (p.whole_groups) {
      *reinterpret_cast<uint4*>(to) = chunk;
    } else {
      const uint32_t words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
      for (int e = 0; e < kChunk; ++e) {
        const Y value = reinterpret_cast<const Y*>(words)[e];
        if (n + e < columns) to[e] = value;
      }
    }
  }
}

// A warpgroup's sums into y at (row, column). Columns of y are rows of W.
template <typename Tile, int kCount>
__device__ __forceinline__ void finish(float (&v)[kCount], const Params& p, unsigned char* stage, int row, int64_t column, int rows) {
  if (p.bias) {
    const int64_t n = column + static_cast<int>(threadIdx.x) % kWarpgroup / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4;
    const float first = n < p.n ? read_value(p.bias, p.bias_dtype, n) : 0.0f;
    const float second = n + 8 < p.n ? read_value(p.bias, p.bias_dtype, n + 8) : 0.0f;
#pragma unroll
    for (int i = 0; i < kCount; ++i) v[i] += i % 4 < 2 ? first : second;
  }
  const auto store_as = [&](auto* y) {
    using Y = std::remove_pointer_t<decltype(y)>;
    constexpr int kRows = 2 * kCount, kFit = Tile::kColumns * 2 / static_cast<int>(sizeof(Y)), kAtATime = kRows < kFit ? kRows : kFit;
    const auto pass = [&](auto first_row) {
      constexpr int kFirst = decltype(first_row)::value;
      sync_group();  // all have read what the stage held
      write_stage<Y, kFirst / 2, kAtATime>(v, stage);
      sync_group();
      store_stage<Y>(p, stage, row + kFirst, column, min(kAtATime, rows - kFirst));
    };
    pass(std::integral_constant<int, 0>{});
    if constexpr (kAtATime < kRows) pass(std::integral_constant<int, kAtATime>{});
  };
  if (column >= p.n) return;
  switch (p.y_dtype) {
    case VN_DTYPE_F32: return store_as(static_cast<float*>(nullptr));
    case VN_DTYPE_F16: return store_as(static_cast<__half*>(nullptr));
    default: return store_as(static_cast<__nv_bfloat16*>(nullptr));
  }
}

// The two parts of a tile: each adds up half of the columns. Nobody waits for anybody to have ended: the stage takes nothing else before.
template <typename Tile>
__device__ __forceinline__ void exchange(const float (&d)[Tile::kColumns / 2], float (&sum)[Tile::kColumns / 4], DeepShared<Tile>& s,
                                         uint32_t part) {
  constexpr int kHalf = Tile::kColumns / 4;
  const auto stage = reinterpret_cast<float4*>(s.stage[group_of_warps()]) + threadIdx.x % kWarpgroup;
  const uint32_t theirs = cluster_address(shared_address(stage), part ^ 1);
  const uint32_t barrier = cluster_address(shared_address(&s.received), part ^ 1);
#pragma unroll
  for (int i = 0; i < kHalf; i += 4) {
    const float4 sent = part == 0 ? make_float4(d[kHalf + i], d[kHalf + i + 1], d[kHalf + i + 2], d[kHalf + i + 3])
                                  : make_float4(d[i], d[i + 1], d[i + 2], d[i + 3]);
    cluster_store_async(theirs + i / 4 * kWarpgroup * 16, sent, barrier);
  }
  cluster_mbarrier_wait(shared_address(&s.received), 0);
#pragma unroll
  for (int i = 0; i < kHalf; i += 4) {
    const float4 got = stage[i / 4 * kWarpgroup];
    const float values[4] = {got.x, got.y, got.z, got.w};
#pragma unroll
    for (int e = 0; e < 4; ++e) sum[i + e] = (part == 0 ? d[i + e] : d[kHalf + i + e]) + values[e];
  }
}

#endif

// Compiled for sm_90a alone; elsewhere it is empty and never launched.
template <typename T, typename Tile>
__global__ void __launch_bounds__(kMaxThreads, 1)
    gemm_sm90_deep_kernel(const __grid_constant__ CUtensorMap w_map, const __grid_constant__ CUtensorMap x_map, const Params p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(wgmma::kAtomBytes) unsigned char raw[];
  auto& s = *reinterpret_cast<DeepShared<Tile>*>(raw);
  const Place at(p, Tile{});
  WFetcher<Tile> w_fetcher(s.ring, w_map, at, true);
  if (threadIdx.x == Tile::kWThread) {
    mbarrier_init(shared_address(&s.received), 1);
    mbarrier_arrive_expecting(shared_address(&s.received), static_cast<int>(sizeof s.stage));  // f32, half of the columns
    w_fetcher.init();
    w_fetcher.run(Tile::kSlots);
    release_next_kernel();
  }
  __syncthreads();
  if (p.parts > 1) cluster_arrive_all();  // the other may send
  if (threadIdx.x < Tile::kConsumers) {
    unsigned char* const stage = s.stage[group_of_warps()];
    const int64_t column = at.first_row + group_of_warps() * kGroupRows;
    Cursor<Tile::kSlots> cursor;
    float d[Tile::kColumns / 2];
    multiply_steps<T>(d, s.ring, cursor, at.steps);
    if (p.parts > 1) {
      const int first = at.part * Tile::kColumns / 2;
      float sum[Tile::kColumns / 4];
      cluster_wait_all();
      exchange<Tile>(d, sum, s, static_cast<uint32_t>(at.part));
      await_earlier_kernels();  // who may still read what y held
      finish<Tile>(sum, p, stage, first, column, p.m - first);
    } else {
      await_earlier_kernels();
      finish<Tile>(d, p, stage, 0, column, p.m);
    }
  } else if (threadIdx.x == Tile::kWThread) {
    w_fetcher.run(INT_MAX);
  } else if (threadIdx.x == Tile::kXThread) {
    await_earlier_kernels();
    fetch_x(s.ring, x_map, p, at);
  }
#endif
}

template <typename T, typename Block>
void launch(const GemmProblem& p, int parts, bool overlap, cudaStream_t stream) {
  const int64_t size = dtype_size(p.y_dtype), tiles = ceil_div(p.n, Block::kRows);
  const bool whole_chunks = p.n * size % kChunkBytes == 0 && p.y_stride * size % kChunkBytes == 0 &&
                            reinterpret_cast<uintptr_t>(p.y) % kChunkBytes == 0;
  const Params params{p.bias, p.y, p.y_stride, p.n, static_cast<int>(p.m), static_cast<int>(ceil_div(p.k, kStep)), parts,
                      static_cast<int>(tiles), 1, box_rows<Block>(p.m), p.bias_dtype, p.y_dtype, whole_chunks};
  constexpr int kSharedBytes = offsetof(DeepShared<Block>, received) + sizeof(uint64_t);
  static_assert(kSharedBytes <= 227 * 1024 && Block::kThreads <= kMaxThreads);
  const auto kernel = gemm_sm90_deep_kernel<T, Block>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes),
        "gemm: cudaFuncSetAttribute of the Hopper kernel with a deep ring");
  const auto cluster = static_cast<unsigned>(parts);
  launch_overlapped_clusters("gemm: launch of the Hopper kernel with a deep ring", stream, overlap, kernel,
                             dim3(cluster, static_cast<unsigned>(tiles)), cluster, Block::kThreads, kSharedBytes,
                             map_of(MatrixBoxes{p.w, p.n, p.k, p.k, Block::kRows}),
                             map_of(MatrixBoxes{p.x, p.m, p.k, p.x_stride, params.x_rows}), params);
}

// Looks at N and K alone: a row's bits depend on it. Slots: as many as fit.
template <typename T, int kColumns>
void launch_tiles(const GemmProblem& p, bool overlap, cudaStream_t stream) {
  constexpr int kSmallSlots = kColumns == 128 ? 8 : kColumns == 64 ? 12 : 16, kLargeSlots = kColumns == 128 ? 6 : kColumns == 64 ? 8 : 10;
  const int64_t tiles = ceil_div(p.n, kGroupRows);
  if (tiles > kMultiprocessors) return launch<T, Tile<2, kColumns, kLargeSlots>>(p, 1, overlap, stream);
  const bool divided = 2 * tiles <= kMultiprocessors && p.k >= 4 * kStep;
  launch<T, Tile<1, kColumns, kSmallSlots>>(p, divided ? 2 : 1, overlap, stream);
}

template <typename T>
void launch_columns(const GemmProblem& p, bool overlap, cudaStream_t stream) {
  if (p.m <= 32) return launch_tiles<T, 32>(p, overlap, stream);
  if (p.m <= 64) return launch_tiles<T, 64>(p, overlap, stream);
  launch_tiles<T, 128>(p, overlap, stream);
}

}  // namespace

bool can_gemm_sm90_deep(const GemmProblem& p, int capability) { return p.m <= kSm90DeepRows && can_gemm_sm90(p, capability); }

void launch_gemm_sm90_deep(const GemmProblem& p, bool overlap, cudaStream_t stream) {
  if (p.w_dtype == VN_DTYPE_F16) {
    launch_columns<__half>(p, overlap, stream);
  } else {
    launch_columns<__nv_bfloat16>(p, overlap, stream);
  }
}

}  // namespace vn::cuda
