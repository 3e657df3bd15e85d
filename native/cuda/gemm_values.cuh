// Floating dtypes in kernels: values known at compile time by type, and single values whose dtype is known at run time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "core/dtype.h"
#include "core/error.h"

namespace vn::cuda {

static __host__ __device__ __forceinline__ float value_of(float x) { return x; }
static __host__ __device__ __forceinline__ float value_of(__half x) { return __half2float(x); }
static __host__ __device__ __forceinline__ float value_of(__nv_bfloat16 x) { return __bfloat162float(x); }

// x rounded to nearest even.
template <typename T>
static __host__ __device__ __forceinline__ T rounded(float x) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(x);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(x);
  } else {
    return x;
  }
}

static __device__ __forceinline__ float read_value(const void* data, int32_t dtype, int64_t i) {
  if (dtype == VN_DTYPE_F32) return static_cast<const float*>(data)[i];
  if (dtype == VN_DTYPE_F16) return value_of(static_cast<const __half*>(data)[i]);
  return value_of(static_cast<const __nv_bfloat16*>(data)[i]);
}

static __device__ __forceinline__ void write_value(void* data, int32_t dtype, int64_t i, float x) {
  if (dtype == VN_DTYPE_F32) {
    static_cast<float*>(data)[i] = x;
  } else if (dtype == VN_DTYPE_F16) {
    static_cast<__half*>(data)[i] = rounded<__half>(x);
  } else {
    static_cast<__nv_bfloat16*>(data)[i] = rounded<__nv_bfloat16>(x);
  }
}

// Calls body with a null pointer to the element type.
template <typename Body>
void with_value_type(const char* op, int32_t dtype, Body&& body) {
  switch (dtype) {
    case VN_DTYPE_F32: return body(static_cast<float*>(nullptr));
    case VN_DTYPE_F16: return body(static_cast<__half*>(nullptr));
    case VN_DTYPE_BF16: return body(static_cast<__nv_bfloat16*>(nullptr));
    default: fail(VN_UNSUPPORTED, "%s: dtype is %s (%d), expected F32, F16 or BF16", op, dtype_name(dtype), dtype);
  }
}

}  // namespace vn::cuda
