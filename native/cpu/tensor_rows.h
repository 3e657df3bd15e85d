// Addresses inside a vn_tensor. Strides count elements.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace vn::cpu {

inline char* row_of(const vn_tensor& t, int64_t i) {
  return static_cast<char*>(t.data) + i * t.stride[0] * dtype_size(t.dtype);
}
inline char* row_of(const vn_tensor& t, int64_t i, int64_t j) {
  return static_cast<char*>(t.data) + (i * t.stride[0] + j * t.stride[1]) * dtype_size(t.dtype);
}
// Element i of a run of dtype.
inline char* element(char* run, int32_t dtype, int64_t i) { return run + i * dtype_size(dtype); }
inline const char* element(const char* run, int32_t dtype, int64_t i) { return run + i * dtype_size(dtype); }

inline int32_t& int_at(const vn_tensor& t, int64_t i) { return static_cast<int32_t*>(t.data)[i * t.stride[0]]; }
inline int32_t& int_at(const vn_tensor& t, int64_t i, int64_t j) {
  return static_cast<int32_t*>(t.data)[i * t.stride[0] + j * t.stride[1]];
}

inline bool in_range(int64_t x, int64_t end) { return x >= 0 && x < end; }

}  // namespace vn::cpu
