// A product on both devices, as the parity tests of vn_gemm and vn_gemm_tune ask for it: run by one kernel or as chosen, and compared.
//
// The CPU computes one F32 result for each x and W; CUDA's result in any dtype must be that, give or take the f32 error of a
// sum in another order, rounded once. The allowed f32 error, as a part of the bound sum |x||w| (uniform values: K / 4):
// 2^-21 where products are added in f32, 2^-19 in tensor cores, which cut off bits when they align addends. TF32 would err by
// more than ten times the former. A bias of another dtype than y's is allowed one rounding to y's dtype.
#pragma once

#include <memory>
#include <string>

#include "parity_support.h"

namespace parity_gemm {

using ops_test::Array;
using ops_test::kFloats;
using ops_test::params_of;
using parity::devices;
using parity::Side;

enum Kernel : int32_t { kChosen = 0, kCublasLt = 1, kSkinny = 2, kPlain = 3, kHopper = 4, kHopperDeep = 5 };  // vn_gemm_params.reserved
constexpr Side kSides[] = {Side::kCpu, Side::kCuda};

inline std::string name(int32_t dtype) {
  return dtype == VN_DTYPE_F32 ? "F32" : dtype == VN_DTYPE_F16 ? "F16" : dtype == VN_DTYPE_BF16 ? "BF16" : "none";
}

inline bool on_hopper() {
  vn_device_info info{};
  info.struct_size = sizeof info;
  EXPECT_EQ(VN_OK, vn_device_get_info(devices().cuda, &info)) << vn_last_error();
  return info.capability == 90;
}

// One for all problems: large, and the same for all row counts.
inline parity::Workspace& workspace() {
  static parity::Workspace shared(int64_t{16} << 20, (int64_t{32} << 20) + (int64_t{128} << 10));
  return shared;
}

// x and W on both devices and the CPU's F32 product; W is loaded, or drawn where that would take long.
class Problem {
 public:
  Problem(int64_t m, int64_t n, int64_t k, int32_t x_dtype, int32_t w_dtype, int64_t x_gap = 0)
      : m_(m), n_(n), k_(k), x_gap_(x_gap), x_dtype_(x_dtype), w_dtype_(w_dtype), x_(x_dtype, {m, k + x_gap}),
        reference_(VN_DTYPE_F32, {m, n}), bias_(VN_DTYPE_F32, {n}) {
    std::mt19937 engine(static_cast<uint32_t>(m * 7919 + n * 31 + k));
    x_.host().randomize(engine);
    x_.upload();
    // Biases are values of every dtype, so that only the sum is rounded; others are tried by OddBias.
    for (int64_t i = 0; i < n; ++i) bias_.set(i, static_cast<double>(static_cast<int>(engine() % 127) - 63) / 64);
    for (const Side side : kSides) {
      EXPECT_EQ(VN_OK, vn_weight_create(devices().device(side), VN_WEIGHT_GEMM, w_dtype, n, k, &on(side)))
          << vn_last_error();
      EXPECT_EQ(VN_OK, vn_weight_fill(on(side), 17, 1.0f)) << vn_last_error();
    }
    auto params = common(Side::kCpu);
    params.y = reference_.tensor();
    EXPECT_EQ(VN_OK, vn_gemm(devices().cpu_stream, &params)) << vn_last_error();
  }
  ~Problem() {
    for (vn_weight* handle : weights_) vn_weight_destroy(handle);
  }
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;

  // Lets CUDA measure this product, with nothing written outside y and the workspace.
  void tune(int32_t y_dtype, int32_t bias_dtype) {
    parity::Twin y(y_dtype, {m_, n_});
    parity::Twin bias(bias_dtype ? bias_dtype : VN_DTYPE_F32, {n_});
    auto params = common(Side::kCuda);
    params.y = y.tensor(Side::kCuda);
    if (bias_dtype) {
      for (int64_t i = 0; i < n_; ++i) bias.host().set(i, bias_.at(i));
      bias.upload();
      params.bias = bias.tensor(Side::kCuda);
    }
    ASSERT_EQ(VN_OK, vn_gemm_tune_workspace_size(on(Side::kCuda), x_dtype_, y_dtype, m_, &params.workspace_bytes))
        << vn_last_error();
    parity::Workspace scratch(0, params.workspace_bytes);
    params.workspace = scratch.data(Side::kCuda);
    ASSERT_EQ(VN_OK, vn_gemm_tune(devices().cuda_stream, &params)) << vn_last_error();
    ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
    EXPECT_TRUE(scratch.guard_intact());
    EXPECT_TRUE(y.download().guards_intact());
  }

  vn_gemm_params common(Side side) {
    auto params = params_of<vn_gemm_params>();
    params.weight = on(side);
    params.x = x_.view(x_.host().columns(0, k_), side);
    params.workspace = workspace().data(side);
    EXPECT_EQ(VN_OK, vn_gemm_workspace_size(on(side), x_dtype_, m_, &params.workspace_bytes)) << vn_last_error();
    EXPECT_LE(params.workspace_bytes, workspace().bytes(side));
    return params;
  }

