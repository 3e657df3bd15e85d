// rope_cos_sin: out [T, rot] F32 = cos then sin of positions[t] * inv_freq[i], times scale; f32, full-range cosf and sinf.
// rope: (a, b) -> (a cos - b sin, b cos + a sin) for pairs (i, i + rot / 2) or (2i, 2i + 1) of the first rot dimensions of
// each head of q and k, in place; f32, each product and sum rounded by itself, as the CPU does.
// q [T, q heads, D], k [T, kv heads, D]: F32, F16, BF16; cos_sin [T, rot] F32. A block takes one token (x) and, where tokens
// are few, a part of its heads (y); a thread turns eight pairs. No shared memory; the table stays in L1.
// Bound: bytes, q and k read and written once.
#include <algorithm>

#include "cuda/dispatch.cuh"
#include "cuda/ops.h"
#include "cuda/vec.cuh"

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

struct RopeParams {
  Rows q;
  Rows k;
  const float* cos_sin;
  int32_t q_heads;
  int32_t heads;  // of q and k
  int32_t half;
  bool interleaved;
  bool table_wide;
};

__global__ void rope_cos_sin_kernel(const CosSinParams p) {
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

__device__ __forceinline__ void turn(float& a, float& b, float cosine, float sine) {
  const float low = __fsub_rn(__fmul_rn(a, cosine), __fmul_rn(b, sine));
  b = __fadd_rn(__fmul_rn(b, cosine), __fmul_rn(a, sine));
  a = low;
}

__global__ void __launch_bounds__(kThreads) rope_kernel(const RopeParams p) {
  const int64_t token = blockIdx.x;
  const int groups = (p.half + kGroup - 1) / kGroup;  // eight pairs each
  const char* table = reinterpret_cast<const char*>(p.cos_sin + token * 2 * p.half);
  const int step = static_cast<int>(gridDim.y) * kThreads;
  for (int item = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x); item < p.heads * groups;
       item += step) {
    const int head = item / groups;
    const int64_t first = static_cast<int64_t>(item % groups) * kGroup;
    const Rows& rows = head < p.q_heads ? p.q : p.k;
    char* row = rows.head(token, head < p.q_heads ? head : head - p.q_heads);
    // Where the two groups of eight lie, and where they end.
    const int64_t low_at = p.interleaved ? 2 * first : first;
    const int64_t high_at = p.interleaved ? 2 * first + kGroup : p.half + first;
    const int64_t low_end = p.interleaved ? 2 * p.half : p.half;
    const bool wide = rows.wide && (p.interleaved || p.half % kGroup == 0);
    const Group low_bits = fetch(row, rows.dtype, wide, low_at, low_end);
    const Group high_bits = fetch(row, rows.dtype, wide, high_at, 2 * p.half);
    const Group cosine_bits = fetch(table, VN_DTYPE_F32, p.table_wide, first, p.half);
    const Group sine_bits = fetch(table, VN_DTYPE_F32, p.table_wide, p.half + first, 2 * p.half);
    float low[kGroup], high[kGroup], cosine[kGroup], sine[kGroup];
    widen(low_bits, rows.dtype, low);
    widen(high_bits, rows.dtype, high);
    widen(cosine_bits, VN_DTYPE_F32, cosine);
    widen(sine_bits, VN_DTYPE_F32, sine);
    if (p.interleaved) {
#pragma unroll
      for (int i = 0; i < kGroup / 2; ++i) {
        turn(low[2 * i], low[2 * i + 1], cosine[i], sine[i]);
        turn(high[2 * i], high[2 * i + 1], cosine[kGroup / 2 + i], sine[kGroup / 2 + i]);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kGroup; ++i) turn(low[i], high[i], cosine[i], sine[i]);
    }
    put(row, rows.dtype, wide, low_at, low_end, low);
    put(row, rows.dtype, wide, high_at, 2 * p.half, high);
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
  rope_cos_sin_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream.handle>>>(p);
  check(cudaGetLastError(), "rope_cos_sin: launch");
}

void rope(const Stream& stream, const vn_rope_params& params) {
  RopeParams p{};
  p.q = rows_of(params.q);
  p.q_heads = static_cast<int32_t>(params.q.shape[1]);
  p.heads = p.q_heads;
  if (params.k.data) {
    p.k = rows_of(params.k);
    p.heads += static_cast<int32_t>(params.k.shape[1]);
  }
  p.cos_sin = static_cast<const float*>(params.cos_sin.data);
  p.half = static_cast<int32_t>(params.cos_sin.shape[1] / 2);
  p.interleaved = params.style == VN_ROPE_INTERLEAVED;
  p.table_wide = reinterpret_cast<uintptr_t>(params.cos_sin.data) % 16 == 0 && p.half % kGroup == 0;
  const int64_t tokens = params.q.shape[0];
  const int64_t items = p.heads * ceil_div(p.half, kGroup);
  if (tokens == 0 || items == 0) return;
  const auto parts = static_cast<unsigned>(std::clamp<int64_t>(ceil_div(items, kThreads), 1, 32));
  rope_kernel<<<dim3(grid_x("rope", tokens), parts), kThreads, 0, stream.handle>>>(p);
  check(cudaGetLastError(), "rope: launch");
}

}  // namespace vn::cuda
