// Writes each token's K and V heads into their slot of the paged cache, converted to the cache's dtype. A slot outside the
// pool is skipped: the token belongs to a row that batch_prepare has flagged, or is padding.
#include <algorithm>
#include <cstring>

#include "core/fp8.h"
#include "cpu/ops.h"
#include "cpu/row_kernels.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

namespace {

// One of K and V: a tensor [T, heads, dim] and where its elements go.
struct Part {
  const RowKernels& kernels;
  const vn_tensor& source;
  char* pool;
  int32_t dtype;
  float scale;
  int64_t block_stride, head_stride, slot_stride;

  void write(int64_t token, int64_t block, int64_t offset) const {
    for (int64_t h = 0; h < source.shape[1]; ++h) {
      put(element(pool, dtype, block * block_stride + h * head_stride + offset * slot_stride), row_of(source, token, h),
          source.shape[2]);
    }
  }

  // The one place that knows how elements are stored.
  void put(char* out, const char* in, int64_t count) const {
    if (dtype == source.dtype) {
      std::memcpy(out, in, static_cast<size_t>(count * dtype_size(dtype)));
      return;
    }
    alignas(64) float values[kRun];
    for (int64_t i = 0; i < count; i += kRun) {
      const int64_t n = std::min(kRun, count - i);
      kernels.load(values, element(in, source.dtype, i), source.dtype, n);
      if (dtype == VN_DTYPE_F8_E4M3) {
        for (int64_t j = 0; j < n; ++j) out[i + j] = static_cast<char>(e4m3_quantize(values[j], scale));
      } else {
        kernels.store(element(out, dtype, i), dtype, values, n);
      }
    }
  }
};

}  // namespace

void cache_write(Device& device, const vn_cache_write_params& p) {
  const vn_kv_cache& cache = p.cache;
  const RowKernels& kernels = row_kernels(device.isa);
  const Part key{kernels,
                 p.key,
                 static_cast<char*>(cache.key),
                 cache.dtype,
                 cache.key_scale,
                 cache.key_block_stride,
                 cache.key_head_stride,
                 cache.key_slot_stride};
  const Part value{kernels,
                   p.value,
                   static_cast<char*>(cache.value),
                   cache.dtype,
                   cache.value_scale,
                   cache.value_block_stride,
                   cache.value_head_stride,
                   cache.value_slot_stride};
  const auto* slots = static_cast<const int64_t*>(p.slot_mapping.data);
  const int64_t num_slots = cache.num_blocks * cache.block_size;
  const int64_t work = p.key.shape[1] * (p.key.shape[2] + p.value.shape[2]);
  device.pool.parallel_for(p.key.shape[0], grain_for(work), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t slot = slots[t * p.slot_mapping.stride[0]];
      if (!in_range(slot, num_slots)) continue;
      key.write(t, slot / cache.block_size, slot % cache.block_size);
      value.write(t, slot / cache.block_size, slot % cache.block_size);
    }
  });
}

}  // namespace vn::cpu
