// Parts of tiles (attention_split.cuh) by the tiled kernel for fp8 caches.
#include "cuda/attention_prefill_kernel.cuh"

namespace vn::cuda {

void launch_attention_prefill_split_fp8(const AttentionArgs& a, int multiprocessors, cudaStream_t stream) {
  with_head_dim(a.key_dim, [&](auto dim) {
    a.q_dtype == VN_DTYPE_F16 ? prefill::launch_split<__half, e4m3, dim>(a, multiprocessors, stream)
                              : prefill::launch_split<__nv_bfloat16, e4m3, dim>(a, multiprocessors, stream);
  });
}

}  // namespace vn::cuda
