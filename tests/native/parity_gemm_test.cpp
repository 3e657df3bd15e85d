// vn_gemm on CUDA against the CPU: every pair of dtypes, bias and output dtype, shapes around every kernel's edges, row gaps,
// each kernel forced, as chosen and as tuned; repeatability, graphs and what the device says of itself.
//
// The CPU computes one F32 result for each x and W; CUDA's result in any dtype must be that, give or take the f32 error of a
// sum in another order, rounded once. The allowed f32 error, as a part of the bound sum |x||w| (uniform values: K / 4):
// 2^-21 where products are added in f32, 2^-19 in tensor cores, which cut off bits when they align addends. TF32 would err by
// more than ten times the former. A bias of another dtype than y's is allowed one rounding to y's dtype.
#include <memory>

#include "parity_support.h"

namespace {

using ops_test::Array;
using ops_test::kFloats;
using ops_test::params_of;
using parity::devices;
using parity::Side;

enum Kernel : int32_t { kChosen = 0, kCublasLt = 1, kSkinny = 2, kPlain = 3, kHopper = 4 };  // vn_gemm_params.reserved
constexpr Side kSides[] = {Side::kCpu, Side::kCuda};

class GemmParity : public parity::Test {};
class GraphParity : public parity::Test {};
class DeviceParity : public parity::Test {};

std::string name(int32_t dtype) {
  return dtype == VN_DTYPE_F32 ? "F32" : dtype == VN_DTYPE_F16 ? "F16" : dtype == VN_DTYPE_BF16 ? "BF16" : "none";
}

bool on_hopper() {
  vn_device_info info{};
  info.struct_size = sizeof info;
  EXPECT_EQ(VN_OK, vn_device_get_info(devices().cuda, &info)) << vn_last_error();
  return info.capability == 90;
}

// One for all problems: large, and the same for all row counts.
parity::Workspace& workspace() {
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
    if (m_ * n_ * k_ < (int64_t{1} << 28)) check(kPlain, y_dtype, bias_dtype, y_gap);
  }

