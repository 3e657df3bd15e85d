// The tiled kernel (attention_prefill_kernel.cuh) for fp8 caches.
#include "cuda/attention_prefill_kernel.cuh"

namespace vn::cuda {

void launch_attention_prefill_fp8(const AttentionArgs& a, cudaStream_t stream) {
  with_head_dim(a.key_dim, [&](auto dim) {
    a.q_dtype == VN_DTYPE_F16 ? prefill::launch<__half, e4m3, dim>(a, stream)
                              : prefill::launch<__nv_bfloat16, e4m3, dim>(a, stream);
  });
}

}  // namespace vn::cuda
