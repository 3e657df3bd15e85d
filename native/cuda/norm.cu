// out = x / sqrt(mean(x^2) + eps) * (weight + offset) over the rows of a matrix; with a residual, residual += x first (rounded
// to its dtype) and what was stored is normalised.
// x, residual, out [T, H], weight [H]: F32, F16, BF16 in any mixture; arithmetic and sums f32.
//
// rms_norm_kernel: a block for a row, the row in registers: a thread holds kGroups groups of eight elements. One for few rows,
// where latency counts; four for many, so that a multiprocessor has several rows and 128 bytes or more a thread under way.
// Dtypes are template parameters: with run-time dtypes and one group a thread, half of the time went into 450 instructions
// for eight elements. For the dtypes that models use, H a multiple of 8 up to 8192, rows at multiples of 16 bytes.
// rms_norm_any_kernel: everything else; reads a row twice.
// The order of a row's sum depends on its width alone (row_sum), not on the batch, the kernel or alignment.
// Bound: bytes, x + residual twice + out: 8192 x 4096 in bf16 is 268 MB, 62 us at 4.3 TB/s, predicted 73; 128 x 4096 with f32
// residual and delta is 7 MB that lie in L2: the launch, predicted 2 us.
#include <algorithm>

#include "cuda/dispatch.cuh"
#include "cuda/launch.cuh"
#include "cuda/ops.h"
#include "cuda/reduce.cuh"
#include "cuda/rms.cuh"
#include "cuda/vec.cuh"

namespace vn::cuda {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kMaxWidth = kMaxThreads * kGroup;  // of a row in registers
constexpr int kManyGroups = 4;                   // of a thread, when rows are many
constexpr int kNone = 0;                         // no residual
constexpr int kLineBytes = 128;                  // of L2

struct NormParams {
  Rows x;
  Rows residual;
  Rows out;
  const char* weight;
  int64_t width;
  int32_t weight_dtype;
  float inverse_width;
  float eps;
  float offset;
  bool has_residual;
  bool weight_wide;
};

// The sum over a row. Group g of the row belongs to lane g % 32 of its part g / 32: a butterfly sums each part, another one
// the parts. A warp holds kGroups parts, so that their number decides nothing.
template <int kGroups>
__device__ __forceinline__ float row_sum(const float (&sums)[kGroups]) {
  __shared__ float parts[kMaxThreads / kWarpSize];
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
#pragma unroll
  for (int j = 0; j < kGroups; ++j) {
    const float sum = lanes_sum(sums[j]);
    if (lane == 0) parts[j * warps + warp] = sum;
  }
  __syncthreads();
  return lanes_sum(lane < kGroups * warps ? parts[lane] : 0.0f);
}

__device__ __forceinline__ void finish(const NormParams& p, const Group& weight, float factor, float (&values)[kGroup]) {
  float weights[kGroup];
  widen(weight, p.weight_dtype, weights);
  scale(values, factor, weights, p.offset);
}

// What the residual holds once x was added to it, as values and in its own dtype.
__device__ __forceinline__ Group added(const Group& residual, int32_t dtype, float (&values)[kGroup]) {
  float other[kGroup];
  widen(residual, dtype, other);
#pragma unroll
  for (int i = 0; i < kGroup; ++i) values[i] = __fadd_rn(values[i], other[i]);
  const Group sum = pack(values, dtype);
  widen(sum, dtype, values);
  return sum;
}

constexpr __host__ __device__ int bytes_of(int32_t dtype) { return dtype == VN_DTYPE_F32 ? 4 : 2; }

template <int32_t kX, int32_t kResidual, int32_t kOut, int kGroups>
__global__ void __launch_bounds__(kMaxThreads / kGroups) rms_norm_kernel(const __grid_constant__ NormParams p) {
  release_next_kernel();
  const int first = static_cast<int>(threadIdx.x) * kGroup, step = static_cast<int>(blockDim.x) * kGroup;
  const int width = static_cast<int>(p.width);
  Group weight[kGroups] = {};
  const auto fetch_weight = [&] {
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
      const int at = first + j * step;
      if (at < width) weight[j] = fetch_whole(p.weight + at * bytes_of(p.weight_dtype), p.weight_dtype);
    }
  };
  if (kGroups == 1) {
    fetch_weight();  // with more of them, registers are needed for x and the residual first
    // x comes from the kernel ahead and lies in L2; the residual, written several kernels ago, need not.
    if (kResidual != kNone && first < width && first * bytes_of(kResidual) % kLineBytes == 0) {
      prefetch(p.residual.row(blockIdx.x) + first * bytes_of(kResidual));
    }
  }
  await_earlier_kernels();

