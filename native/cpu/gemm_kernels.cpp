// Which kernels a processor uses.
#include "cpu/gemm_kernels.h"

namespace vn::cpu {

namespace {

const GemmKernels& kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx512) return kGemmAvx512;
  if (isa == Isa::kAvx2) return kGemmAvx2;
#endif
  (void)isa;
  return kGemmScalar;
}

}  // namespace

const GemmFamily& gemm_family(Isa isa, int32_t w_dtype, int32_t x_dtype) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx512Bf16 && w_dtype == VN_DTYPE_BF16 && x_dtype == VN_DTYPE_BF16) {
    return isa == Isa::kAmx ? kGemmAmx : kGemmAvx512Bf16;
  }
#endif
  (void)x_dtype;
  switch (w_dtype) {
    case VN_DTYPE_F16: return *kernels(isa).f16;
    case VN_DTYPE_BF16: return *kernels(isa).bf16;
    default: return *kernels(isa).f32;
  }
}

GemmStore gemm_store(Isa isa) { return kernels(isa).store; }

}  // namespace vn::cpu