  bool takes_skinny() const { return m_ <= 16 && has_chunks(); }
  bool takes_hopper() const { return on_hopper() && has_chunks(); }
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

TEST_F(GemmParity, EveryDtypeBiasAndOutput) {
  const struct {
    int64_t m, n, k;
  } shapes[] = {{1, 40, 64}, {3, 17, 33}, {6, 130, 72}, {70, 66, 129}};
  for (const auto& shape : shapes) {
    for (const int32_t x_dtype : kFloats) {
      for (const int32_t w_dtype : kFloats) {
        Problem problem(shape.m, shape.n, shape.k, x_dtype, w_dtype);
        for (const int32_t y_dtype : kFloats) {
          for (const int32_t bias_dtype : {0, VN_DTYPE_F32, VN_DTYPE_F16, VN_DTYPE_BF16}) {
            problem.check_all(y_dtype, bias_dtype);
          }
        }
      }
    }
  }
}

TEST_F(GemmParity, ShapesAroundTheEdges) {
  const struct {
    int64_t n, k;
  } matrices[] = {{1, 1}, {1, 8}, {2, 3}, {7, 24}, {64, 16}, {65, 256}, {100, 264}, {129, 257}, {1000, 512}, {3, 4096}};
  for (const int32_t dtype : kFloats) {
    for (const auto& matrix : matrices) {
      for (const int64_t m : {0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 63, 64, 65, 130}) {
        Problem problem(m, matrix.n, matrix.k, dtype, dtype);
        problem.check_all(dtype, 0);
        if (m % 3 == 0) problem.check_all(VN_DTYPE_F32, dtype);
      }
    }
  }
}

TEST_F(GemmParity, RowGapsOfBothSides) {
  for (const int32_t dtype : kFloats) {
    for (const int64_t x_gap : {1, 8, 40}) {
      for (const int64_t y_gap : {1, 8, 100}) {
        for (const int64_t m : {1, 2, 5, 33}) {
          Problem problem(m, 96, 128, dtype, dtype, x_gap);
          problem.check_all(dtype, dtype, y_gap);
        }
      }
    }
  }
}

// Long rows, where warps or split-K share K, and the projections of real models: one, two and four tiles of the skinny kernel.
TEST_F(GemmParity, LargeMatrices) {
  const struct {
    int64_t n, k;
  } matrices[] = {{24, 16384}, {1024, 2048}, {1024, 3072}, {2050, 1016}, {4096, 4096}, {6144, 4096}, {2048, 14336}};
  for (const auto& matrix : matrices) {
    for (const int64_t m : {1, 2, 4, 8, 13, 24, 100}) {
      for (const int32_t dtype : {VN_DTYPE_BF16, VN_DTYPE_F16}) {
        if (dtype == VN_DTYPE_F16 && m != 1 && m != 24) continue;
        Problem problem(m, matrix.n, matrix.k, dtype, dtype);
        problem.check(kChosen, dtype, dtype);
        problem.check(kCublasLt, VN_DTYPE_F32, 0);
        if (problem.takes_skinny()) problem.check(kSkinny, dtype, 0);
        if (problem.takes_hopper()) problem.check(kHopper, dtype, 0);
      }
    }
  }
}

// Every width of the Hopper kernel and the row counts around it, with K divided among 1, 2, 4 and 8 blocks, tiles in pairs and
// alone, tiles and steps that are cut off, and more rows than one block takes.
TEST_F(GemmParity, HopperRowsAndParts) {
  if (!on_hopper()) GTEST_SKIP() << "the device is no Hopper chip";
  const struct {
    int64_t n, k;
  } matrices[] = {{96, 1024}, {1024, 2048}, {4096, 520}, {6152, 712}, {17000, 136}, {130, 8}, {257, 4104}};
  for (const auto& matrix : matrices) {
    for (const int64_t m : parity::sizes({1, 8, 9, 16, 17, 32, 33, 64, 65, 100, 128, 129, 200, 256, 257, 300})) {
      const int32_t dtype = m % 2 == 0 ? VN_DTYPE_F16 : VN_DTYPE_BF16;
      Problem problem(m, matrix.n, matrix.k, dtype, dtype, m % 3 == 0 ? 8 : 0);
      problem.check(kHopper, dtype, 0);
      problem.check(kHopper, VN_DTYPE_F32, VN_DTYPE_BF16, m % 4);
    }
  }
}

// A chain of products, each reading what the one ahead wrote and overwriting what it read: kernels that begin early change no bit.
TEST_F(GemmParity, HopperChainsKeepTheirOrder) {
  if (!on_hopper()) GTEST_SKIP() << "the device is no Hopper chip";
  constexpr int64_t kWidth = 1024;
  constexpr int kLinks = 60;
  for (const int64_t m : {3, 32, 128, 200}) {
    Problem problem(m, kWidth, kWidth, VN_DTYPE_BF16, VN_DTYPE_BF16);
    ASSERT_EQ(VN_OK, vn_weight_fill(problem.on(Side::kCuda), 4, 0.05f)) << vn_last_error();  // x neither grows nor fades
    parity::Twin a(VN_DTYPE_BF16, {m, kWidth}), b(VN_DTYPE_BF16, {m, kWidth});
    const auto result = [&](bool waits) {
      std::mt19937 engine(5);
      a.host().randomize(engine);
      a.upload();
      b.upload();
      for (int i = 0; i < kLinks; ++i) {
        auto params = problem.common(Side::kCuda);
        params.reserved = kHopper;
        params.x = (i % 2 == 0 ? a : b).tensor(Side::kCuda);
        params.y = (i % 2 == 0 ? b : a).tensor(Side::kCuda);
        EXPECT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
        if (waits) {
          EXPECT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
        }
      }
      EXPECT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
      return a.download();
    };
    const Array expected = result(true);
    EXPECT_TRUE(std::isfinite(expected.at(0)) && expected.at(0) != 0) << expected.at(0);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(expected.slice(0, m * kWidth), result(false).slice(0, m * kWidth)) << m << " rows";
  }
}

// The tolerance is too tight for TF32.
TEST_F(GemmParity, F32StaysF32) {
  for (const int64_t m : {1, 16, 96}) {
    Problem problem(m, 512, 4096, VN_DTYPE_F32, VN_DTYPE_F32);
    problem.check_all(VN_DTYPE_F32, VN_DTYPE_F32);
  }
}

// Row counts that share a bucket, one after the other and back.
TEST_F(GemmParity, RowCountsOfOneBucket) {
  for (const int64_t m : {257, 384, 300, 256, 250, 257, 9, 16, 10}) {
    Problem problem(m, 256, 128, VN_DTYPE_BF16, VN_DTYPE_BF16);
    problem.check(kCublasLt, VN_DTYPE_BF16, VN_DTYPE_BF16);
    problem.check(kChosen, VN_DTYPE_BF16, 0);
  }
}

// A bias that starts at an odd element, and one that y's dtype cannot hold exactly.
TEST_F(GemmParity, OddBias) {
  for (const int64_t m : {2, 40}) {
    constexpr int64_t kN = 64, kK = 64;
    Problem problem(m, kN, kK, VN_DTYPE_BF16, VN_DTYPE_BF16);
    parity::Twin plain(VN_DTYPE_F32, {m, kN});
    auto params = problem.common(Side::kCuda);
    params.y = plain.tensor(Side::kCuda);
    ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
    for (const int32_t bias_dtype : {VN_DTYPE_BF16, VN_DTYPE_F32}) {
      parity::Twin bias(bias_dtype, {kN + 1}), y(VN_DTYPE_BF16, {m, kN});
      for (int64_t i = 0; i <= kN; ++i) bias.host().set(i, 0.01 * static_cast<double>(i) - 0.3);
      bias.upload();
      params.bias = bias.tensor(Side::kCuda);
      params.bias.data = static_cast<char*>(params.bias.data) + ops_test::size_of(bias_dtype);
      params.bias.shape[0] = kN;
      params.y = y.tensor(Side::kCuda);
      ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
      ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
      const Array sums = plain.download(), got = y.download();
      for (int64_t i = 0; i < m * kN; ++i) {
        const double b = bias.host().at(1 + i % kN);
        const double expected = sums.at(i) + b;
        ASSERT_TRUE(ops_test::close(got.at(i), expected, VN_DTYPE_BF16, 1e-4 + 0.5 * ops_test::ulp(b, VN_DTYPE_BF16)))
            << i << ": " << got.at(i) << " for " << expected;
      }
    }
  }
}

// Overlapping rows are legal: every row is the same here.
TEST_F(GemmParity, RowStrideZero) {
  constexpr int64_t kM = 20, kN = 48, kK = 64;
  Problem problem(1, kN, kK, VN_DTYPE_BF16, VN_DTYPE_BF16);
  parity::Twin one(VN_DTYPE_F32, {1, kN}), all(VN_DTYPE_F32, {kM, kN});
  auto params = problem.common(Side::kCuda);
  params.y = one.tensor(Side::kCuda);
  ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
  params.x.shape[0] = kM;
  params.x.stride[0] = 0;
  params.y = all.tensor(Side::kCuda);
  ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
  const Array a = one.download(), b = all.download();
  for (int64_t i = 0; i < kM * kN; ++i) ASSERT_NEAR(a.at(i % kN), b.at(i), 1e-4);
}

// The same call gives the same bits: no atomics, whatever else the device has done in between.
TEST_F(GemmParity, SameBitsEveryTime) {
  const struct {
    int64_t m, n, k;
  } shapes[] = {{1, 1024, 4096}, {8, 128, 16384}, {32, 256, 8192}, {100, 512, 4096}};
  for (const auto& shape : shapes) {
    Problem problem(shape.m, shape.n, shape.k, VN_DTYPE_BF16, VN_DTYPE_BF16);
    parity::Twin first(VN_DTYPE_F32, {shape.m, shape.n}), again(VN_DTYPE_F32, {shape.m, shape.n});
    auto params = problem.common(Side::kCuda);
    params.y = first.tensor(Side::kCuda);
    ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
    params.y = again.tensor(Side::kCuda);
    for (int i = 0; i < 5; ++i) {
      ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
      ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
      EXPECT_EQ(first.download().slice(0, shape.m * shape.n), again.download().slice(0, shape.m * shape.n))
          << shape.m << " x " << shape.n << " x " << shape.k;
    }
  }
}

// The skinny kernel adds in an order of K alone: one row and sixteen have the same bits.
TEST_F(GemmParity, SkinnyRowsDoNotDependOnTheirNumber) {
  constexpr int64_t kM = 16;
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1024, 2048}, {40, 1000}, {4096, 1024}}) {
    Problem problem(kM, n, k, VN_DTYPE_BF16, VN_DTYPE_BF16);
    parity::Twin all(VN_DTYPE_F32, {kM, n});
    auto params = problem.common(Side::kCuda);
    params.reserved = kSkinny;
    params.y = all.tensor(Side::kCuda);
    ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
    ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
    const Array expected = all.download();
    for (const int64_t rows : {1, 2, 3, 8, 9}) {
      parity::Twin some(VN_DTYPE_F32, {rows, n});
      params.x.shape[0] = rows;
      params.y = some.tensor(Side::kCuda);
      ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
      ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
      EXPECT_EQ(expected.slice(0, rows * n), some.download().slice(0, rows * n)) << rows << " rows, " << n << " x " << k;
    }
  }
}