  const char* x_row = p.x.row(blockIdx.x);
  char* residual_row = kResidual == kNone ? nullptr : p.residual.row(blockIdx.x);
  Group x[kGroups] = {}, residual[kGroups] = {};
#pragma unroll
  for (int j = 0; j < kGroups; ++j) {
    const int at = first + j * step;
    if (at >= width) continue;
    x[j] = fetch_whole(x_row + at * bytes_of(kX), kX);
    if (kResidual != kNone) residual[j] = fetch_whole(residual_row + at * bytes_of(kResidual), kResidual);
  }
  float values[kGroups][kGroup], sums[kGroups];
#pragma unroll
  for (int j = 0; j < kGroups; ++j) {
    const int at = first + j * step;
    widen(x[j], kX, values[j]);
    if (kResidual != kNone) {
      const Group sum = added(residual[j], kResidual, values[j]);
      if (at < width) place_whole(residual_row + at * bytes_of(kResidual), kResidual, sum);
    }
    sums[j] = sum_squares(values[j], 0.0f);
  }
  if (kGroups > 1) fetch_weight();
  const float factor = inverse_rms(row_sum(sums), p.inverse_width, p.eps);
  char* out_row = p.out.row(blockIdx.x);
#pragma unroll
  for (int j = 0; j < kGroups; ++j) {
    const int at = first + j * step;
    if (at >= width) continue;
    finish(p, weight[j], factor, values[j]);
    place_whole(out_row + at * bytes_of(kOut), kOut, pack(values[j], kOut));
  }
}

__global__ void __launch_bounds__(kMaxThreads) rms_norm_any_kernel(const __grid_constant__ NormParams p) {
  release_next_kernel();
  await_earlier_kernels();
  const char* x = p.x.row(blockIdx.x);
  char* residual = p.has_residual ? p.residual.row(blockIdx.x) : nullptr;
  char* out = p.out.row(blockIdx.x);
  const int64_t begin = static_cast<int64_t>(threadIdx.x) * kGroup, step = static_cast<int64_t>(blockDim.x) * kGroup;

  float sum[1] = {0.0f};
  float values[kGroup];
  for (int64_t first = begin; first < p.width; first += step) {
    Group other{};
    if (residual) other = fetch(residual, p.residual.dtype, p.residual.wide, first, p.width);
    widen(fetch(x, p.x.dtype, p.x.wide, first, p.width), p.x.dtype, values);
    if (residual) {
      const Group stored = added(other, p.residual.dtype, values);
      place(residual, p.residual.dtype, p.residual.wide, first, p.width, stored);
    }
    sum[0] = sum_squares(values, sum[0]);
  }
  const float factor = inverse_rms(row_sum(sum), p.inverse_width, p.eps);
  // Each thread reads again what it read, or wrote, itself.
  for (int64_t first = begin; first < p.width; first += step) {
    if (residual) {
      widen(fetch(residual, p.residual.dtype, p.residual.wide, first, p.width), p.residual.dtype, values);
    } else {
      widen(fetch(x, p.x.dtype, p.x.wide, first, p.width), p.x.dtype, values);
    }
    finish(p, fetch(p.weight, p.weight_dtype, p.weight_wide, first, p.width), factor, values);
    place(out, p.out.dtype, p.out.wide, first, p.width, pack(values, p.out.dtype));
  }
}

