// What stands between a merged q, k, v projection and attention: norm of each q and k head (row_norm.h), rotary position
// embedding, and the write into the paged cache (cache_store.h), token after token. Between steps a head is rounded to its
// dtype, so that the bits are those of the steps done one operation at a time.
#include <cstring>

#include "cpu/cache_store.h"
#include "cpu/ops.h"
#include "cpu/row_kernels.h"
#include "cpu/row_norm.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

namespace {

constexpr int64_t kMaxDim = 256;  // of a head: checked at the C boundary

// Turns the pairs of the first 2 * half elements of a head, in place: (a, b) -> (a cos - b sin, b cos + a sin).
void rotate_head(const RowKernels& kernels, int32_t style, char* head, int32_t dtype, const float* cosine, int64_t half) {
  const float* sine = cosine + half;
  alignas(64) float x[kMaxDim];
  kernels.load(x, head, dtype, 2 * half);
  if (style == VN_ROPE_INTERLEAVED) {
    kernels.rotate_pairs(x, cosine, sine, half);
  } else {
    kernels.rotate(x, x + half, cosine, sine, half);
  }
  kernels.store(head, dtype, x, 2 * half);
}

}  // namespace

void rope_cache_write(Device& device, const vn_rope_cache_write_params& p) {
  const vn_kv_cache& cache = p.cache;
  const RowKernels& kernels = row_kernels(device.isa);
  const RowNorm q_norm{kernels, cache.key_dim, p.eps, p.weight_offset, p.q_norm};
  const RowNorm k_norm{kernels, cache.key_dim, p.eps, p.weight_offset, p.k_norm};
  const CacheStore keys = CacheStore::of_keys(kernels, cache), values = CacheStore::of_values(kernels, cache);
  const auto* slots = static_cast<const int64_t*>(p.slot_mapping.data);
  const int64_t num_slots = cache.num_blocks * cache.block_size;
  const int64_t q_heads = p.q.shape[1], kv_heads = cache.num_heads, half = p.cos_sin.shape[1] / 2;
  const int32_t dtype = p.q.dtype;
  const auto head_bytes = static_cast<size_t>(keys.dim * dtype_size(dtype));

  // in is out, or elsewhere.
  const auto prepare = [&](const RowNorm& norm, const char* in, char* out, const float* cos_sin) {
    if (norm.weight.data) {
      norm.normalise(in, dtype, out, dtype);
    } else if (in != out) {
      std::memcpy(out, in, head_bytes);
    }
    rotate_head(kernels, p.style, out, dtype, cos_sin, half);
  };
  const int64_t work = q_heads * keys.dim + kv_heads * (keys.dim + values.dim);
  device.pool.parallel_for(p.q.shape[0], grain_for(work), [&](int64_t begin, int64_t end) {
    alignas(64) char key[kMaxDim * sizeof(float)];
    for (int64_t t = begin; t < end; ++t) {
      const auto* cos_sin = reinterpret_cast<const float*>(row_of(p.cos_sin, t));
      for (int64_t h = 0; h < q_heads; ++h) {
        char* head = row_of(p.q, t, h);
        prepare(q_norm, head, head, cos_sin);
      }
      if (!in_range(slots[t], num_slots)) continue;
      const int64_t block = slots[t] / cache.block_size, offset = slots[t] % cache.block_size;
      for (int64_t h = 0; h < kv_heads; ++h) {
        prepare(k_norm, row_of(p.k, t, h), key, cos_sin);
        keys.write(block, offset, h, key, dtype);
        values.write(block, offset, h, row_of(p.v, t, h), dtype);
      }
    }
  });
}

}  // namespace vn::cpu
