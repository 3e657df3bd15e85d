// Rows of F32, F16 or BF16 in device memory, read and written as f32 in groups of eight elements. A dtype is an argument: a
// template parameter where instructions count (a constant folds away), a run-time value where they do not. A read has two
// steps, so that several groups are under way before the first is waited for: fetch (loads only), widen (arithmetic); a
// write has the same in the opposite order, pack and place.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>

#include "core/dtype.h"
#include "vllm_native.h"

namespace vn::cuda {

constexpr int kGroup = 8;  // elements: 16 bytes, or 32 of F32

// The rows of a tensor of rank 2, or the heads of one of rank 3.
struct Rows {
  char* data;
  int64_t stride;       // bytes from row to row
  int64_t head_stride;  // bytes from head to head
  int32_t dtype;
  bool wide;  // every row begins at a multiple of 16 bytes

  __device__ char* row(int64_t i) const { return data + i * stride; }
  __device__ char* head(int64_t i, int64_t h) const { return data + i * stride + h * head_stride; }
};

inline Rows rows_of(const vn_tensor& t) {
  const int64_t size = dtype_size(t.dtype);
  Rows rows{static_cast<char*>(t.data), 0, 0, t.dtype, reinterpret_cast<uintptr_t>(t.data) % 16 == 0};
  if (t.shape[0] > 1) rows.stride = t.stride[0] * size;
  if (t.rank == 3 && t.shape[1] > 1) rows.head_stride = t.stride[1] * size;
  rows.wide = rows.wide && rows.stride % 16 == 0 && rows.head_stride % 16 == 0;
  return rows;
}

// Eight elements as they lie in memory; high is used by F32 only.
struct Group {
  uint4 low;
  uint4 high;
};

// A whole group that begins at a multiple of 16 bytes.
__device__ __forceinline__ Group fetch_whole(const char* at, int32_t dtype) {
  const uint4* words = reinterpret_cast<const uint4*>(at);
  Group group{};
  group.low = words[0];
  if (dtype == VN_DTYPE_F32) group.high = words[1];
  return group;
}

// Elements [first, first + 8) of a row of `width` elements, those past its end as zeros. wide: the row and first allow
// 16-byte loads.
__device__ __forceinline__ Group fetch(const char* row, int32_t dtype, bool wide, int64_t first, int64_t width) {
  const bool f32 = dtype == VN_DTYPE_F32;
  if (wide && first + kGroup <= width) return fetch_whole(row + first * (f32 ? 4 : 2), dtype);
  uint32_t words[8] = {};
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    if (first + i >= width) continue;
    if (f32) {
      words[i] = reinterpret_cast<const uint32_t*>(row)[first + i];
    } else {
      words[i / 2] |= static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(row)[first + i]) << (i % 2 * 16);
    }
  }
  return {{words[0], words[1], words[2], words[3]}, {words[4], words[5], words[6], words[7]}};
}

__device__ __forceinline__ void widen(const Group& group, int32_t dtype, float (&out)[kGroup]) {
  const uint32_t words[8] = {group.low.x,  group.low.y,  group.low.z,  group.low.w,
                             group.high.x, group.high.y, group.high.z, group.high.w};
  if (dtype == VN_DTYPE_F32) {
#pragma unroll
    for (int i = 0; i < kGroup; ++i) out[i] = __uint_as_float(words[i]);
  } else if (dtype == VN_DTYPE_BF16) {
#pragma unroll
    for (int i = 0; i < kGroup / 2; ++i) {
      out[2 * i] = __uint_as_float(words[i] << 16);
      out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kGroup / 2; ++i) {
      out[2 * i] = __half2float(__ushort_as_half(static_cast<uint16_t>(words[i])));
      out[2 * i + 1] = __half2float(__ushort_as_half(static_cast<uint16_t>(words[i] >> 16)));
    }
  }
}

// Two floats as two 16-bit elements, the first in the low half.
__device__ __forceinline__ uint32_t narrow(float first, float second, int32_t dtype) {
  uint32_t pair;
  if (dtype == VN_DTYPE_BF16) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(first, second);
    memcpy(&pair, &both, sizeof pair);
  } else {
    const __half2 both = __floats2half2_rn(first, second);
    memcpy(&pair, &both, sizeof pair);
  }
  return pair;
}

// The opposite of widen; rounds to nearest even.
__device__ __forceinline__ Group pack(const float (&x)[kGroup], int32_t dtype) {
  uint32_t words[8] = {};
  if (dtype == VN_DTYPE_F32) {
#pragma unroll
    for (int i = 0; i < kGroup; ++i) words[i] = __float_as_uint(x[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kGroup / 2; ++i) words[i] = narrow(x[2 * i], x[2 * i + 1], dtype);
  }
  return {{words[0], words[1], words[2], words[3]}, {words[4], words[5], words[6], words[7]}};
}

// The opposite of fetch_whole.
__device__ __forceinline__ void place_whole(char* at, int32_t dtype, const Group& group) {
  uint4* words = reinterpret_cast<uint4*>(at);
  words[0] = group.low;
  if (dtype == VN_DTYPE_F32) words[1] = group.high;
}

// The opposite of fetch.
__device__ __forceinline__ void place(char* row, int32_t dtype, bool wide, int64_t first, int64_t width,
                                      const Group& group) {
  const bool f32 = dtype == VN_DTYPE_F32;
  if (wide && first + kGroup <= width) return place_whole(row + first * (f32 ? 4 : 2), dtype, group);
  const uint32_t words[8] = {group.low.x,  group.low.y,  group.low.z,  group.low.w,
                             group.high.x, group.high.y, group.high.z, group.high.w};
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    if (first + i >= width) continue;
    if (f32) {
      reinterpret_cast<uint32_t*>(row)[first + i] = words[i];
    } else {
      reinterpret_cast<uint16_t*>(row)[first + i] = static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16));
    }
  }
}

}  // namespace vn::cuda