  // Runs one kernel on CUDA and compares. bias_dtype 0: none.
  void check(Kernel kernel, int32_t y_dtype, int32_t bias_dtype, int64_t y_gap = 0) {
    parity::Twin y(y_dtype, {m_, n_ + y_gap});
    parity::Twin bias(bias_dtype ? bias_dtype : VN_DTYPE_F32, {n_});
    auto params = common(Side::kCuda);
    params.reserved = kernel;
    params.y = y.view(y.host().columns(0, n_), Side::kCuda);
    if (bias_dtype) {
      for (int64_t i = 0; i < n_; ++i) bias.host().set(i, bias_.at(i));
      bias.upload();
      params.bias = bias.tensor(Side::kCuda);
    }
    std::ostringstream text;
    text << "[" << m_ << ", " << k_ << "] x " << n_ << ", x " << name(x_dtype_) << ", W " << name(w_dtype_) << ", y "
         << name(y_dtype) << ", bias " << name(bias_dtype) << ", gaps " << x_gap_ << " " << y_gap << ", kernel " << kernel;
    const int32_t status = vn_gemm(devices().cuda_stream, &params);
    if (kernel == kCublasLt && status == VN_UNSUPPORTED) return;  // odd alignments
    ASSERT_EQ(VN_OK, status) << text.str() << ": " << vn_last_error();
    ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << text.str() << ": " << vn_last_error();
    compare(y.download(), y_dtype, bias_dtype != 0, y_gap, kernel, text.str());
  }

  // All kernels that take it.
  void check_all(int32_t y_dtype, int32_t bias_dtype, int64_t y_gap = 0) {
    check(kChosen, y_dtype, bias_dtype, y_gap);
    if (m_ == 0) return;
    const bool matched = x_dtype_ == w_dtype_;
    if (matched && (y_dtype == x_dtype_ || y_dtype == VN_DTYPE_F32)) check(kCublasLt, y_dtype, bias_dtype, y_gap);
    if (takes_skinny()) check(kSkinny, y_dtype, bias_dtype, y_gap);
    if (takes_hopper()) check(kHopper, y_dtype, bias_dtype, y_gap);
    if (takes_hopper_deep()) check(kHopperDeep, y_dtype, bias_dtype, y_gap);
    if (m_ * n_ * k_ < (int64_t{1} << 28)) check(kPlain, y_dtype, bias_dtype, y_gap);
  }

  bool takes_skinny() const { return m_ <= 16 && has_chunks(); }
  bool takes_hopper() const { return on_hopper() && has_chunks(); }
  bool takes_hopper_deep() const { return takes_hopper() && m_ <= 128; }
  vn_weight*& on(Side side) { return weights_[side == Side::kCuda]; }
  parity::Twin& x() { return x_; }

 private:
  void compare(const Array& y, int32_t y_dtype, bool bias, int64_t y_gap, Kernel kernel, const std::string& what) {
    const bool in_f32 = kernel == kPlain || x_dtype_ == VN_DTYPE_F32 || x_dtype_ != w_dtype_;
    const double f32_error = (0.3 * static_cast<double>(k_) + 1) * (in_f32 ? 0x1p-21 : 0x1p-19);
    int64_t wrong = 0;
    std::ostringstream text;
    for (int64_t m = 0; m < m_; ++m) {
      for (int64_t n = 0; n < n_; ++n) {
        const double expected = reference_.at(m * n_ + n) + (bias ? bias_.at(n) : 0.0);
        const double got = y.at(m * (n_ + y_gap) + n);
        // cuBLASLt may round the product to a 16-bit y before it adds the bias (seen where N and K are odd).
        const bool twice = bias && y_dtype != VN_DTYPE_F32 && (kernel == kChosen || kernel == kCublasLt);
        const double product_error = twice ? 0.5 * ops_test::ulp(std::fabs(expected - bias_.at(n)), y_dtype) : 0.0;
        if (ops_test::close(got, expected, y_dtype, f32_error + product_error)) continue;
        if (wrong++ < 5) text << "\n  [" << m << ", " << n << "] CPU " << expected << ", CUDA " << got;
      }
      if (!y.poisoned(m * (n_ + y_gap) + n_, y_gap) && wrong++ < 5) text << "\n  row " << m << ": the gap was written";
    }
    EXPECT_EQ(0, wrong) << what << ": " << wrong << " wrong, allowed f32 error " << f32_error << text.str();
    EXPECT_TRUE(y.guards_intact()) << what;
  }

  // Rows of whole 16 bytes, in 16 bits.
  bool has_chunks() const {
    return x_dtype_ == w_dtype_ && x_dtype_ != VN_DTYPE_F32 && k_ % 8 == 0 && (m_ == 1 || x_gap_ % 8 == 0);
  }

  int64_t m_, n_, k_, x_gap_;
  int32_t x_dtype_, w_dtype_;
  parity::Twin x_;
  Array reference_, bias_;
  vn_weight* weights_[2] = {};
};

}  // namespace parity_gemm