// One kernel of the first kind, for both numbers of groups.
template <int32_t kX, int32_t kResidual, int32_t kOut>
void launch_in_registers(const Stream& stream, const NormParams& p, int64_t rows) {
  const int64_t parts = ceil_div(p.width, kGroup * kWarpSize);
  const dim3 grid(grid_x("rms_norm", rows));
  if (rows > 4 * stream.device.state->sms && parts >= kManyGroups) {
    const auto threads = static_cast<unsigned>(ceil_div(parts, kManyGroups) * kWarpSize);
    return launch_overlapped("rms_norm: launch", stream, rms_norm_kernel<kX, kResidual, kOut, kManyGroups>, grid, threads, p);
  }
  const auto threads = static_cast<unsigned>(parts * kWarpSize);
  launch_overlapped("rms_norm: launch", stream, rms_norm_kernel<kX, kResidual, kOut, 1>, grid, threads, p);
}

// Whether there is a kernel of the first kind for these dtypes; launches it. An f32 stream of activations and residual, or
// one dtype throughout, beside either an f32 residual.
template <int32_t kOut>
bool try_in_registers(const Stream& stream, const NormParams& p, int64_t rows) {
  const int32_t x = p.x.dtype, residual = p.has_residual ? p.residual.dtype : kNone;
  const auto is = [&](int32_t wanted_x, int32_t wanted_residual) { return x == wanted_x && residual == wanted_residual; };
  if (is(VN_DTYPE_F32, kNone)) return launch_in_registers<VN_DTYPE_F32, kNone, kOut>(stream, p, rows), true;
  if (is(VN_DTYPE_F32, VN_DTYPE_F32)) return launch_in_registers<VN_DTYPE_F32, VN_DTYPE_F32, kOut>(stream, p, rows), true;
  if constexpr (kOut != VN_DTYPE_F32) {
    if (is(kOut, kNone)) return launch_in_registers<kOut, kNone, kOut>(stream, p, rows), true;
    if (is(kOut, kOut)) return launch_in_registers<kOut, kOut, kOut>(stream, p, rows), true;
    if (is(kOut, VN_DTYPE_F32)) return launch_in_registers<kOut, VN_DTYPE_F32, kOut>(stream, p, rows), true;
  }
  return false;
}

bool try_in_registers(const Stream& stream, const NormParams& p, int64_t rows) {
  const bool wide = p.x.wide && p.out.wide && p.weight_wide && (!p.has_residual || p.residual.wide);
  if (!wide || p.width % kGroup != 0 || p.width > kMaxWidth) return false;
  switch (p.out.dtype) {
    case VN_DTYPE_F32: return try_in_registers<VN_DTYPE_F32>(stream, p, rows);
    case VN_DTYPE_F16: return try_in_registers<VN_DTYPE_F16>(stream, p, rows);
    default: return try_in_registers<VN_DTYPE_BF16>(stream, p, rows);
  }
}

}  // namespace

void rms_norm(const Stream& stream, const vn_rms_norm_params& params) {
  NormParams p{};
  p.x = rows_of(params.x);
  p.out = rows_of(params.out);
  p.has_residual = params.residual.data != nullptr;
  if (p.has_residual) p.residual = rows_of(params.residual);
  p.weight = static_cast<const char*>(params.weight.data);
  p.weight_dtype = params.weight.dtype;
  p.weight_wide = reinterpret_cast<uintptr_t>(params.weight.data) % 16 == 0;
  p.width = params.x.shape[1];
  p.inverse_width = 1.0f / static_cast<float>(p.width);
  p.eps = params.eps;
  p.offset = params.weight_offset;
  const int64_t rows = params.x.shape[0];
  if (rows == 0 || p.width == 0 || try_in_registers(stream, p, rows)) return;
  const auto threads = static_cast<unsigned>(std::min<int64_t>(round_up(ceil_div(p.width, kGroup), kWarpSize), kMaxThreads));
  launch_overlapped("rms_norm: launch", stream, rms_norm_any_kernel, dim3(grid_x("rms_norm", rows)), threads, p);
}

}  // namespace vn::cuda
