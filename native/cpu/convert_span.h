// Conversion of contiguous floats between F32, F16 and BF16 by the calling thread; every instruction set gives the same
// bits (NaN payloads excepted).
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace vn::cpu {

void convert_span(Isa isa, void* destination, int32_t dtype, const void* source, int32_t source_dtype, int64_t count);

#if defined(__x86_64__)
void convert_span_avx2(void* destination, int32_t dtype, const void* source, int32_t source_dtype, int64_t count);
#endif

}  // namespace vn::cpu
