// What the tests of weights, GEMM and embedding share: host values of any floating dtype, written here a second time
// and differently from the library; a device with its stream; guarded outputs.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "cpu_device.h"
#include "vllm_native.h"

namespace vn_test {

constexpr int32_t kDtypes[] = {VN_DTYPE_F32, VN_DTYPE_F16, VN_DTYPE_BF16};

inline int64_t size_of(int32_t dtype) { return dtype == VN_DTYPE_F32 ? 4 : 2; }

// Significand bits, and the exponent of the smallest normal number.
inline int precision(int32_t dtype) { return dtype == VN_DTYPE_F32 ? 24 : dtype == VN_DTYPE_F16 ? 11 : 8; }
inline int least_exponent(int32_t dtype) { return dtype == VN_DTYPE_F16 ? -14 : -126; }

// The value of dtype nearest to x (ties to even), as a double. Overflow is looked at for F16 alone.
inline double round_to(double x, int32_t dtype) {
  if (x == 0 || !std::isfinite(x)) return x;
  const int exponent = std::max(std::ilogb(x), least_exponent(dtype));
  const double step = std::ldexp(1.0, exponent - precision(dtype) + 1);
  const double rounded = std::nearbyint(x / step) * step;
  return dtype == VN_DTYPE_F16 && std::fabs(rounded) > 65504 ? std::copysign(INFINITY, x) : rounded;
}

// The spacing of dtype's values around x.
inline double ulp(double x, int32_t dtype) {
  const int exponent = x == 0 ? least_exponent(dtype) : std::max(std::ilogb(x), least_exponent(dtype));
  return std::ldexp(1.0, exponent - precision(dtype) + 1);
}

inline double read(const void* data, int32_t dtype, int64_t index) {
  if (dtype == VN_DTYPE_F32) return static_cast<const float*>(data)[index];
  const uint16_t bits = static_cast<const uint16_t*>(data)[index];
  const int fraction = precision(dtype) - 1;
  const int exponent = (bits & 0x7fff) >> fraction;
  const int mantissa = bits & ((1 << fraction) - 1);
  const int bias = 1 - least_exponent(dtype);
  double value;
  if (exponent == 2 * bias + 1) {
    value = mantissa ? std::nan("") : INFINITY;
  } else if (exponent == 0) {
    value = std::ldexp(mantissa, least_exponent(dtype) - fraction);
  } else {
    value = std::ldexp(mantissa + (1 << fraction), exponent - bias - fraction);
  }
  return bits & 0x8000 ? -value : value;
}

// Writes x, which round_to has made a finite value of dtype.
inline void write(void* data, int32_t dtype, int64_t index, double x) {
  if (dtype == VN_DTYPE_F32) {
    static_cast<float*>(data)[index] = static_cast<float>(x);
    return;
  }
  const int fraction = precision(dtype) - 1;
  const double magnitude = std::fabs(x);
  const int exponent = magnitude == 0 ? least_exponent(dtype) : std::max(std::ilogb(magnitude), least_exponent(dtype));
  // A subnormal has no hidden bit and exponent field 0: the sum below gives both cases.
  const auto steps = static_cast<int64_t>(std::ldexp(magnitude, fraction - exponent));
  const int64_t field = exponent - least_exponent(dtype);
  const auto bits = static_cast<uint16_t>((field << fraction) + steps);
  static_cast<uint16_t*>(data)[index] = static_cast<uint16_t>(bits | (std::signbit(x) ? 0x8000 : 0));
}

// A matrix with a row stride and a guard band behind every row, filled with a poison that no result has.
class Matrix {
 public:
  static constexpr unsigned char kPoison = 0xa5;

  Matrix(int32_t dtype, int64_t rows, int64_t columns, int64_t gap = 0)
      : dtype_(dtype), rows_(rows), columns_(columns), stride_(columns + gap),
        bytes_(static_cast<size_t>((rows * stride_ + 64) * size_of(dtype)), kPoison) {}

