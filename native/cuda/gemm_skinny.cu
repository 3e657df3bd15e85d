// y[m][n] = sum over k of x[m][k] * W[n][k], + bias[n]: x [M, K], W [N, K], y [M, N], row-major, M <= 16, K a multiple of 8.
// x and W bf16 or f16 (one dtype), y and bias of any floating dtype, sums in f32 by tensor cores.
//
// A decode step's projections: W is read once, and that is all the time there should be (bound: N * K * 2 bytes, and that
// enough of them are under way: a chip needs its bandwidth times 0.8 us, on an H100 18 KB for each multiprocessor).
// A block takes 8 kTiles rows of W; its 8 warps share K and take every 8th step of 64. In mma.m16n8k16 W's rows are the columns
// of B, x's the rows of A. Since any 16 of K may meet in an mma, a lane's part of a step are two chunks of 16 bytes of each row:
// lane 4 g + t copies chunks t and t + 4 of row g, of W as of x, and reads just these again as its fragments. So every lane has a
// ring of its own in shared memory (cp.async past the first-level cache), and no barrier is needed before the end, when the
// warps' sums are added in order. The order of additions depends on K alone: neither on M nor on the chip.
// kTiles is the largest that still leaves a block for nearly every multiprocessor: x is copied once for all tiles.
// W is requested before x, and before the wait for the kernel ahead (launch.cuh): it depends on none.
//
// Under way on 132 multiprocessors, in KB of W for each (all of W, if less), and the number of blocks:
//   4096 x 1024: 128 blocks, 64 (all); 1024 x 2048: 128, 32 (all); 6144 x 1024: 192, 93 (all); 1024 x 3072: 128, 40 of 48;
//   4096 x 4096: 128, 64; 151936 x 1024: 4748, 128.
// Grid: one block of 8 warps for 8 kTiles rows. Shared memory: the rings, 64 to 96 KB.
// Idea: the matrix in B so that few rows of x waste little of an mma, as in FlashInfer's and Marlin's small-batch kernels.
#include <algorithm>

#include "cuda/check.h"
#include "cuda/gemm.h"
#include "cuda/gemm_values.cuh"
#include "cuda/launch.cuh"
#include "cuda/warp_mma.cuh"

namespace vn::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kChunkElements = kChunkBytes / 2;
constexpr int kTileRows = 8;    // of W, or of x: those of an 8 x 8 part of a fragment
constexpr int kStepChunks = 8;  // of a row, 64 elements: a line of memory
constexpr int kTileBytes = kTileRows * kStepChunks * kChunkBytes;
constexpr int kRingBytes = 80 << 10;

struct SkinnyParams {
  const uint4* x;
  const uint4* w;
  const void* bias;
  void* y;
  int64_t n;
  int64_t x_stride;  // chunks
  int64_t y_stride;  // elements
  int m;
  int chunks;  // of a row
  int32_t bias_dtype;
  int32_t y_dtype;
};

// Bytes of a warp for one step: kTiles of W, kXTiles of x.
template <int kTiles, int kXTiles>
constexpr int kStageBytes = (kTiles + kXTiles) * kTileBytes;
template <int kTiles, int kXTiles>
constexpr int kStages = std::max(2, kRingBytes / (kWarps * kStageBytes<kTiles, kXTiles>));
template <int kTiles, int kXTiles>
constexpr int kSharedBytes = kWarps * kStages<kTiles, kXTiles> * kStageBytes<kTiles, kXTiles>;

// What a lane has of a tile: its row's chunks t and t + 4.
struct Piece {
  uint4 chunk[2];
};

__device__ __forceinline__ Piece read_piece(const unsigned char* tile, int lane) {
  const uint4* mine = reinterpret_cast<const uint4*>(tile) + lane;
  return {mine[0], mine[32]};
}

// The warps' rings.
template <int kTiles, int kXTiles>
struct Ring {
  unsigned char* warp;  // this warp's
  int lane;

