// The tiled kernel (attention_prefill_kernel.cuh) for 16-bit caches, and what it takes.
#include "cuda/attention_prefill_kernel.cuh"

namespace vn::cuda {

bool prefill_supports(const AttentionArgs& a) {
  bool fits = false;
  with_head_dim(a.key_dim, [&](auto dim) {
    const int bytes = a.cache_dtype == VN_DTYPE_F8_E4M3 ? prefill::kSharedBytes<e4m3, dim> : prefill::kSharedBytes<__half, dim>;
    fits = bytes <= a.shared_limit;
  });
  return fits && a.scale > 0.0f && aligned_for_tiles(a);  // the largest score is found before scaling
}

void launch_attention_prefill(const AttentionArgs& a, cudaStream_t stream) {
  if (a.cache_dtype == VN_DTYPE_F8_E4M3) return launch_attention_prefill_fp8(a, stream);
  with_head_dim(a.key_dim, [&](auto dim) {
    a.q_dtype == VN_DTYPE_F16 ? prefill::launch<__half, __half, dim>(a, stream)
                              : prefill::launch<__nv_bfloat16, __nv_bfloat16, dim>(a, stream);
  });
}

}  // namespace vn::cuda
