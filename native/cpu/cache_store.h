// Where heads of a paged KV cache lie, and how their elements are kept there.
#pragma once

#include <algorithm>
#include <cstring>

#include "core/fp8.h"
#include "cpu/row_kernels.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

// One of a cache's K and V.
struct CacheStore {
  const RowKernels& kernels;
  char* pool;
  int32_t dtype;
  float scale;  // of an fp8 cache
  int64_t dim;  // elements of a head
  int64_t block_stride, head_stride, slot_stride;

  static CacheStore of_keys(const RowKernels& kernels, const vn_kv_cache& c) {
    return {kernels,   static_cast<char*>(c.key), c.dtype,           c.key_scale,
            c.key_dim, c.key_block_stride,        c.key_head_stride, c.key_slot_stride};
  }
  static CacheStore of_values(const RowKernels& kernels, const vn_kv_cache& c) {
    return {kernels,     static_cast<char*>(c.value), c.dtype,             c.value_scale,
            c.value_dim, c.value_block_stride,        c.value_head_stride, c.value_slot_stride};
  }

  // Writes one head of a token.
  void write(int64_t block, int64_t offset, int64_t head, const char* in, int32_t in_dtype) const {
    put(element(pool, dtype, block * block_stride + head * head_stride + offset * slot_stride), in, in_dtype);
  }

 private:
  // The one place that knows how elements are stored.
  void put(char* out, const char* in, int32_t in_dtype) const {
    if (dtype == in_dtype) {
      std::memcpy(out, in, static_cast<size_t>(dim * dtype_size(dtype)));
      return;
    }
    alignas(64) float values[kRun];
    for (int64_t i = 0; i < dim; i += kRun) {
      const int64_t n = std::min(kRun, dim - i);
      kernels.load(values, element(in, in_dtype, i), in_dtype, n);
      if (dtype == VN_DTYPE_F8_E4M3) {
        for (int64_t j = 0; j < n; ++j) out[i + j] = static_cast<char>(e4m3_quantize(values[j], scale));
      } else {
        kernels.store(element(out, dtype, i), dtype, values, n);
      }
    }
  }
};

}  // namespace vn::cpu