  __device__ __forceinline__ unsigned char* tile(int stage, int index) const {
    return warp + stage * kStageBytes<kTiles, kXTiles> + index * kTileBytes;
  }
  // Requests the lane's part of a tile; row: the lane's row at its chunk t of step 0, chunk: the lane's first one of the step.
  __device__ __forceinline__ void fetch(int stage, int index, const uint4* row, int chunk, int chunks, bool exists) const {
    const uint32_t to = shared_address(tile(stage, index)) + lane * kChunkBytes;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int at = chunk + 4 * j;
      const bool wanted = exists && at < chunks;  // else zeros, which change no sum
      copy_chunk(to + j * 32 * kChunkBytes, wanted ? row + at : row, wanted);
    }
  }
};

template <typename T, int kTiles, int kXTiles>
__global__ __launch_bounds__(kThreads, 2) void gemm_skinny_kernel(const SkinnyParams p) {
  extern __shared__ __align__(128) unsigned char shared[];
  constexpr int kDepth = kStages<kTiles, kXTiles>;
  constexpr int kColumns = kTiles * kTileRows;  // of y
  constexpr int kRows = kXTiles * kTileRows;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kColumns;
  const Ring<kTiles, kXTiles> ring{shared + warp * kDepth * kStageBytes<kTiles, kXTiles>, lane};

  // Rows of W past the end are the last one; their sums are not stored. Rows of x past the end are zeros.
  const uint4* w[kTiles];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) w[i] = p.w + min(first + i * kTileRows + lane / 4, p.n - 1) * p.chunks;
  const uint4* x[kXTiles];
  bool exists[kXTiles];
#pragma unroll
  for (int i = 0; i < kXTiles; ++i) {
    const int m = i * kTileRows + lane / 4;
    exists[i] = m < p.m;
    x[i] = p.x + (exists[i] ? m : 0) * p.x_stride;
  }
  const int steps = (p.chunks + kStepChunks - 1) / kStepChunks;
  const int mine = (steps - warp + kWarps - 1) / kWarps;  // steps warp, warp + 8, ...; none where this is not positive
  const auto chunk_of = [&](int i) { return (warp + i * kWarps) * kStepChunks + lane % 4; };
  const auto fetch_w = [&](int i) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) ring.fetch(i % kDepth, tile, w[tile], chunk_of(i), p.chunks, true);
  };
  const auto fetch_x = [&](int i) {
#pragma unroll
    for (int tile = 0; tile < kXTiles; ++tile) {
      ring.fetch(i % kDepth, kTiles + tile, x[tile], chunk_of(i), p.chunks, exists[tile]);
    }
  };
#pragma unroll
  for (int i = 0; i < kDepth; ++i) {
    if (i < mine) fetch_w(i);
  }
  release_next_kernel();
  await_earlier_kernels();
#pragma unroll
  for (int i = 0; i < kDepth; ++i) {
    if (i < mine) fetch_x(i);
    commit_copies();
  }

  float sum[kTiles][4] = {};  // rows g and g + 8 of x, columns 2 t and 2 t + 1 of the tile
  for (int i = 0; i < mine; ++i) {
    wait_copies<kDepth - 1>();
    Piece x_piece[2] = {};
#pragma unroll
    for (int tile = 0; tile < kXTiles; ++tile) x_piece[tile] = read_piece(ring.tile(i % kDepth, kTiles + tile), lane);
    Piece w_piece[kTiles];
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) w_piece[tile] = read_piece(ring.tile(i % kDepth, tile), lane);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const uint4 low = x_piece[0].chunk[j], high = x_piece[1].chunk[j];
      const uint32_t front[4] = {low.x, high.x, low.y, high.y}, back[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        const uint4 chunk = w_piece[tile].chunk[j];
        mma<T>(sum[tile], front, chunk.x, chunk.y);
        mma<T>(sum[tile], back, chunk.z, chunk.w);
      }
    }
    // This lane alone reads what it overwrites, and has read it.
    if (i + kDepth < mine) {
      fetch_w(i + kDepth);
      fetch_x(i + kDepth);
    }
    commit_copies();
  }

  __syncthreads();  // all rings have been read; now they hold [warp][row of x][column]
  float* const sums = reinterpret_cast<float*>(shared);
