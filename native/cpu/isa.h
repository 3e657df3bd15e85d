// Which instructions this processor has, found once at run time.
#pragma once

#include <cstdint>

namespace vn::cpu {

enum class Isa : int32_t { kScalar = 0, kAvx2 = 1, kAvx512 = 2, kAvx512Bf16 = 3 };

// The best that the processor and the operating system support.
Isa detect_isa();

}  // namespace vn::cpu
