// What the tests of the row operations and of attention share: a CPU device with its stream, and arrays of any dtype with
// guard bands on both sides. Conversions are written here a second time, in double precision.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "cpu_device.h"
#include "vllm_native.h"

namespace ops_test {

constexpr int32_t kFloats[] = {VN_DTYPE_F32, VN_DTYPE_F16, VN_DTYPE_BF16};
constexpr int32_t kCaches[] = {VN_DTYPE_F32, VN_DTYPE_F16, VN_DTYPE_BF16, VN_DTYPE_F8_E4M3};

using vn_test::Cpu;

template <typename Params>
Params params_of() {
  Params params{};
  params.struct_size = sizeof params;
  return params;
}

inline int64_t size_of(int32_t dtype) {
  if (dtype == VN_DTYPE_F8_E4M3) return 1;
  return dtype == VN_DTYPE_I64 ? 8 : dtype == VN_DTYPE_F32 || dtype == VN_DTYPE_I32 ? 4 : 2;
}

// Significand bits, and the exponent of the smallest normal number.
inline int significand(int32_t dtype) {
  return dtype == VN_DTYPE_F32 ? 24 : dtype == VN_DTYPE_F16 ? 11 : dtype == VN_DTYPE_F8_E4M3 ? 4 : 8;
}
inline int least_exponent(int32_t dtype) { return dtype == VN_DTYPE_F16 ? -14 : dtype == VN_DTYPE_F8_E4M3 ? -6 : -126; }

// The spacing of dtype's values around x.
inline double ulp(double x, int32_t dtype) {
  const int exponent = x == 0 ? least_exponent(dtype) : std::max(std::ilogb(x), least_exponent(dtype));
  return std::ldexp(1.0, exponent - significand(dtype) + 1);
}

inline double read_bits16(uint16_t bits, int32_t dtype) {
  const int fraction = significand(dtype) - 1;
  const int exponent = (bits & 0x7fff) >> fraction, mantissa = bits & ((1 << fraction) - 1);
  const int bias = 1 - least_exponent(dtype);
  double value = 0;
  if (exponent == 2 * bias + 1) {
    value = mantissa ? std::nan("") : INFINITY;
  } else if (exponent == 0) {
    value = std::ldexp(mantissa, least_exponent(dtype) - fraction);
  } else {
    value = std::ldexp(mantissa + (1 << fraction), exponent - bias - fraction);
  }
  return bits & 0x8000 ? -value : value;
}

inline uint16_t nearest_bits16(double x, int32_t dtype) {
  const int fraction = significand(dtype) - 1;
  if (std::isnan(x)) return 0x7fff;
  const double magnitude = std::fabs(x);
  const int exponent = magnitude == 0 ? least_exponent(dtype) : std::max(std::ilogb(magnitude), least_exponent(dtype));
  // A subnormal has no hidden bit and exponent field 0, and rounding may carry: the sum gives all cases.
  const auto steps = static_cast<int64_t>(std::nearbyint(std::ldexp(magnitude, fraction - exponent)));
  const int64_t field = exponent - least_exponent(dtype);
  return static_cast<uint16_t>(((field << fraction) + steps) | (std::signbit(x) ? 0x8000 : 0));
}

inline double read_e4m3(uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  if ((code & 0x7f) == 0x7f) return std::nan("");
  const double value = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return code & 0x80 ? -value : value;
}

inline uint8_t nearest_e4m3(double x) {
  if (std::isnan(x)) return 0x7f;
  const int sign = std::signbit(x) ? 0x80 : 0;
  const double magnitude = std::min(std::fabs(x), 448.0);
  const int exponent = magnitude == 0 ? -6 : std::max(std::ilogb(magnitude), -6);
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));
  return static_cast<uint8_t>((((exponent + 6) << 3) + steps) | sign);
}

// x as an array of dtype holds it.
inline double rounded_to(double x, int32_t dtype) {
  if (dtype == VN_DTYPE_F32) return static_cast<float>(x);
  return dtype == VN_DTYPE_F8_E4M3 ? read_e4m3(nearest_e4m3(x)) : read_bits16(nearest_bits16(x, dtype), dtype);
}

// A dense array of any rank; poisoned until written.
class Array {
 public:
  static constexpr unsigned char kPoison = 0xff;  // NaN in every floating dtype, -1 in every integer one
  static constexpr size_t kGuard = 128;