  double at(int64_t row, int64_t column) const { return read(bytes_.data(), dtype_, row * stride_ + column); }
  void set(int64_t row, int64_t column, double x) {
    write(bytes_.data(), dtype_, row * stride_ + column, round_to(x, dtype_));
  }
  void* data() { return bytes_.data(); }
  const void* row(int64_t r) const { return bytes_.data() + r * stride_ * size_of(dtype_); }
  void copy_row(int64_t to, const Matrix& source, int64_t from) {
    std::memcpy(bytes_.data() + to * stride_ * size_of(dtype_), source.row(from), row_bytes());
  }
  size_t row_bytes() const { return static_cast<size_t>(columns_ * size_of(dtype_)); }
  int32_t dtype() const { return dtype_; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t stride() const { return stride_; }

  vn_tensor tensor() { return {bytes_.data(), dtype_, 2, {rows_, columns_, 0, 0}, {stride_, 1, 0, 0}}; }
  vn_tensor vector() { return {bytes_.data(), dtype_, 1, {columns_, 0, 0, 0}, {1, 0, 0, 0}}; }

  // Whether every byte outside the elements still has its poison.
  bool guards_intact() const {
    for (size_t i = 0; i < bytes_.size(); ++i) {
      const int64_t element = static_cast<int64_t>(i) / size_of(dtype_);
      const bool inside = element / stride_ < rows_ && element % stride_ < columns_;
      if (!inside && bytes_[i] != kPoison) return false;
    }
    return true;
  }

 private:
  int32_t dtype_;
  int64_t rows_, columns_, stride_;
  std::vector<unsigned char> bytes_;
};

template <typename Engine>
Matrix random_matrix(Engine& engine, int32_t dtype, int64_t rows, int64_t columns, int64_t gap = 0) {
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  Matrix matrix(dtype, rows, columns, gap);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) matrix.set(r, c, uniform(engine));
  }
  return matrix;
}

// Every VN_ISA_... that this machine can run.
inline std::vector<int32_t> instruction_sets() {
  Cpu best(1);
  vn_device_info info{};
  info.struct_size = sizeof info;
  EXPECT_EQ(VN_OK, vn_device_get_info(best.device, &info));
  std::vector<int32_t> sets;
  for (int32_t isa = VN_ISA_SCALAR; isa <= info.capability; ++isa) sets.push_back(isa);
  return sets;
}

struct Weight {
  Weight(Cpu& cpu, int32_t use, int32_t dtype, int64_t rows, int64_t columns) {
    EXPECT_EQ(VN_OK, vn_weight_create(cpu.device, use, dtype, rows, columns, &handle)) << vn_last_error();
  }
  ~Weight() { vn_weight_destroy(handle); }
  Weight(const Weight&) = delete;
  Weight& operator=(const Weight&) = delete;

  void load(int64_t first_row, Matrix& source) {
    EXPECT_EQ(VN_OK, vn_weight_load(handle, first_row, source.rows(), source.columns(), source.data(), source.dtype(),
                                    source.stride()))
        << vn_last_error();
  }
  vn_weight* handle = nullptr;
};

// out = all rows of the weight, read by vn_embedding.
inline void read_rows(Cpu& cpu, const Weight& weight, Matrix& out, std::vector<int32_t> ids, float scale = 0.0f) {
  vn_embedding_params params{};
  params.struct_size = sizeof params;
  params.scale = scale;
  params.table = weight.handle;
  params.ids = {ids.data(), VN_DTYPE_I32, 1, {static_cast<int64_t>(ids.size()), 0, 0, 0}, {1, 0, 0, 0}};
  params.out = out.tensor();
  EXPECT_EQ(VN_OK, vn_embedding(cpu.stream, &params)) << vn_last_error();
}

inline std::vector<int32_t> all_ids(int64_t rows) {
  std::vector<int32_t> ids(static_cast<size_t>(rows));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  return ids;
}

}  // namespace vn_test
