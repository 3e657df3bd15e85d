// The split-KV kernel, to come.
#include "cuda/attention.h"

namespace vn::cuda {
bool decode_supports(const AttentionArgs&) { return false; }
void launch_attention_decode(const AttentionArgs&, int, cudaStream_t) {}
int64_t decode_partial_bytes(int, int32_t) { return 0; }
int64_t decode_piece_bytes(int) { return 0; }
}  // namespace vn::cuda
