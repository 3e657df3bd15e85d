// out = x / sqrt(mean(x^2) + eps) * (weight + offset) over the last dimension; with a residual, residual += x first (rounded
// to its dtype) and what was stored is normalised.
// x, out [T, H] or [T, heads, D], residual [T, H], weight [H] or [D]: F32, F16, BF16 in any mixture; arithmetic and sums f32.
// Rows up to 8192 wide: a thread holds one group of eight in registers; a row takes `lanes` threads, a part of a warp (a
// butterfly sums) or a whole block (shared memory: one float a warp). Wider rows are looped over and read twice.
// Which thread sums what depends on the width alone, so that a row's result does not depend on the batch or on alignment.
// Bound: bytes, x + residual twice + out. Idea: one pass with the row in registers, as FlashInfer and vLLM have it.
#include <algorithm>
#include <bit>

#include "cuda/ops.h"
#include "cuda/reduce.cuh"
#include "cuda/vec.cuh"

namespace vn::cuda {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kSmallBlock = 128;  // threads of a block that does several rows

struct NormParams {
  Rows x;
  Rows residual;
  Rows out;
  const char* weight;
  int64_t rows;
  int64_t heads;
  int64_t width;
  int32_t weight_dtype;
  int32_t lanes;  // threads of a row
  float eps;
  float offset;
  bool has_residual;
  bool weight_wide;
};

struct RowAt {
  int64_t token;
  int64_t head;
};

__device__ __forceinline__ RowAt row_at(const NormParams& p, int64_t row) {
  if (p.heads == 1) return {row, 0};
  const auto flat = static_cast<uint32_t>(row), heads = static_cast<uint32_t>(p.heads);  // rows < 2^31: launch_norm
  return {flat / heads, flat % heads};
}

// x, or what the residual holds once x was added to it.
__device__ __forceinline__ void take(const NormParams& p, const Group& x, const Group& residual, float (&values)[kGroup]) {
  widen(x, p.x.dtype, values);
  if (!p.has_residual) return;
  float other[kGroup];
  widen(residual, p.residual.dtype, other);
#pragma unroll
  for (int i = 0; i < kGroup; ++i) values[i] = as_stored(__fadd_rn(values[i], other[i]), p.residual.dtype);
}

__device__ __forceinline__ float sum_squares(const float (&values)[kGroup], float sum) {
#pragma unroll
  for (int i = 0; i < kGroup; ++i) sum = __fmaf_rn(values[i], values[i], sum);
  return sum;
}

__device__ __forceinline__ float factor_of(const NormParams& p, float sum) {
  return __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(__fdiv_rn(sum, static_cast<float>(p.width)), p.eps)));
}

__device__ __forceinline__ void finish(const NormParams& p, const Group& weight, float factor, char* out, int64_t first,
                                       float (&values)[kGroup]) {
  float weights[kGroup];
  widen(weight, p.weight_dtype, weights);
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    values[i] = __fmul_rn(__fmul_rn(values[i], factor), __fadd_rn(weights[i], p.offset));
  }
  put(out, p.out.dtype, p.out.wide, first, p.width, values);
}

__global__ void __launch_bounds__(kMaxThreads) rms_norm_kernel(const NormParams p) {
  __shared__ float scratch[kMaxThreads / kWarpSize];
  const int rows_here = static_cast<int>(blockDim.x) / p.lanes;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * rows_here + threadIdx.x / p.lanes;
  const int64_t first = static_cast<int64_t>(threadIdx.x % p.lanes) * kGroup;
  const bool mine = row < p.rows && first < p.width;  // the others take part in the sums
  const RowAt at = row_at(p, row < p.rows ? row : 0);

  Group weight{};
  float values[kGroup] = {};
  if (mine) {
    weight = fetch(p.weight, p.weight_dtype, p.weight_wide, first, p.width);
    const Group x = fetch(p.x.head(at.token, at.head), p.x.dtype, p.x.wide, first, p.width);
    Group residual{};
    if (p.has_residual) residual = fetch(p.residual.row(at.token), p.residual.dtype, p.residual.wide, first, p.width);
    take(p, x, residual, values);
    if (p.has_residual) put(p.residual.row(at.token), p.residual.dtype, p.residual.wide, first, p.width, values);
  }
  float sum = sum_squares(values, 0.0f);
  sum = p.lanes <= kWarpSize ? lanes_sum(sum, p.lanes) : block_sum(sum, scratch);
  if (mine) finish(p, weight, factor_of(p, sum), p.out.head(at.token, at.head), first, values);
}

