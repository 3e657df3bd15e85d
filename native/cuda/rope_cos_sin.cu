// out [T, rot] F32 = cos, then sin of positions[t] * inv_freq[i], times scale: f32, full-range cosf and sinf. Once a step.
// A thread does one pair; no shared memory. Bound: the launch.
#include <algorithm>

#include "cuda/dispatch.cuh"
#include "cuda/launch.cuh"
#include "cuda/ops.h"

namespace vn::cuda {
namespace {

constexpr int kThreads = 128;

struct CosSinParams {
  const int32_t* positions;
  const float* inv_freq;
  float* out;
  int64_t tokens;
  int64_t half;
  float scale;
};

__global__ void __launch_bounds__(kThreads) rope_cos_sin_kernel(const CosSinParams p) {
  release_next_kernel();
  await_earlier_kernels();
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < p.tokens * p.half; i += stride) {
    const int64_t token = i / p.half, at = i % p.half;
    const float angle = __fmul_rn(static_cast<float>(p.positions[token]), p.inv_freq[at]);
    float sine, cosine;
    sincosf(angle, &sine, &cosine);
    float* out = p.out + token * 2 * p.half;
    out[at] = __fmul_rn(cosine, p.scale);
    out[p.half + at] = __fmul_rn(sine, p.scale);
  }
}

}  // namespace

void rope_cos_sin(const Stream& stream, const vn_rope_cos_sin_params& params) {
  CosSinParams p{};
  p.positions = static_cast<const int32_t*>(params.positions.data);
  p.inv_freq = static_cast<const float*>(params.inv_freq.data);
  p.out = static_cast<float*>(params.out.data);
  p.tokens = params.positions.shape[0];
  p.half = params.inv_freq.shape[0];
  p.scale = params.scale == 0.0f ? 1.0f : params.scale;
  if (p.tokens * p.half == 0) return;
  const int64_t blocks = std::min<int64_t>(ceil_div(p.tokens * p.half, kThreads), 8192);
  launch_overlapped("rope_cos_sin: launch", stream, rope_cos_sin_kernel, dim3(static_cast<unsigned>(blocks)), kThreads, p);
}

}  // namespace vn::cuda