// What was measured computes the same, eagerly and recorded; kinds of products that have no choice are left alone.
TEST_F(GemmParity, TunedProductsStayRight) {
  for (const int32_t dtype : {VN_DTYPE_BF16, VN_DTYPE_F16, VN_DTYPE_F32}) {
    for (const int64_t m : {1, 2, 3, 8, 11, 16, 24, 100, 200, 300}) {
      Problem problem(m, 264, 520, dtype, dtype);
      for (const int32_t bias_dtype : {0, dtype}) {
        problem.tune(dtype, bias_dtype);
        for (int i = 0; i < 2; ++i) problem.check(kChosen, dtype, bias_dtype);
      }
      if (m == 2) problem.tune(VN_DTYPE_F32, VN_DTYPE_F16);
      problem.check(kChosen, VN_DTYPE_F32, VN_DTYPE_F16);
    }
  }
  Problem(4, 33, 65, VN_DTYPE_BF16, VN_DTYPE_BF16).tune(VN_DTYPE_BF16, 0);
  Problem(4, 64, 64, VN_DTYPE_F32, VN_DTYPE_BF16).tune(VN_DTYPE_F32, 0);
  Problem(0, 64, 64, VN_DTYPE_BF16, VN_DTYPE_BF16).tune(VN_DTYPE_F32, 0);
}

