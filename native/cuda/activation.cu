// out = activation(x[:, :F]) * x[:, F:], in f32. x [T, 2F], out [T, F]: F32, F16, BF16, each its own.
// A thread does one group of eight columns; grid (T, column blocks). No shared memory.
// Bound: bytes, 3 T F elements; about 25 instructions an element, half of what an H100 can do meanwhile in 16 bits.
// silu x = x / (1 + e^-x); gelu_tanh x = x / (1 + e^(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3); gelu x = x Phi(x).
#include "cuda/dispatch.cuh"
#include "cuda/ops.h"
#include "cuda/vec.cuh"

namespace vn::cuda {
namespace {

constexpr int kThreads = 128;

struct ActivationParams {
  Rows x;
  Rows out;
  int64_t width;  // F
  bool up_wide;   // the second half begins at a multiple of 16 bytes too
};

template <int kActivation>
__device__ __forceinline__ float activate(float x) {
  if constexpr (kActivation == VN_ACTIVATION_GELU) return x * normcdff(x);
  if constexpr (kActivation == VN_ACTIVATION_GELU_TANH) {
    const float cubic = __fmaf_rn(x * x * 0.044715f, x, x);
    return x / (1.0f + expf(-1.5957691216f * cubic));
  }
  return x / (1.0f + expf(-x));
}

template <int kActivation>
__global__ void __launch_bounds__(kThreads) gated_activation_kernel(const ActivationParams p) {
  const int64_t first = (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kGroup;
  if (first >= p.width) return;
  const char* row = p.x.row(blockIdx.x);
  const Group gate_bits = fetch(row, p.x.dtype, p.x.wide, first, p.width);
  const Group up_bits = fetch(row, p.x.dtype, p.up_wide, p.width + first, 2 * p.width);
  float gate[kGroup], up[kGroup];
  widen(gate_bits, p.x.dtype, gate);
  widen(up_bits, p.x.dtype, up);
#pragma unroll
  for (int i = 0; i < kGroup; ++i) gate[i] = activate<kActivation>(gate[i]) * up[i];
  put(p.out.row(blockIdx.x), p.out.dtype, p.out.wide, first, p.width, gate);
}

template <int kActivation>
void launch_activation(const ActivationParams& p, int64_t tokens, cudaStream_t stream) {
  const int64_t columns = ceil_div(p.width, kThreads * kGroup);
  if (columns > 65535) fail(VN_UNSUPPORTED, "gated_activation: %lld columns are too many", static_cast<long long>(p.width));
  const dim3 grid(grid_x("gated_activation", tokens), static_cast<unsigned>(columns));
  gated_activation_kernel<kActivation><<<grid, kThreads, 0, stream>>>(p);
  check(cudaGetLastError(), "gated_activation: launch");
}

}  // namespace

void gated_activation(const Stream& stream, const vn_gated_activation_params& params) {
  ActivationParams p{rows_of(params.x), rows_of(params.out), params.out.shape[1], false};
  p.up_wide = p.x.wide && p.width * dtype_size(p.x.dtype) % 16 == 0;
  const int64_t tokens = params.out.shape[0];
  if (tokens == 0 || p.width == 0) return;
  switch (params.activation) {
    case VN_ACTIVATION_GELU: return launch_activation<VN_ACTIVATION_GELU>(p, tokens, stream.handle);
    case VN_ACTIVATION_GELU_TANH: return launch_activation<VN_ACTIVATION_GELU_TANH>(p, tokens, stream.handle);
    default: return launch_activation<VN_ACTIVATION_SILU>(p, tokens, stream.handle);
  }
}

}  // namespace vn::cuda
