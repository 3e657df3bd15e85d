// out = activation(x[:, :F]) * x[:, F:], in f32. x [T, 2F], out [T, F]: F32, F16, BF16, each its own.
// A thread does one group of eight columns; blocks run over columns first, then rows, so that neighbours share DRAM pages.
// No shared memory. gated_activation_kernel has x's dtype, out's too, as a template parameter and whole groups at multiples of
// 16 bytes; gated_activation_any_kernel takes everything.
// silu x = x / (1 + e^-x); gelu_tanh x = x / (1 + e^(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3); gelu x = x Phi(x). The
// division is by an approximate reciprocal (2 ulp): IEEE's took as many instructions as all the rest of an element.
// Bound: bytes, 3 T F elements: 8192 x 14336 in bf16 is 704 MB, 164 us at 4.3 TB/s, predicted 190; about 20 instructions an
// element take 110 us of that. 128 x 14336 lie in L2: predicted 5 us.
#include <algorithm>

#include "cuda/dispatch.cuh"
#include "cuda/launch.cuh"
#include "cuda/ops.h"
#include "cuda/vec.cuh"

namespace vn::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kMaxGridY = 65535;

struct ActivationParams {
  Rows x;
  Rows out;
  int64_t rows;
  int64_t width;  // F
  bool up_wide;   // the second half begins at a multiple of 16 bytes too
};

template <int kActivation>
__device__ __forceinline__ float activate(float x) {
  if constexpr (kActivation == VN_ACTIVATION_GELU) return x * normcdff(x);
  if constexpr (kActivation == VN_ACTIVATION_GELU_TANH) {
    const float cubic = __fmaf_rn(x * x * 0.044715f, x, x);
    return __fdividef(x, 1.0f + expf(-1.5957691216f * cubic));
  }
  return __fdividef(x, 1.0f + expf(-x));
}

// gate = activation(gate) * up
template <int kActivation>
__device__ __forceinline__ Group gated(const Group& gate, const Group& up, int32_t dtype, int32_t out_dtype) {
  float values[kGroup], factors[kGroup];
  widen(gate, dtype, values);
  widen(up, dtype, factors);
#pragma unroll
  for (int i = 0; i < kGroup; ++i) values[i] = activate<kActivation>(values[i]) * factors[i];
  return pack(values, out_dtype);
}

template <int kActivation, int32_t kType>
__global__ void __launch_bounds__(kThreads) gated_activation_kernel(const __grid_constant__ ActivationParams p) {
  release_next_kernel();
  await_earlier_kernels();
  constexpr int kSize = kType == VN_DTYPE_F32 ? 4 : 2;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kGroup;
  if (first >= p.width) return;
  for (int64_t row = blockIdx.y; row < p.rows; row += gridDim.y) {
    const char* gate = p.x.row(row) + first * kSize;
    const Group gate_bits = fetch_whole(gate, kType);
    const Group up_bits = fetch_whole(gate + p.width * kSize, kType);
    place_whole(p.out.row(row) + first * kSize, kType, gated<kActivation>(gate_bits, up_bits, kType, kType));
  }
}

template <int kActivation>
__global__ void __launch_bounds__(kThreads) gated_activation_any_kernel(const __grid_constant__ ActivationParams p) {
  release_next_kernel();
  await_earlier_kernels();
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kGroup;
  if (first >= p.width) return;
  for (int64_t row = blockIdx.y; row < p.rows; row += gridDim.y) {
    const Group gate = fetch(p.x.row(row), p.x.dtype, p.x.wide, first, p.width);
    const Group up = fetch(p.x.row(row), p.x.dtype, p.up_wide, p.width + first, 2 * p.width);
    place(p.out.row(row), p.out.dtype, p.out.wide, first, p.width, gated<kActivation>(gate, up, p.x.dtype, p.out.dtype));
  }
}

template <int kActivation>
void launch_activation(const Stream& stream, const ActivationParams& p) {
  const dim3 grid(grid_x("gated_activation", ceil_div(p.width, kThreads * kGroup)),
                  static_cast<unsigned>(std::min(p.rows, kMaxGridY)));
  const auto launch = [&](auto* kernel) { launch_overlapped("gated_activation: launch", stream, kernel, grid, kThreads, p); };
  const bool whole = p.x.wide && p.up_wide && p.out.wide && p.width % kGroup == 0 && p.x.dtype == p.out.dtype;
  if (!whole) return launch(gated_activation_any_kernel<kActivation>);
  switch (p.x.dtype) {
    case VN_DTYPE_F32: return launch(gated_activation_kernel<kActivation, VN_DTYPE_F32>);
    case VN_DTYPE_F16: return launch(gated_activation_kernel<kActivation, VN_DTYPE_F16>);
    default: return launch(gated_activation_kernel<kActivation, VN_DTYPE_BF16>);
  }
}

}  // namespace

void gated_activation(const Stream& stream, const vn_gated_activation_params& params) {
  ActivationParams p{rows_of(params.x), rows_of(params.out), params.out.shape[0], params.out.shape[1], false};
  p.up_wide = p.x.wide && p.width * dtype_size(p.x.dtype) % 16 == 0;
  if (p.rows == 0 || p.width == 0) return;
  switch (params.activation) {
    case VN_ACTIVATION_GELU: return launch_activation<VN_ACTIVATION_GELU>(stream, p);
    case VN_ACTIVATION_GELU_TANH: return launch_activation<VN_ACTIVATION_GELU_TANH>(stream, p);
    default: return launch_activation<VN_ACTIVATION_SILU>(stream, p);
  }
}

}  // namespace vn::cuda
