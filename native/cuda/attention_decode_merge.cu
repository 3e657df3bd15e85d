// The second kernel of split-KV attention.
#include "cuda/attention_decode_plan.cuh"
#include "cuda/launch.cuh"

namespace vn::cuda::decode {
namespace {

// Merges what attention_decode_kernel left. Grid: x = row of the 16, y = block of that kernel; warps share the parts, lanes
// the dimensions. Bound: latency.
template <typename T, int kDim>
__global__ void __launch_bounds__(kThreads) attention_decode_merge_kernel(const AttentionArgs a) {
  constexpr int kSlices = kDim / 32;
  __shared__ float shared_sum[kWarps][kDim], shared_weight[kWarps];
  release_next_kernel();
  await_earlier_kernels();
  const int m = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const Piece piece = static_cast<const Piece*>(a.pieces)[blockIdx.y];
  if (piece.parts == 0) return;
  const RowRange row = row_range(a, piece.row);
  const auto [token, head, exists] = pair_of(a, row, piece.head, m);
  if (!exists || row.first_position() + token < 0) return;

  const auto part = [&](int i) {
    const int64_t slot = 2 * (static_cast<int64_t>(blockIdx.y) + i) + (i == 0);
    return a.partials + slot * partial_floats(kDim);
  };
  float base = -INFINITY;
  for (int i = lane; i < piece.parts; i += 32) base = fmaxf(base, part(i)[kDecodeRows * kDim + m]);
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) base = fmaxf(base, __shfl_xor_sync(kAllLanes, base, offset));
  float sum[kSlices] = {}, weight = 0.0f;
#pragma unroll 4
  for (int i = warp; i < piece.parts; i += kWarps) {
    const float* p = part(i);
    const float factor = weight_of(p[kDecodeRows * kDim + m], base);
    weight += factor * p[kDecodeRows * kDim + kDecodeRows + m];
#pragma unroll
    for (int j = 0; j < kSlices; ++j) sum[j] += factor * p[m * kDim + lane + 32 * j];
  }
#pragma unroll
  for (int j = 0; j < kSlices; ++j) shared_sum[warp][lane + 32 * j] = sum[j];
  if (lane == 0) shared_weight[warp] = weight;
  __syncthreads();
  weight = 0.0f;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) weight += shared_weight[w];
  T* out = static_cast<T*>(a.out) + (row.begin + token) * a.out_token_stride + head * a.out_head_stride;
  for (int d = static_cast<int>(threadIdx.x); d < kDim; d += kThreads) {
    float total = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += shared_sum[w][d];
    out[d] = from_float<T>(total / weight * a.value_scale);
  }
}

}  // namespace

void launch_merge(const AttentionArgs& a, unsigned blocks, cudaStream_t stream) {
  const int64_t rows = static_cast<int64_t>(a.max_query_len) * a.group;
  const dim3 grid(static_cast<unsigned>(rows < kDecodeRows ? rows : kDecodeRows), blocks);
  with_head_dim(a.key_dim, [&](auto dim) {
    const auto kernel = a.q_dtype == VN_DTYPE_F16 ? attention_decode_merge_kernel<__half, dim>
                                                  : attention_decode_merge_kernel<__nv_bfloat16, dim>;
    launch_overlapped("attention_paged: merge launch", stream, a.overlap, kernel, grid, kThreads, 0, a);
  });
}

}  // namespace vn::cuda::decode
