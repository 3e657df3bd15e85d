// Which instructions this processor has, found once at run time.
#pragma once

#include <cstdint>

#include "vllm_native.h"

namespace vn::cpu {

enum class Isa : int32_t {
  kScalar = VN_ISA_SCALAR,
  kAvx2 = VN_ISA_AVX2,
  kAvx512 = VN_ISA_AVX512,
  kAvx512Bf16 = VN_ISA_AVX512_BF16,
  kAmx = VN_ISA_AMX
};

// The best that the processor and the operating system support. Asks the latter for AMX's tiles, for the whole process.
Isa detect_isa();

}  // namespace vn::cpu