TEST_F(GemmParity, TuningIsRefusedWhileTheStreamIsRecorded) {
  Problem problem(4, 128, 256, VN_DTYPE_BF16, VN_DTYPE_BF16);
  problem.tune(VN_DTYPE_BF16, 0);
  parity::Twin y(VN_DTYPE_BF16, {4, 128});
  auto params = problem.common(Side::kCuda);
  params.y = y.tensor(Side::kCuda);
  int64_t bytes = 0;
  ASSERT_EQ(VN_OK, vn_gemm_tune_workspace_size(problem.on(Side::kCuda), VN_DTYPE_BF16, VN_DTYPE_BF16, 4, &bytes));
  EXPECT_GT(bytes, params.workspace_bytes);
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_gemm_tune(devices().cuda_stream, &params));
  parity::Workspace scratch(0, bytes);
  auto tuning = params;
  tuning.workspace = scratch.data(Side::kCuda);
  tuning.workspace_bytes = bytes;
  ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream));
  const auto eager = y.download().slice(0, 4 * 128);
  y.upload();
  vn_graph* graph = nullptr;
  ASSERT_EQ(VN_OK, vn_graph_begin(devices().cuda_stream)) << vn_last_error();
  EXPECT_EQ(VN_UNSUPPORTED, vn_gemm_tune(devices().cuda_stream, &tuning));
  EXPECT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_graph_end(devices().cuda_stream, &graph)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_graph_launch(graph, devices().cuda_stream)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
  EXPECT_EQ(eager, y.download().slice(0, 4 * 128));
  vn_graph_destroy(graph);
}

TEST_F(GemmParity, WorkspaceIsCheckedAndTheSameForAllRowCounts) {
  Problem problem(40, 64, 64, VN_DTYPE_BF16, VN_DTYPE_BF16);
  int64_t small = 0, large = 0;
  ASSERT_EQ(VN_OK, vn_gemm_workspace_size(problem.on(Side::kCuda), VN_DTYPE_BF16, 1, &small));
  ASSERT_EQ(VN_OK, vn_gemm_workspace_size(problem.on(Side::kCuda), VN_DTYPE_BF16, 100000, &large));
  EXPECT_EQ(small, large);
  parity::Twin y(VN_DTYPE_F32, {40, 64});
  auto params = problem.common(Side::kCuda);
  params.y = y.tensor(Side::kCuda);
  params.workspace_bytes = small - 1;
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_gemm(devices().cuda_stream, &params));
}

