// Parts of tiles (attention_split.cuh) by the tiled kernel for 16-bit caches.
#include "cuda/attention_prefill_kernel.cuh"

namespace vn::cuda {

int64_t split_partial_bytes(int multiprocessors, int32_t value_dim) {
  int64_t floats = 0;
  with_head_dim(value_dim, [&](auto dim) {
    const int64_t slots = 2 * int64_t{prefill::kBlocksPerSm<dim>} * multiprocessors;
    floats = slots * split_partial_floats(prefill::kRows<dim>, dim);
  });
  return (floats * static_cast<int64_t>(sizeof(float)) + 255) / 256 * 256;
}

void launch_attention_prefill_split(const AttentionArgs& a, int multiprocessors, cudaStream_t stream) {
  if (a.cache_dtype == VN_DTYPE_F8_E4M3) return launch_attention_prefill_split_fp8(a, multiprocessors, stream);
  with_head_dim(a.key_dim, [&](auto dim) {
    a.q_dtype == VN_DTYPE_F16 ? prefill::launch_split<__half, __half, dim>(a, multiprocessors, stream)
                              : prefill::launch_split<__nv_bfloat16, __nv_bfloat16, dim>(a, multiprocessors, stream);
  });
}

}  // namespace vn::cuda
