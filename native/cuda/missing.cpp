// Weak stand-ins while the operations are being written; deleted when the last one is in.
#include "core/error.h"
#include "cuda/ops.h"

namespace vn::cuda {
#define VN_MISSING_OP(name, params_type)                                              \
  __attribute__((weak)) void name(const Stream&, const params_type&) {                \
    fail(VN_UNSUPPORTED, #name ": the CUDA backend does not compute this yet");       \
  }
VN_FOR_EACH_OP(VN_MISSING_OP)
__attribute__((weak)) Weight* weight_create(const Device&, int32_t, int32_t, int64_t, int64_t) {
  fail(VN_UNSUPPORTED, "weight_create: the CUDA backend does not compute this yet");
}
__attribute__((weak)) void weight_destroy(Weight*) {}
__attribute__((weak)) void weight_load(Weight&, int64_t, int64_t, const void*, int32_t, int64_t) {}
__attribute__((weak)) void weight_fill(Weight&, uint64_t, float) {}
__attribute__((weak)) int64_t weight_bytes(const Weight&) { return 0; }
__attribute__((weak)) int64_t gemm_workspace_size(const Weight&, int32_t, int64_t) { return 0; }
__attribute__((weak)) int64_t attention_workspace_size(const Device&, int64_t, int32_t, int32_t, int64_t) { return 0; }
__attribute__((weak)) int64_t sample_workspace_size(const Device&, int64_t, int64_t) { return 0; }
}  // namespace vn::cuda
