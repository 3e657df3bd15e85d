// The split-KV kernel (attention_decode_kernel.cuh) for fp8 caches.
#include "cuda/attention_decode_kernel.cuh"

namespace vn::cuda {

void launch_attention_decode_fp8(const AttentionArgs& a, int multiprocessors, cudaStream_t stream) {
  with_head_dim(a.key_dim, [&](auto dim) {
    a.q_dtype == VN_DTYPE_F16 ? decode::launch<__half, e4m3, dim>(a, multiprocessors, stream)
                              : decode::launch<__nv_bfloat16, e4m3, dim>(a, multiprocessors, stream);
  });
}

}  // namespace vn::cuda
