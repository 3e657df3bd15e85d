// y[m][n] = sum over k of x[m][k] * W[n][k], + bias[n]: x [M, K], W [N, K], y [M, N], row-major, M <= 8, K a multiple of 8.
// x and W bf16 or f16 (one dtype), y and bias of any floating dtype, sums in f32.
//
// A decode step's small projections: W is read once, and that is all the time there should be (bound: N * K * 2 bytes).
// A warp takes kRows neighbouring rows of W; its lanes take 16-byte chunks of them, kUnroll at a time, so that 8 loads of each
// lane are in flight (4 where M > 4: registers). W bypasses the first-level cache, which keeps x: its chunks are read again
// by every warp of the multiprocessor. Where N alone gives too few warps, `split` warps of a block share the rows and take
// every split-th run of 32 chunks; their sums are added in shared memory. The order of additions depends on N, K, M and the
// multiprocessor count: lane by lane along K, then a butterfly over lanes, then over warps.
// Grid: one block of 8 warps for each (8 / split) groups of kRows rows. Shared memory: 8 * kM * kRows floats.
// Idea: the matrix-vector kernels of gpt-fast and llama.cpp (a warp to a row, wide loads), with rows and K shared as above.
#include <algorithm>

#include "cuda/check.h"
#include "cuda/gemm.h"
#include "cuda/gemm_values.cuh"

namespace vn::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kChunk = 8;  // elements of a 16-byte load

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
  int split;   // warps that share a group of rows: 1, 2, 4 or 8
  int32_t bias_dtype;
  int32_t y_dtype;
};

__device__ __forceinline__ uint4 load_once(const uint4* p) {
  uint4 v;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(p));
  return v;
}

template <typename T>
__device__ __forceinline__ float2 unpack(uint32_t pair) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half22float2(*reinterpret_cast<const __half2*>(&pair));
  } else {
    return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
  }
}

template <typename T>
__device__ __forceinline__ void unpack_chunk(const uint4& chunk, float (&out)[kChunk]) {
  const uint32_t pairs[] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 both = unpack<T>(pairs[i]);
    out[2 * i] = both.x;
    out[2 * i + 1] = both.y;
  }
}

template <typename T, int kM, int kRows, int kUnroll>
__global__ __launch_bounds__(kThreads, 2) void gemm_skinny_kernel(const SkinnyParams p) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int part = warp % p.split;
  const int64_t group = static_cast<int64_t>(blockIdx.x) * (kWarps / p.split) + warp / p.split;
  const int64_t first = group * kRows;

  // Rows past the end read the last one; their sums are not stored.
  const uint4* w[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) w[r] = p.w + min(first + r, p.n - 1) * p.chunks;
  const uint4* x[kM];
#pragma unroll
  for (int m = 0; m < kM; ++m) x[m] = p.x + min(m, p.m - 1) * p.x_stride;

  constexpr bool kEarlyX = kM <= 2;  // registers for x beside W
  float sum[kM][kRows] = {};
  const int step = p.split * 32;
  for (int c = part * 32 + lane; c < p.chunks; c += kUnroll * step) {
    // Chunks past the end are zeros, which change no sum. All loads come before the first use.
    uint4 wide[kUnroll][kRows];
    uint4 early[kUnroll][kEarlyX ? kM : 1];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int at = c + u * step;
#pragma unroll
      for (int r = 0; r < kRows; ++r) wide[u][r] = at < p.chunks ? load_once(w[r] + at) : uint4{};
      if constexpr (kEarlyX) {
#pragma unroll
        for (int m = 0; m < kM; ++m) early[u][m] = at < p.chunks ? __ldg(x[m] + at) : uint4{};
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int at = c + u * step;
      float wv[kRows][kChunk];
#pragma unroll
      for (int r = 0; r < kRows; ++r) unpack_chunk<T>(wide[u][r], wv[r]);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        float xv[kChunk];
        if constexpr (kEarlyX) {
          unpack_chunk<T>(early[u][m], xv);
        } else {
          unpack_chunk<T>(at < p.chunks ? __ldg(x[m] + at) : uint4{}, xv);
        }
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int i = 0; i < kChunk; ++i) sum[m][r] = fmaf(xv[i], wv[r][i], sum[m][r]);
        }
      }
    }
  }

  __shared__ float sums[kWarps][kM * kRows];
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int offset = 16; offset > 0; offset /= 2) sum[m][r] += __shfl_xor_sync(~0u, sum[m][r], offset);
      if (lane == 0) sums[warp][m * kRows + r] = sum[m][r];
    }
  }
  __syncthreads();
  const int m = lane / kRows;
  const int64_t row = first + lane % kRows;
  if (part != 0 || lane >= kM * kRows || m >= p.m || row >= p.n) return;
  float total = sums[warp][lane];
  for (int i = 1; i < p.split; ++i) total += sums[warp + i][lane];
  if (p.bias) total += read_value(p.bias, p.bias_dtype, row);
  write_value(p.y, p.y_dtype, m * p.y_stride + row, total);
}