TEST_F(GemmParity, LeavesTheWorkspaceEnd) { EXPECT_TRUE(workspace().guard_intact()); }

// A graph of three products gives the eager bits, and reads what its operands hold at each launch.
TEST_F(GraphParity, ReplayIsEagerBitForBit) {
  Problem few(2, 256, 512, VN_DTYPE_BF16, VN_DTYPE_BF16), many(40, 256, 512, VN_DTYPE_BF16, VN_DTYPE_BF16),
      mixed(3, 70, 90, VN_DTYPE_F32, VN_DTYPE_BF16);
  Problem* problems[] = {&few, &many, &mixed};
  const int64_t rows[] = {2, 40, 3}, columns[] = {256, 256, 70};
  std::vector<std::unique_ptr<parity::Twin>> outputs;
  for (int i = 0; i < 3; ++i) {
    outputs.push_back(std::make_unique<parity::Twin>(VN_DTYPE_F32, std::vector<int64_t>{rows[i], columns[i]}));
  }
  vn_stream* stream = devices().cuda_stream;
  const auto launch = [&] {
    for (size_t i = 0; i < 3; ++i) {
      auto params = problems[i]->common(Side::kCuda);
      params.y = outputs[i]->tensor(Side::kCuda);
      ASSERT_EQ(VN_OK, vn_gemm(stream, &params)) << vn_last_error();
    }
  };
  launch();  // warm: plans exist before they are captured
  ASSERT_EQ(VN_OK, vn_stream_synchronize(stream));
  vn_graph* graph = nullptr;
  ASSERT_EQ(VN_OK, vn_graph_begin(stream)) << vn_last_error();
  launch();
  ASSERT_EQ(VN_OK, vn_graph_end(stream, &graph)) << vn_last_error();
  std::mt19937 engine(12);
  for (int round = 0; round < 3; ++round) {
    for (Problem* problem : problems) {
      problem->x().host().randomize(engine);
      problem->x().upload();
    }
    launch();
    ASSERT_EQ(VN_OK, vn_stream_synchronize(stream));
    std::vector<std::vector<unsigned char>> eager;
    for (size_t i = 0; i < 3; ++i) eager.push_back(outputs[i]->download().slice(0, rows[i] * columns[i]));
    for (auto& output : outputs) output->upload();  // poison again
    ASSERT_EQ(VN_OK, vn_graph_launch(graph, stream)) << vn_last_error();
    ASSERT_EQ(VN_OK, vn_stream_synchronize(stream)) << vn_last_error();
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(eager[i], outputs[i]->download().slice(0, rows[i] * columns[i])) << i;
  }
  vn_graph_destroy(graph);
}

// Waiting inside a capture is refused; neither the stream nor the device is harmed.
TEST_F(GraphParity, MisuseIsAnErrorAndPasses) {
  vn_stream* stream = devices().cuda_stream;
  vn_graph* graph = nullptr;
  ASSERT_EQ(VN_OK, vn_graph_begin(stream)) << vn_last_error();
  EXPECT_EQ(VN_CUDA, vn_stream_synchronize(stream));
  EXPECT_EQ(VN_CUDA, vn_graph_end(stream, &graph));
  EXPECT_EQ(VN_CUDA, vn_graph_end(stream, &graph));  // nothing is being captured
  ASSERT_EQ(VN_OK, vn_stream_synchronize(stream)) << vn_last_error();
  Problem problem(3, 64, 64, VN_DTYPE_BF16, VN_DTYPE_BF16);
  problem.check_all(VN_DTYPE_BF16, 0);
}

TEST_F(DeviceParity, InfoNamesTheDevice) {
  vn_device_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(VN_OK, vn_device_get_info(devices().cuda, &info)) << vn_last_error();
  EXPECT_EQ(VN_DEVICE_CUDA, info.kind);
  EXPECT_GT(info.num_threads, 0);
  EXPECT_GE(info.capability, 80);
  EXPECT_TRUE(info.flags & VN_DEVICE_HAS_GRAPHS);
  EXPECT_FALSE(info.flags & VN_DEVICE_BATCH_INVARIANT);  // was not asked for
  EXPECT_GT(info.free_memory, 0);
  EXPECT_GE(info.total_memory, info.free_memory);
  EXPECT_NE('\0', info.name[0]);
}

}  // namespace
