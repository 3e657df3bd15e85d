// Element sizes and scalar conversions. Rounding is to nearest, ties to even, everywhere.
#pragma once

#include <bit>
#include <cstdint>

#include "vllm_native.h"

namespace vn {

inline int64_t dtype_size(int32_t dtype) {
  switch (dtype) {
    case VN_DTYPE_F32:
    case VN_DTYPE_I32: return 4;
    case VN_DTYPE_F16:
    case VN_DTYPE_BF16: return 2;
    case VN_DTYPE_I64: return 8;
    case VN_DTYPE_F8_E4M3:
    case VN_DTYPE_U8: return 1;
    default: return 0;
  }
}

inline const char* dtype_name(int32_t dtype) {
  switch (dtype) {
    case VN_DTYPE_F32: return "F32";
    case VN_DTYPE_F16: return "F16";
    case VN_DTYPE_BF16: return "BF16";
    case VN_DTYPE_F8_E4M3: return "F8_E4M3";
    case VN_DTYPE_I32: return "I32";
    case VN_DTYPE_I64: return "I64";
    case VN_DTYPE_U8: return "U8";
    default: return "none";
  }
}

// Distinct types over integers, so that templates tell them apart. Conversions: cpu/convert.h.
struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};
// An element of an fp8 cache, without the cache's scale. Conversions: core/fp8.h.
struct e4m3 {
  uint8_t code;
};

}  // namespace vn
