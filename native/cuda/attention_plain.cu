// out[t, h] = softmax(softcap(q[t, h] k^T * scale)) v for every shape and dtype: key and value dimensions 1..256, any group,
// F32, F16, BF16 for q, cache (fp8 too) and out in any combination. Accumulated in f32.
// Grid: (token, query head) on x, one block of kWarps warps each. Warp w takes runs w, w + kWarps, ... of kRun positions;
// lanes share the dimensions (lane, lane + 32, ...), so that loads of a position are contiguous. Each warp keeps an online
// softmax; the block merges them at the end in 4 (kWarps - 1) (256 + 2) bytes of static shared memory.
// Alignment: elements. Bound: instructions (5 shuffles for each position and head); K/V of a group are read by each head.
// The fallback of the tuned kernels, and the oracle that they are compared with on the device.
#include <type_traits>

#include "cuda/attention.cuh"
#include "cuda/check.h"

namespace vn::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kRun = 4;         // positions in flight
constexpr int kMaxDim = 256;
constexpr int kSlices = kMaxDim / 32;
constexpr unsigned kAllLanes = 0xffffffffu;

__device__ float load_as_float(const void* data, int32_t dtype, int64_t index) {
  switch (dtype) {
    case VN_DTYPE_F16: return __half2float(static_cast<const __half*>(data)[index]);
    case VN_DTYPE_BF16: return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[index]);
    default: return static_cast<const float*>(data)[index];
  }
}

__device__ void store_from_float(void* data, int32_t dtype, int64_t index, float x) {
  switch (dtype) {
    case VN_DTYPE_F16: static_cast<__half*>(data)[index] = __float2half_rn(x); break;
    case VN_DTYPE_BF16: static_cast<__nv_bfloat16*>(data)[index] = __float2bfloat16_rn(x); break;
    default: static_cast<float*>(data)[index] = x;
  }
}

__device__ float warp_sum(float x) {
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}

// The row that holds a token: the last whose first token is not after it.
__device__ int row_of_token(const AttentionArgs& a, int token) {
  int low = 0, high = a.rows;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (clamped_start(a, middle) <= token ? low : high) = middle;
  }
  return low;
}

// An online softmax over some positions: the largest exponent, the sum of weights, this lane's part of the weighted sum.
struct Softmax {
  float largest = -INFINITY;
  float weight = 0.0f;
  float sum[kSlices] = {};
};

template <typename Cache>
__device__ void add_run(const AttentionArgs& a, const int32_t* table, int kv_head, int start, int end, const float* q,
                        Softmax& s) {
  const int lane = threadIdx.x % 32;
  const Cache* value[kRun];
  float score[kRun];
#pragma unroll
  for (int i = 0; i < kRun; ++i) {
    const int position = min(start + i, end - 1);
    const int64_t block = block_at(a, table, position / a.block_size);
    const int64_t slot = position % a.block_size;
    const Cache* key = static_cast<const Cache*>(a.key) + block * a.key_block_stride + kv_head * a.key_head_stride +
                       slot * a.key_slot_stride;
    value[i] = static_cast<const Cache*>(a.value) + block * a.value_block_stride + kv_head * a.value_head_stride +
               slot * a.value_slot_stride;
    score[i] = 0.0f;
#pragma unroll
    for (int j = 0; j < kSlices; ++j) {
      const int d = lane + 32 * j;
      if (d < a.key_dim) score[i] += q[j] * to_float(key[d]);
    }
  }
  float largest = s.largest;
#pragma unroll
  for (int i = 0; i < kRun; ++i) {
    const float x = warp_sum(score[i]) * a.scale;
    const float capped = a.softcap > 0.0f ? a.softcap * tanhf(x / a.softcap) : x;
    score[i] = start + i < end ? capped * kLog2OfE : -INFINITY;
    largest = fmaxf(largest, score[i]);
  }
  const float correction = s.largest == -INFINITY ? 0.0f : exp2f(s.largest - largest);
  s.largest = largest;
  s.weight *= correction;
#pragma unroll
  for (int j = 0; j < kSlices; ++j) s.sum[j] *= correction;
#pragma unroll
  for (int i = 0; i < kRun; ++i) {
    if (start + i >= end) break;
    const float p = exp2f(score[i] - largest);
    s.weight += p;
#pragma unroll
    for (int j = 0; j < kSlices; ++j) {
      const int d = lane + 32 * j;
      if (d < a.value_dim) s.sum[j] += p * to_float(value[i][d]);
    }
  }
}