// A block for a row, any width.
__global__ void __launch_bounds__(kMaxThreads) rms_norm_wide_kernel(const NormParams p) {
  __shared__ float scratch[kMaxThreads / kWarpSize];
  const RowAt at = row_at(p, blockIdx.x);
  const char* x = p.x.head(at.token, at.head);
  char* residual = p.has_residual ? p.residual.row(at.token) : nullptr;
  const int64_t begin = static_cast<int64_t>(threadIdx.x) * kGroup, step = static_cast<int64_t>(blockDim.x) * kGroup;

  float sum = 0.0f;
  float values[kGroup];
  for (int64_t first = begin; first < p.width; first += step) {
    Group other{};
    if (residual) other = fetch(residual, p.residual.dtype, p.residual.wide, first, p.width);
    take(p, fetch(x, p.x.dtype, p.x.wide, first, p.width), other, values);
    if (residual) put(residual, p.residual.dtype, p.residual.wide, first, p.width, values);
    sum = sum_squares(values, sum);
  }
  const float factor = factor_of(p, block_sum(sum, scratch));
  // Each thread reads again what it read, or wrote, itself.
  for (int64_t first = begin; first < p.width; first += step) {
    if (residual) {
      widen(fetch(residual, p.residual.dtype, p.residual.wide, first, p.width), p.residual.dtype, values);
    } else {
      widen(fetch(x, p.x.dtype, p.x.wide, first, p.width), p.x.dtype, values);
    }
    finish(p, fetch(p.weight, p.weight_dtype, p.weight_wide, first, p.width), factor, p.out.head(at.token, at.head), first,
           values);
  }
}

void launch_norm(NormParams p, cudaStream_t stream) {
  const int64_t groups = ceil_div(p.width, kGroup);
  if (groups > kMaxThreads) {
    rms_norm_wide_kernel<<<grid_x("rms_norm", p.rows), kMaxThreads, 0, stream>>>(p);
  } else if (groups > kWarpSize) {
    p.lanes = static_cast<int32_t>(round_up(groups, kWarpSize));
    rms_norm_kernel<<<grid_x("rms_norm", p.rows), static_cast<unsigned>(p.lanes), 0, stream>>>(p);
  } else {
    p.lanes = static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(groups)));
    const int64_t blocks = ceil_div(p.rows, kSmallBlock / p.lanes);
    rms_norm_kernel<<<grid_x("rms_norm", blocks), kSmallBlock, 0, stream>>>(p);
  }
  check(cudaGetLastError(), "rms_norm: launch");
}

}  // namespace

void rms_norm(const Stream& stream, const vn_rms_norm_params& params) {
  const bool per_head = params.x.rank == 3;
  NormParams p{};
  p.x = rows_of(params.x);
  p.out = rows_of(params.out);
  p.has_residual = params.residual.data != nullptr;
  if (p.has_residual) p.residual = rows_of(params.residual);
  p.weight = static_cast<const char*>(params.weight.data);
  p.weight_dtype = params.weight.dtype;
  p.weight_wide = reinterpret_cast<uintptr_t>(params.weight.data) % 16 == 0;
  p.heads = per_head ? params.x.shape[1] : 1;
  p.rows = params.x.shape[0] * p.heads;
  p.width = params.x.shape[per_head ? 2 : 1];
  p.eps = params.eps;
  p.offset = params.weight_offset;
  if (p.rows == 0 || p.width == 0) return;
  grid_x("rms_norm", p.rows);
  launch_norm(p, stream.handle);
}

}  // namespace vn::cuda
