#include "capi/checks.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

namespace vn {

namespace {

std::string shape_text(const int64_t* extents, int64_t rank) {
  std::string text = "[";
  for (int64_t i = 0; i < rank; ++i) {
    if (i) text += ", ";
    text += extents[i] == kAny ? "any" : std::to_string(extents[i]);
  }
  return text + "]";
}

std::string dtypes_text(uint32_t dtypes) {
  std::string text;
  for (int32_t dtype = 1; dtype < 32; ++dtype) {
    if (dtypes & dtype_bit(dtype)) text += (text.empty() ? "" : ", ") + std::string(dtype_name(dtype));
  }
  return text;
}

}  // namespace

void Checker::tensor(const char* name, const vn_tensor& t, uint32_t dtypes, std::initializer_list<int64_t> shape,
                     Layout layout) const {
  if (t.dtype < 1 || t.dtype > 31 || !(dtypes & dtype_bit(t.dtype))) {
    fail(VN_UNSUPPORTED, "%s: %s has dtype %s (%d), expected one of %s", op_, name, dtype_name(t.dtype), t.dtype,
         dtypes_text(dtypes).c_str());
  }
  const int32_t rank = static_cast<int32_t>(shape.size());
  bool fits = t.rank == rank;
  bool empty = false;
  for (int32_t i = 0; fits && i < rank; ++i) {
    const int64_t expected = shape.begin()[i];
    fits = t.shape[i] >= 0 && (expected == kAny || t.shape[i] == expected);
    empty |= t.shape[i] == 0;
  }
  if (!fits) {
    fail(VN_SHAPE, "%s: %s has shape %s, expected %s", op_, name,
         t.rank >= 1 && t.rank <= 4 ? shape_text(t.shape, t.rank).c_str() : ("rank " + std::to_string(t.rank)).c_str(),
         shape_text(shape.begin(), rank).c_str());
  }
  if (empty) return;
  if (!t.data) fail(VN_INVALID_ARGUMENT, "%s: %s has data NULL", op_, name);
  const int64_t element = dtype_size(t.dtype);
  if (reinterpret_cast<uintptr_t>(t.data) % static_cast<uintptr_t>(element) != 0) {
    fail(VN_INVALID_ARGUMENT, "%s: %s is not aligned to its %lld-byte elements", op_, name,
         static_cast<long long>(element));
  }
  // The span that the strides reach must be addressable.
  int64_t dense = 1;
  for (int32_t i = rank - 1; i >= 0; --i) {
    int64_t reach = 0;
    if (t.stride[i] < 0 || __builtin_mul_overflow(t.shape[i], t.stride[i], &reach) ||
        __builtin_mul_overflow(reach, element, &reach)) {
      fail(VN_SHAPE, "%s: %s has stride %lld in dimension %d", op_, name, static_cast<long long>(t.stride[i]), i);
    }
    const bool free_stride = layout == Layout::kAnyStride || (layout == Layout::kInnerContiguous && i != rank - 1);
    if (!free_stride && t.shape[i] > 1 && t.stride[i] != dense) {
      fail(VN_SHAPE, "%s: %s has stride %lld in dimension %d, expected %lld", op_, name,
           static_cast<long long>(t.stride[i]), i, static_cast<long long>(dense));
    }
    if (__builtin_mul_overflow(dense, t.shape[i], &dense)) fail(VN_SHAPE, "%s: %s is too large", op_, name);
  }
}

void Checker::pointer(const char* name, const void* value) const {
  if (!value) fail(VN_INVALID_ARGUMENT, "%s: %s is NULL", op_, name);
}

void Checker::range(const char* name, int64_t value, int64_t low, int64_t high) const {
  if (value < low || value > high) {
    fail(VN_INVALID_ARGUMENT, "%s: %s is %lld, expected %lld..%lld", op_, name, static_cast<long long>(value),
         static_cast<long long>(low), static_cast<long long>(high));
  }
}

void Checker::finite(const char* name, float value) const {
  if (!std::isfinite(value)) fail(VN_INVALID_ARGUMENT, "%s: %s is not finite", op_, name);
}

void Checker::workspace(const void* data, int64_t bytes, int64_t needed) const {
  if (needed > 0 && (!data || bytes < needed)) {
    fail(VN_INVALID_ARGUMENT, "%s: workspace has %lld bytes, expected at least %lld", op_,
         static_cast<long long>(data ? bytes : 0), static_cast<long long>(needed));
  }
  if (reinterpret_cast<uintptr_t>(data) % 64 != 0) fail(VN_INVALID_ARGUMENT, "%s: workspace is not 64-byte aligned", op_);
}

void Checker::kv_cache(vn_kv_cache& cache) const {
  if (cache.struct_size != sizeof(vn_kv_cache)) {
    fail(VN_ABI_MISMATCH, "%s: cache.struct_size is %u, expected %zu", op_, cache.struct_size, sizeof(vn_kv_cache));
  }
  if (cache.dtype < 1 || cache.dtype > 31 || !(kCacheTypes & dtype_bit(cache.dtype))) {
    fail(VN_UNSUPPORTED, "%s: cache has dtype %s (%d), expected one of %s", op_, dtype_name(cache.dtype), cache.dtype,
         dtypes_text(kCacheTypes).c_str());
  }
  for (const auto& [name, scale] : {std::pair{"key_scale", &cache.key_scale}, std::pair{"value_scale", &cache.value_scale}}) {
    if (cache.dtype != VN_DTYPE_F8_E4M3 || *scale == 0.0f) *scale = 1.0f;
    if (!(*scale > 0.0f) || !std::isfinite(*scale)) {
      fail(VN_INVALID_ARGUMENT, "%s: cache.%s is %g, expected a finite number above 0, or 0 for 1", op_, name,
           static_cast<double>(*scale));
    }
  }
  pointer("cache.key", cache.key);
  pointer("cache.value", cache.value);
  range("cache.num_blocks", cache.num_blocks, 1, INT32_MAX);
  range("cache.block_size", cache.block_size, 1, 1024);
  range("cache.num_heads", cache.num_heads, 1, 4096);
  range("cache.key_dim", cache.key_dim, 1, 1024);
  range("cache.value_dim", cache.value_dim, 1, 1024);
  for (const int64_t stride : {cache.key_block_stride, cache.key_head_stride, cache.key_slot_stride,
                               cache.value_block_stride, cache.value_head_stride, cache.value_slot_stride}) {
    if (stride < 0 || stride > (int64_t{1} << 40)) {
      fail(VN_SHAPE, "%s: cache has a stride of %lld elements", op_, static_cast<long long>(stride));
    }
  }
}

}  // namespace vn