template <typename Cache>
__global__ void __launch_bounds__(32 * kWarps) attention_plain_kernel(const AttentionArgs a) {
  __shared__ float shared_sum[kWarps - 1][kMaxDim];
  __shared__ float shared_largest[kWarps - 1], shared_weight[kWarps - 1];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int token = static_cast<int>(blockIdx.x / a.q_heads), head = static_cast<int>(blockIdx.x % a.q_heads);
  const int row_index = row_of_token(a, token);
  const RowRange row = row_range(a, row_index);
  if (token < row.begin || token >= row.end || (a.decode_rows_elsewhere && is_decode_row(a, row))) return;
  const int position = row.first_position() + token - row.begin;
  if (position < 0 || row.length <= 0) return;

  float q[kSlices];
#pragma unroll
  for (int j = 0; j < kSlices; ++j) {
    const int d = lane + 32 * j;
    const int64_t index = token * a.q_token_stride + head * a.q_head_stride + d;
    q[j] = d < a.key_dim ? load_as_float(a.q, a.q_dtype, index) : 0.0f;
  }
  const int32_t* table = table_of(a, row_index);
  Softmax s;
  for (int64_t start = first_seen(a, position) + warp * kRun; start <= position; start += kWarps * kRun) {
    add_run<Cache>(a, table, head / a.group, static_cast<int>(start), position + 1, q, s);
  }

  if (warp > 0) {
#pragma unroll
    for (int j = 0; j < kSlices; ++j) shared_sum[warp - 1][lane + 32 * j] = s.sum[j];
    if (lane == 0) {
      shared_largest[warp - 1] = s.largest;
      shared_weight[warp - 1] = s.weight;
    }
  }
  __syncthreads();
  if (warp > 0) return;
  for (int w = 0; w < kWarps - 1; ++w) {
    if (shared_largest[w] == -INFINITY && shared_weight[w] == 0.0f) continue;
    const float largest = fmaxf(s.largest, shared_largest[w]);
    const float mine = s.largest == -INFINITY ? 0.0f : exp2f(s.largest - largest), its = exp2f(shared_largest[w] - largest);
    s.largest = largest;
    s.weight = s.weight * mine + shared_weight[w] * its;
#pragma unroll
    for (int j = 0; j < kSlices; ++j) s.sum[j] = s.sum[j] * mine + shared_sum[w][lane + 32 * j] * its;
  }
#pragma unroll
  for (int j = 0; j < kSlices; ++j) {
    const int d = lane + 32 * j;
    const int64_t index = token * a.out_token_stride + head * a.out_head_stride + d;
    if (d < a.value_dim) store_from_float(a.out, a.out_dtype, index, s.sum[j] / s.weight * a.value_scale);
  }
}

}  // namespace

void launch_attention_plain(const AttentionArgs& args, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(args.tokens) * static_cast<unsigned>(args.q_heads);
  const auto launch = [&]<typename Cache>(Cache*) {
    attention_plain_kernel<Cache><<<blocks, 32 * kWarps, 0, stream>>>(args);
  };
  switch (args.cache_dtype) {
    case VN_DTYPE_F32: launch(static_cast<float*>(nullptr)); break;
    case VN_DTYPE_F16: launch(static_cast<__half*>(nullptr)); break;
    case VN_DTYPE_BF16: launch(static_cast<__nv_bfloat16*>(nullptr)); break;
    case VN_DTYPE_F8_E4M3: launch(static_cast<e4m3*>(nullptr)); break;
    default: fail(VN_UNSUPPORTED, "attention_paged: cache dtype is %d, expected F32, F16, BF16 or F8_E4M3", args.cache_dtype);
  }
  check(cudaGetLastError(), "attention_paged: launch");
}

}  // namespace vn::cuda