  Array(int32_t dtype, std::vector<int64_t> shape) : dtype_(dtype), shape_(std::move(shape)) {
    count_ = 1;
    for (const int64_t extent : shape_) count_ *= extent;
    bytes_.assign(static_cast<size_t>(count_ * size_of(dtype)) + 2 * kGuard, kPoison);
  }

  int64_t count() const { return count_; }
  int32_t dtype() const { return dtype_; }
  void* data() { return bytes_.data() + kGuard; }
  const void* data() const { return bytes_.data() + kGuard; }
  int32_t* ints() { return static_cast<int32_t*>(data()); }
  int64_t* longs() { return static_cast<int64_t*>(data()); }

  double at(int64_t i) const {
    if (dtype_ == VN_DTYPE_F32) return static_cast<const float*>(data())[i];
    if (dtype_ == VN_DTYPE_F8_E4M3) return read_e4m3(static_cast<const uint8_t*>(data())[i]);
    return read_bits16(static_cast<const uint16_t*>(data())[i], dtype_);
  }
  void set(int64_t i, double x) {
    if (dtype_ == VN_DTYPE_F32) {
      static_cast<float*>(data())[i] = static_cast<float>(x);
    } else if (dtype_ == VN_DTYPE_F8_E4M3) {
      static_cast<uint8_t*>(data())[i] = nearest_e4m3(x);
    } else {
      static_cast<uint16_t*>(data())[i] = nearest_bits16(x, dtype_);
    }
  }
  template <typename Engine>
  Array& randomize(Engine& engine, double low = -1.0, double high = 1.0) {
    std::uniform_real_distribution<double> uniform(low, high);
    for (int64_t i = 0; i < count_; ++i) set(i, uniform(engine));
    return *this;
  }
  Array& fill(std::vector<int32_t> values) {
    std::copy(values.begin(), values.end(), ints());
    return *this;
  }
  std::vector<int32_t> as_ints() const {
    const auto* p = static_cast<const int32_t*>(data());
    return std::vector<int32_t>(p, p + count_);
  }
  std::vector<int64_t> as_longs() const {
    const auto* p = static_cast<const int64_t*>(data());
    return std::vector<int64_t>(p, p + count_);
  }

  vn_tensor tensor() {
    vn_tensor t{data(), dtype_, static_cast<int32_t>(shape_.size()), {}, {}};
    int64_t stride = 1;
    for (size_t i = shape_.size(); i-- > 0;) {
      t.shape[i] = shape_[i];
      t.stride[i] = stride;
      stride *= shape_[i];
    }
    return t;
  }
  // Columns [first, first + columns) of the last dimension of a rank-2 array, as [rows, columns] or [rows, heads, dim].
  vn_tensor columns(int64_t first, int64_t columns_count, int64_t heads = 0) {
    vn_tensor t = tensor();
    t.data = static_cast<char*>(data()) + first * size_of(dtype_);
    t.shape[1] = columns_count;
    if (heads > 0) {
      t.rank = 3;
      t.shape[1] = heads;
      t.shape[2] = columns_count / heads;
      t.stride[1] = t.shape[2];
      t.stride[2] = 1;
    }
    return t;
  }

  bool guards_intact() const {
    for (size_t i = 0; i < kGuard; ++i) {
      if (bytes_[i] != kPoison || bytes_[bytes_.size() - 1 - i] != kPoison) return false;
    }
    return true;
  }
  bool poisoned(int64_t first, int64_t n) const {
    const unsigned char* p = bytes_.data() + kGuard + first * size_of(dtype_);
    return std::all_of(p, p + n * size_of(dtype_), [](unsigned char c) { return c == kPoison; });
  }
  // The bytes of n elements, for bitwise comparisons.
  std::vector<unsigned char> slice(int64_t first, int64_t n) const {
    const unsigned char* p = bytes_.data() + kGuard + first * size_of(dtype_);
    return std::vector<unsigned char>(p, p + n * size_of(dtype_));
  }

 private:
  int32_t dtype_;
  std::vector<int64_t> shape_;
  int64_t count_ = 1;
  std::vector<unsigned char> bytes_;
};

// Whether got is `expected` rounded once to dtype, give or take an absolute error of the f32 arithmetic before.
inline bool close(double got, double expected, int32_t dtype, double f32_error) {
  const double allowed = f32_error + (dtype == VN_DTYPE_F32 ? 0.0 : 0.5 * ulp(std::fabs(expected) + f32_error, dtype));
  return std::fabs(got - expected) <= allowed;
}

}  // namespace ops_test
