// The split-KV kernel (attention_decode_kernel.cuh) for 16-bit caches, and what it takes and needs.
#include "cuda/attention_decode_kernel.cuh"

namespace vn::cuda {

bool decode_supports(const AttentionArgs& a) {
  constexpr int kStaticBytes = 1024;
  bool fits = false;
  with_head_dim(a.key_dim, [&](auto dim) {
    const int bytes = a.cache_dtype == VN_DTYPE_F8_E4M3 ? decode::kSharedBytes<e4m3, dim> : decode::kSharedBytes<__half, dim>;
    fits = bytes + kStaticBytes <= a.shared_limit;
  });
  return fits && a.group <= kMaxDecodeGroup && aligned_for_tiles(a);
}

void launch_attention_decode(const AttentionArgs& a, int multiprocessors, cudaStream_t stream) {
  if (a.cache_dtype == VN_DTYPE_F8_E4M3) return launch_attention_decode_fp8(a, multiprocessors, stream);
  with_head_dim(a.key_dim, [&](auto dim) {
    a.q_dtype == VN_DTYPE_F16 ? decode::launch<__half, __half, dim>(a, multiprocessors, stream)
                              : decode::launch<__nv_bfloat16, __nv_bfloat16, dim>(a, multiprocessors, stream);
  });
}

int64_t decode_partial_bytes(int multiprocessors, int32_t value_dim) {
  const int64_t slots = 2 * int64_t{decode::kMaxBlocksPerSm} * multiprocessors;
  return (slots * decode::partial_floats(value_dim) * static_cast<int64_t>(sizeof(float)) + 255) / 256 * 256;
}

int64_t decode_arrivals(int multiprocessors) { return int64_t{decode::kMaxBlocksPerSm} * multiprocessors; }

}  // namespace vn::cuda