#pragma unroll
  for (int half = 0; half < kXTiles; ++half) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const int row = half * kTileRows + lane / 4, column = tile * kTileRows + lane % 4 * 2;
      *reinterpret_cast<float2*>(sums + (warp * kRows + row) * kColumns + column) =
          make_float2(sum[tile][2 * half], sum[tile][2 * half + 1]);
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kColumns; i += kThreads) {
    const int m = i / kColumns;
    const int64_t n = first + i % kColumns;
    if (m >= p.m || n >= p.n) continue;
    float total = sums[i];
#pragma unroll
    for (int other = 1; other < kWarps; ++other) total += sums[other * kRows * kColumns + i];
    if (p.bias) total += read_value(p.bias, p.bias_dtype, n);
    write_value(p.y, p.y_dtype, m * p.y_stride + n, total);
  }
}

template <typename T, int kTiles, int kXTiles>
void launch(const SkinnyParams& params, bool overlap, cudaStream_t stream) {
  constexpr int kBytes = kSharedBytes<kTiles, kXTiles>;
  static_assert(kWarps * kXTiles * kTiles * kTileRows * kTileRows * 4 <= kBytes);
  check(cudaFuncSetAttribute(gemm_skinny_kernel<T, kTiles, kXTiles>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
        "gemm: cudaFuncSetAttribute of the skinny kernel");
  const auto blocks = static_cast<unsigned>((params.n + kTiles * kTileRows - 1) / (kTiles * kTileRows));
  launch_overlapped("gemm: launch of the skinny kernel", stream, overlap, gemm_skinny_kernel<T, kTiles, kXTiles>, blocks, kThreads,
                    kBytes, params);
}

// Whether tiles this many rows high leave a block for nine of ten multiprocessors.
bool fills(const SkinnyParams& params, int sms, int tiles) { return params.n * 10 >= int64_t{9} * sms * tiles * kTileRows; }

template <typename T, int kXTiles>
void launch_tiles(const SkinnyParams& params, int sms, bool overlap, cudaStream_t stream) {
  if (fills(params, sms, 4)) return launch<T, 4, kXTiles>(params, overlap, stream);
  if (fills(params, sms, 2)) return launch<T, 2, kXTiles>(params, overlap, stream);
  launch<T, 1, kXTiles>(params, overlap, stream);
}

template <typename T>
void launch_rows(const SkinnyParams& params, int sms, bool overlap, cudaStream_t stream) {
  params.m <= kTileRows ? launch_tiles<T, 1>(params, sms, overlap, stream) : launch_tiles<T, 2>(params, sms, overlap, stream);
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % kChunkBytes == 0; }

}  // namespace

bool can_skinny(const GemmProblem& p) {
  return p.m <= kSkinnyRows && p.x_dtype == p.w_dtype && p.w_dtype != VN_DTYPE_F32 && p.k % kChunkElements == 0 &&
         p.x_stride % kChunkElements == 0 && p.k / kChunkElements < INT32_MAX / 64 && aligned(p.x) && aligned(p.w);
}

void launch_gemm_skinny(const GemmProblem& p, int sms, bool overlap, cudaStream_t stream) {
  const SkinnyParams params{static_cast<const uint4*>(p.x),
                            static_cast<const uint4*>(p.w),
                            p.bias,
                            p.y,
                            p.n,
                            p.x_stride / kChunkElements,
                            p.y_stride,
                            static_cast<int>(p.m),
                            static_cast<int>(p.k / kChunkElements),
                            p.bias_dtype,
                            p.y_dtype};
  if (p.w_dtype == VN_DTYPE_F16) {
    launch_rows<__half>(params, sms, overlap, stream);
  } else {
    launch_rows<__nv_bfloat16>(params, sms, overlap, stream);
  }
}

}  // namespace vn::cuda