// How many warps share a group of rows: the least that gives the multiprocessors at least 12 warps each and leaves fewer than
// a tenth of them idle in the last round of blocks; else the one that leaves the fewest idle.
int choose_split(int64_t groups, int chunks, int sms) {
  int best = 1;
  double best_share = 0.0;
  for (int split = 1; split <= kWarps && (split == 1 || chunks >= split * 32); split *= 2) {
    const int64_t blocks = (groups + kWarps / split - 1) / (kWarps / split);
    const int64_t rounds = (blocks + sms - 1) / sms;
    double share = static_cast<double>(blocks) / static_cast<double>(rounds * sms);  // of multiprocessors, busy
    if (blocks * kWarps < int64_t{12} * sms) share *= static_cast<double>(blocks * kWarps) / (12.0 * sms);
    if (share > best_share) {
      best = split;
      best_share = share;
    }
    if (share > 0.9) break;
  }
  return best;
}

template <typename T, int kM, int kRows, int kUnroll>
void launch(SkinnyParams params, int sms, cudaStream_t stream) {
  const int64_t groups = (params.n + kRows - 1) / kRows;
  params.split = choose_split(groups, params.chunks, sms);
  const int64_t per_block = kWarps / params.split;
  const auto blocks = static_cast<unsigned>((groups + per_block - 1) / per_block);
  gemm_skinny_kernel<T, kM, kRows, kUnroll><<<blocks, kThreads, 0, stream>>>(params);
}

template <typename T>
void launch_rows(const SkinnyParams& params, int sms, cudaStream_t stream) {
  if (params.m == 1) return launch<T, 1, 2, 4>(params, sms, stream);
  if (params.m == 2) return launch<T, 2, 2, 4>(params, sms, stream);
  if (params.m <= 4) return launch<T, 4, 4, 2>(params, sms, stream);
  return launch<T, 8, 4, 1>(params, sms, stream);
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % sizeof(uint4) == 0; }

}  // namespace

bool can_skinny(const GemmProblem& p) {
  return p.m <= kSkinnyRows && p.x_dtype == p.w_dtype && p.w_dtype != VN_DTYPE_F32 && p.k % kChunk == 0 &&
         p.x_stride % kChunk == 0 && p.k / kChunk < INT32_MAX / 64 && aligned(p.x) && aligned(p.w);
}

void launch_gemm_skinny(const GemmProblem& p, int sms, cudaStream_t stream) {
  const SkinnyParams params{static_cast<const uint4*>(p.x),
                            static_cast<const uint4*>(p.w),
                            p.bias,
                            p.y,
                            p.n,
                            p.x_stride / kChunk,
                            p.y_stride,
                            static_cast<int>(p.m),
                            static_cast<int>(p.k / kChunk),
                            1,
                            p.bias_dtype,
                            p.y_dtype};
  if (p.w_dtype == VN_DTYPE_F16) {
    launch_rows<__half>(params, sms, stream);
  } else {
    launch_rows<__nv_bfloat16>(params, sms, stream);
  }
  check(cudaGetLastError(), "gemm: launch of the skinny kernel");
}

}  // namespace vn::cuda
