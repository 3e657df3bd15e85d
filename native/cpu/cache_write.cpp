// Writes each token's K and V heads into their slot of the paged cache, converted to the cache's dtype. A slot outside the
// pool is skipped: the token belongs to a row that batch_prepare has flagged, or is padding.
#include "cpu/cache_store.h"
#include "cpu/ops.h"
#include "cpu/row_kernels.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

void cache_write(Device& device, const vn_cache_write_params& p) {
  const vn_kv_cache& cache = p.cache;
  const RowKernels& kernels = row_kernels(device.isa);
  const CacheStore keys = CacheStore::of_keys(kernels, cache), values = CacheStore::of_values(kernels, cache);
  const auto* slots = static_cast<const int64_t*>(p.slot_mapping.data);
  const int64_t num_slots = cache.num_blocks * cache.block_size, heads = cache.num_heads;
  device.pool.parallel_for(p.key.shape[0], grain_for(heads * (keys.dim + values.dim)), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      if (!in_range(slots[t], num_slots)) continue;
      const int64_t block = slots[t] / cache.block_size, offset = slots[t] % cache.block_size;
      for (int64_t h = 0; h < heads; ++h) {
        keys.write(block, offset, h, row_of(p.key, t, h), p.key.dtype);
        values.write(block, offset, h, row_of(p.value, t, h), p.value.dtype);
      }
    }
  });
}

}  // namespace vn::cpu
