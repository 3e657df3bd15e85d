// y[m][n] = sum over k of x[m][k] * W[n][k], + bias[n]: x [M, K], W [N, K], y [M, N], row-major. Any dtypes, strides and
// alignment, mixed too; products and sums in f32, along K in order. The fallback of gemm.cpp: correct before fast.
// Grid: (tiles of 64 rows of W, tiles of 64 rows of x), 256 threads of 4 x 4 outputs each. Shared memory: 2 tiles of
// 64 x 16 floats, padded by one against bank conflicts. Bound: f32 multiply-adds, or loads of single elements at small M.
#include <algorithm>

#include "cuda/check.h"
#include "cuda/gemm.h"
#include "cuda/gemm_values.cuh"

namespace vn::cuda {
namespace {

constexpr int kTile = 64;
constexpr int kDepth = 16;
constexpr int kThreads = 256;
constexpr int kEach = 4;  // outputs of a thread along either side, kTile / kEach apart
constexpr int64_t kMaxGridY = 65535;

// A tile of rows [first, first + kTile) and columns [k, k + kDepth), zero outside; transposed in shared memory.
__device__ __forceinline__ void load_tile(const void* data, int32_t dtype, int64_t rows, int64_t columns, int64_t stride,
                                          int64_t first, int64_t k, float (&tile)[kDepth][kTile + 1]) {
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kDepth; i += kThreads) {
    const int64_t row = first + i / kDepth;
    const int64_t column = k + i % kDepth;
    const bool inside = row < rows && column < columns;
    tile[i % kDepth][i / kDepth] = inside ? read_value(data, dtype, row * stride + column) : 0.0f;
  }
}

__global__ __launch_bounds__(kThreads, 2) void gemm_plain_kernel(const GemmProblem p) {
  __shared__ float x_tile[kDepth][kTile + 1];
  __shared__ float w_tile[kDepth][kTile + 1];
  constexpr int kApart = kTile / kEach;
  const int64_t first_n = static_cast<int64_t>(blockIdx.x) * kTile;
  const int column = static_cast<int>(threadIdx.x) % kApart;
  const int row = static_cast<int>(threadIdx.x) / kApart;
  for (int64_t first_m = static_cast<int64_t>(blockIdx.y) * kTile; first_m < p.m;
       first_m += static_cast<int64_t>(gridDim.y) * kTile) {
    float sum[kEach][kEach] = {};
    for (int64_t k = 0; k < p.k; k += kDepth) {
      __syncthreads();
      load_tile(p.x, p.x_dtype, p.m, p.k, p.x_stride, first_m, k, x_tile);
      load_tile(p.w, p.w_dtype, p.n, p.k, p.k, first_n, k, w_tile);
      __syncthreads();
#pragma unroll
      for (int d = 0; d < kDepth; ++d) {
        float x[kEach];
        float w[kEach];
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
          x[i] = x_tile[d][row + i * kApart];
          w[i] = w_tile[d][column + i * kApart];
        }
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
#pragma unroll
          for (int j = 0; j < kEach; ++j) sum[i][j] = fmaf(x[i], w[j], sum[i][j]);
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int64_t n = first_n + column + j * kApart;
      if (n >= p.n) continue;
      const float bias = p.bias ? read_value(p.bias, p.bias_dtype, n) : 0.0f;
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const int64_t m = first_m + row + i * kApart;
        if (m < p.m) write_value(p.y, p.y_dtype, m * p.y_stride + n, p.bias ? sum[i][j] + bias : sum[i][j]);
      }
    }
  }
}

}  // namespace

void launch_gemm_plain(const GemmProblem& problem, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((problem.n + kTile - 1) / kTile),
                  static_cast<unsigned>(std::min((problem.m + kTile - 1) / kTile, kMaxGridY)));
  gemm_plain_kernel<<<grid, kThreads, 0, stream>>>(problem);
  check(cudaGetLastError(), "gemm: launch of the plain kernel");
}

}  // namespace vn::cuda
