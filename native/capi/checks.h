// Argument checks of the C boundary: done once here, for all backends. A failed check throws vn::Error; the message names
// operation, argument, what was found and what was expected.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "core/dtype.h"
#include "core/error.h"

namespace vn {

// Copies a caller's struct into one of this library's size: a shorter one is filled with zeros, a longer one must have
// zeros in the tail that this library does not know.
template <typename T>
T read_struct(const char* op, const T* source) {
  if (!source) fail(VN_INVALID_ARGUMENT, "%s: params is NULL", op);
  uint32_t size = 0;
  std::memcpy(&size, source, sizeof size);
  if (size < sizeof size || size > (1u << 20)) {
    fail(VN_ABI_MISMATCH, "%s: struct_size is %u, expected %zu", op, size, sizeof(T));
  }
  T result{};
  std::memcpy(&result, source, size < sizeof(T) ? size : sizeof(T));
  const auto* bytes = reinterpret_cast<const unsigned char*>(source);
  for (size_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] != 0) {
      fail(VN_ABI_MISMATCH, "%s: struct_size is %u, this library knows %zu bytes and byte %zu is not zero", op, size,
           sizeof(T), i);
    }
  }
  return result;
}

// Sets of dtypes that a tensor may have.
constexpr uint32_t dtype_bit(int32_t dtype) { return 1u << dtype; }
constexpr uint32_t kFloatTypes = dtype_bit(VN_DTYPE_F32) | dtype_bit(VN_DTYPE_F16) | dtype_bit(VN_DTYPE_BF16);
constexpr uint32_t kCacheTypes = kFloatTypes | dtype_bit(VN_DTYPE_F8_E4M3);
constexpr uint32_t kF32 = dtype_bit(VN_DTYPE_F32);
constexpr uint32_t kI32 = dtype_bit(VN_DTYPE_I32);
constexpr uint32_t kI64 = dtype_bit(VN_DTYPE_I64);

constexpr int64_t kAny = -1;  // in an expected shape: any extent

// Which strides a tensor may have beyond an innermost stride of 1.
enum class Layout {
  kInnerContiguous,  // outer strides are free
  kDense,            // row-major without gaps
  kAnyStride,        // the innermost stride is free too
};

// Checks the arguments of one operation.
class Checker {
 public:
  explicit Checker(const char* op) : op_(op) {}

  // A tensor that must be there, with this shape (kAny matches every extent), one of these dtypes and this layout.
  void tensor(const char* name, const vn_tensor& t, uint32_t dtypes, std::initializer_list<int64_t> shape,
              Layout layout = Layout::kInnerContiguous) const;

  void pointer(const char* name, const void* value) const;
  void range(const char* name, int64_t value, int64_t low, int64_t high) const;
  void finite(const char* name, float value) const;
  // A scratch area of at least `needed` bytes.
  void workspace(const void* data, int64_t bytes, int64_t needed) const;
  // Replaces the scales by what they mean: 1 for 0, and in every cache that is not fp8.
  void kv_cache(vn_kv_cache& cache) const;

  const char* op() const { return op_; }

 private:
  const char* op_;
};

// Whether an optional tensor was given.
inline bool present(const vn_tensor& t) { return t.rank != 0 || t.data != nullptr; }

}  // namespace vn
