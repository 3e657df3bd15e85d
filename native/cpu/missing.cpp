// Weak stand-ins while the operations are being written; deleted when the last one is in.
#include "core/error.h"
#include "cpu/ops.h"

namespace vn::cpu {
#define VN_MISSING_OP(name, params_type) \
  __attribute__((weak)) void name(Device&, const params_type&) { fail(VN_UNSUPPORTED, #name ": not written yet"); }
VN_FOR_EACH_OP(VN_MISSING_OP)
__attribute__((weak)) Weight* weight_create(Device&, int32_t, int32_t, int64_t, int64_t) { fail(VN_UNSUPPORTED, "weight"); }
__attribute__((weak)) void weight_destroy(Weight*) {}
__attribute__((weak)) void weight_load(Weight&, int64_t, int64_t, const void*, int32_t, int64_t) {}
__attribute__((weak)) void weight_fill(Weight&, uint64_t, float) {}
__attribute__((weak)) int64_t weight_bytes(const Weight&) { return 0; }
__attribute__((weak)) void convert(Device&, void*, int32_t, const void*, int32_t, int64_t) {}
__attribute__((weak)) int64_t gemm_workspace_size(const Weight&, int32_t, int64_t) { return 0; }
__attribute__((weak)) int64_t attention_workspace_size(Device&, int64_t, int32_t, int32_t, int64_t) { return 0; }
__attribute__((weak)) int64_t sample_workspace_size(Device&, int64_t, int64_t) { return 0; }
}  // namespace vn::cpu

namespace vn {
__attribute__((weak)) const BackendTable* cuda_backend(const char** reason) {
  *reason = "the CUDA plugin cannot be loaded yet";
  return nullptr;
}
}  // namespace vn
extern "C" __attribute__((weak)) int32_t vn_abi_layout(int32_t, const char**, int64_t*) { return VN_INVALID_ARGUMENT; }
