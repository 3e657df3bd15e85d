// What launchers share: grids, and run-time values that become template arguments.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/dtype.h"
#include "cuda/check.h"

namespace vn::cuda {

constexpr int kWarpSize = 32;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }

// The x extent of a grid.
inline unsigned grid_x(const char* op, int64_t blocks) {
  if (blocks > INT32_MAX) fail(VN_UNSUPPORTED, "%s: %lld blocks are more than a grid has", op, static_cast<long long>(blocks));
  return static_cast<unsigned>(blocks);
}

// Calls body with a null pointer to the element type.
template <typename Body>
void with_float_type(const char* op, int32_t dtype, Body&& body) {
  switch (dtype) {
    case VN_DTYPE_F32: return body(static_cast<float*>(nullptr));
    case VN_DTYPE_F16: return body(static_cast<__half*>(nullptr));
    case VN_DTYPE_BF16: return body(static_cast<__nv_bfloat16*>(nullptr));
    default: fail(VN_UNSUPPORTED, "%s: dtype is %s (%d), expected F32, F16 or BF16", op, dtype_name(dtype), dtype);
  }
}

inline int device_attribute(int ordinal, cudaDeviceAttr attribute) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, attribute, ordinal), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace vn::cuda
