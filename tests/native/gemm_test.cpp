// vn_gemm against a sum in double precision; and its promise that a row depends on that row alone, bit for bit.
#include "gemm_support.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace {

using namespace vn_test;

// Runs the product in a workspace of exactly the size asked for, with a guard band behind it.
void multiply_on(Cpu& cpu, const Weight& weight, Matrix& x, Matrix& y, Matrix* bias, int64_t max_rows) {
  int64_t bytes = -1;
  ASSERT_EQ(VN_OK, vn_gemm_workspace_size(weight.handle, x.dtype(), std::max(max_rows, x.rows()), &bytes));
  std::vector<unsigned char> memory(static_cast<size_t>(bytes) + 128, 0xff);
  unsigned char* workspace = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
  vn_gemm_params params{};
  params.struct_size = sizeof params;
  params.weight = weight.handle;
  params.x = x.tensor();
  params.y = y.tensor();
  if (bias) params.bias = bias->vector();
  params.workspace = workspace;
  params.workspace_bytes = bytes;
  ASSERT_EQ(VN_OK, vn_gemm(cpu.stream, &params)) << vn_last_error();
  for (const unsigned char* byte = workspace + bytes; byte <= &memory.back(); ++byte) ASSERT_EQ(0xff, *byte);
  ASSERT_TRUE(y.guards_intact());
}

class Gemm : public ::testing::TestWithParam<int32_t> {
 protected:
  void multiply(const Weight& weight, Matrix& x, Matrix& y, Matrix* bias = nullptr, int64_t max_rows = -1) {
    ASSERT_NO_FATAL_FAILURE(multiply_on(cpu_, weight, x, y, bias, max_rows));
  }

  // The product in double, and the tolerance of each element: one rounding to y's dtype (half an ulp), and the error of
  // a chain of K f32 additions of exact products, at most K * 2^-24 of the sum of magnitudes, a pair at a time or not.
  void expect_product(const Matrix& w, const Matrix& x, const Matrix& y, const Matrix* bias) {
    const int64_t columns = x.columns();
    std::vector<double> weights(static_cast<size_t>(w.rows() * columns)), row(static_cast<size_t>(columns));
    for (int64_t n = 0; n < w.rows(); ++n) {
      for (int64_t k = 0; k < columns; ++k) weights[static_cast<size_t>(n * columns + k)] = w.at(n, k);
    }
    for (int64_t m = 0; m < x.rows(); ++m) {
      for (int64_t k = 0; k < columns; ++k) row[static_cast<size_t>(k)] = x.at(m, k);
      for (int64_t n = 0; n < w.rows(); ++n) {
        double sum = bias ? bias->at(0, n) : 0.0;
        double magnitude = std::fabs(sum);
        for (int64_t k = 0; k < columns; ++k) {
          const double product = row[static_cast<size_t>(k)] * weights[static_cast<size_t>(n * columns + k)];
          sum += product;
          magnitude += std::fabs(product);
        }
        const double tolerance = 0.5 * ulp(sum, y.dtype()) * 1.001 +
                                 std::ldexp(magnitude, -24) * (static_cast<double>(columns) + 2.0) + 1e-30;
        ASSERT_NEAR(sum, y.at(m, n), tolerance) << "row " << m << ", column " << n << ", K " << columns;
      }
    }
  }

  void check(int32_t w_dtype, int32_t x_dtype, int32_t y_dtype, int32_t bias_dtype, int64_t m, int64_t n, int64_t k,
             int64_t x_gap, int64_t y_gap) {
    SCOPED_TRACE(::testing::Message() << "W " << w_dtype << " x " << x_dtype << " y " << y_dtype << " bias "
                                      << bias_dtype << " M " << m << " N " << n << " K " << k);
    Matrix w = random_matrix(engine_, w_dtype, n, k);
    Matrix x = random_matrix(engine_, x_dtype, m, k, x_gap);
    Matrix bias = random_matrix(engine_, bias_dtype ? bias_dtype : VN_DTYPE_F32, 1, n);
    Matrix y(y_dtype, m, n, y_gap);
    Weight weight(cpu_, VN_WEIGHT_GEMM, w_dtype, n, k);
    weight.load(0, w);
    multiply(weight, x, y, bias_dtype ? &bias : nullptr);
    expect_product(w, x, y, bias_dtype ? &bias : nullptr);
  }

  void expect_batch_invariance(int32_t w_dtype, int32_t x_dtype, int64_t rows, int64_t outputs, int64_t columns,
                               const std::vector<int64_t>& sizes) {
    SCOPED_TRACE(::testing::Message() << "W " << w_dtype << " x " << x_dtype);
    Matrix w = random_matrix(engine_, w_dtype, outputs, columns);
    Matrix x = random_matrix(engine_, x_dtype, rows, columns);
    Weight weight(cpu_, VN_WEIGHT_GEMM, w_dtype, outputs, columns);
    weight.load(0, w);
    Matrix alone(VN_DTYPE_F32, rows, outputs);
    for (int64_t m = 0; m < rows; ++m) {
      Matrix row(x_dtype, 1, columns), out(VN_DTYPE_F32, 1, outputs);
      row.copy_row(0, x, m);
      multiply(weight, row, out);
      alone.copy_row(m, out, 0);
    }
    for (int64_t size : sizes) {
      std::vector<int64_t> order(static_cast<size_t>(rows));
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), engine_);
      Matrix batch(x_dtype, size, columns, size % 3), out(VN_DTYPE_F32, size, outputs, size % 4);
      for (int64_t m = 0; m < size; ++m) batch.copy_row(m, x, order[static_cast<size_t>(m)]);
      multiply(weight, batch, out, nullptr, 1000);
      for (int64_t m = 0; m < size; ++m) {
        ASSERT_EQ(0, std::memcmp(out.row(m), alone.row(order[static_cast<size_t>(m)]), out.row_bytes()))
            << "row " << m << " of " << size;
      }
    }
  }

  Cpu cpu_{0, GetParam()};
  std::mt19937 engine_{7};
};

TEST_P(Gemm, EveryShape) {
  int turn = 0;
  for (int64_t m : {0, 1, 2, 3, 5, 7, 16, 17, 64, 100}) {
    for (int64_t n : {1, 15, 16, 17, 33, 100}) {
      for (int64_t k : {1, 2, 31, 64, 255, 512}) {
        // The dtypes rotate: each shape sees some, each combination of W and x sees every M, N and K.
        for (int32_t w : kDtypes) {
          check(w, kDtypes[turn % 3], kDtypes[turn / 3 % 3], turn / 9 % 4 == 3 ? 0 : kDtypes[turn / 9 % 4], m, n, k,
                turn % 5, turn % 7);
          ++turn;
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(Gemm, EveryDtype) {
  for (int32_t w : kDtypes) {
    for (int32_t x : kDtypes) {
      for (int32_t y : kDtypes) {
        for (int32_t bias : {0, VN_DTYPE_F32, VN_DTYPE_F16, VN_DTYPE_BF16}) {
          for (int64_t m : {1, 13, 30}) {
            check(w, x, y, bias, m, 83, 129, 3, 5);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST_P(Gemm, WideAndTall) {
  for (int32_t dtype : kDtypes) {
    check(dtype, dtype, VN_DTYPE_F32, 0, 3, 1000, 1536, 0, 0);
    check(dtype, dtype, VN_DTYPE_F32, 0, 300, 40, 700, 0, 0);
    for (int64_t m : {1, 20}) check(dtype, dtype, VN_DTYPE_F32, VN_DTYPE_F32, m, 70, 5001, 1, 1);
    check(dtype, VN_DTYPE_F32, VN_DTYPE_F32, 0, 20, 70, 5001, 1, 1);
  }
}

// f32 x bf16 must not round x: products of 1 + 2^-20 with powers of two are exact.
TEST_P(Gemm, WideXIsNotRounded) {
  for (int32_t dtype : {VN_DTYPE_F16, VN_DTYPE_BF16}) {
    Matrix w(dtype, 1, 1), x(VN_DTYPE_F32, 1, 1), y(VN_DTYPE_F32, 1, 1);
    w.set(0, 0, 0.5);
    x.set(0, 0, 1.0 + std::ldexp(1.0, -20));
    Weight weight(cpu_, VN_WEIGHT_GEMM, dtype, 1, 1);
    weight.load(0, w);
    multiply(weight, x, y);
    EXPECT_EQ(x.at(0, 0) / 2, y.at(0, 0));
  }
}

TEST_P(Gemm, InfinityAndNanStayInTheirRow) {
  for (int32_t dtype : kDtypes) {
    Matrix w = random_matrix(engine_, dtype, 20, 33);
    Matrix x = random_matrix(engine_, dtype, 3, 33);
    const uint32_t infinity = dtype == VN_DTYPE_F32 ? 0x7f800000u : dtype == VN_DTYPE_F16 ? 0x7c00u : 0x7f80u;
    std::memcpy(static_cast<char*>(x.data()) + (x.stride() + 4) * size_of(dtype), &infinity,
                static_cast<size_t>(size_of(dtype)));
    for (int64_t n = 0; n < 20; ++n) w.set(n, 4, 1.0);
    Weight weight(cpu_, VN_WEIGHT_GEMM, dtype, 20, 33);
    weight.load(0, w);
    for (int32_t out : kDtypes) {
      Matrix y(out, 3, 20, 2);
      multiply(weight, x, y);
      for (int64_t n = 0; n < 20; ++n) {
        EXPECT_TRUE(std::isfinite(y.at(0, n)));
        EXPECT_EQ(INFINITY, y.at(1, n));
        EXPECT_TRUE(std::isfinite(y.at(2, n)));
      }
    }
  }
}

// Every batch size from 1 to 64, and larger ones, gives each row the bits it has alone; so does any order of rows, and
// a workspace asked for a larger batch.
TEST_P(Gemm, RowsDoNotSeeTheirBatch) {
  std::vector<int64_t> sizes(64);
  std::iota(sizes.begin(), sizes.end(), 1);
  for (int64_t size : {97, 128, 255, 300}) sizes.push_back(size);
  for (int32_t w : kDtypes) {
    for (int32_t x : kDtypes) expect_batch_invariance(w, x, 300, 150, 333, sizes);
  }
}

// The same where K is long enough to be cut.
TEST_P(Gemm, RowsDoNotSeeTheirBatchWithLongRows) {
  for (int32_t w : kDtypes) {
    for (int32_t x : kDtypes) expect_batch_invariance(w, x, 50, 70, 4611, {2, 6, 7, 12, 13, 24, 25, 50});
  }
}

// Outputs are a matter of their own row of W too: one matrix or several merged ones give the same bits.
TEST_P(Gemm, MergedWeightsGiveTheSameBits) {
  for (int32_t dtype : kDtypes) {
    Matrix q = random_matrix(engine_, dtype, 37, 65), k = random_matrix(engine_, dtype, 9, 65);
    Matrix x = random_matrix(engine_, dtype, 5, 65);
    Weight merged(cpu_, VN_WEIGHT_GEMM, dtype, 46, 65), second(cpu_, VN_WEIGHT_GEMM, dtype, 9, 65);
    merged.load(37, k);
    merged.load(0, q);
    second.load(0, k);
    Matrix both(VN_DTYPE_F32, 5, 46), one(VN_DTYPE_F32, 5, 9);
    multiply(merged, x, both);
    multiply(second, x, one);
    for (int64_t m = 0; m < 5; ++m) {
      for (int64_t n = 0; n < 9; ++n) EXPECT_EQ(one.at(m, n), both.at(m, 37 + n));
    }
  }
}

TEST_P(Gemm, ReusedOnManyThreads) {
  Cpu many(7, GetParam());
  Matrix w = random_matrix(engine_, VN_DTYPE_BF16, 500, 300), x = random_matrix(engine_, VN_DTYPE_BF16, 90, 300);
  Weight here(cpu_, VN_WEIGHT_GEMM, VN_DTYPE_BF16, 500, 300), there(many, VN_WEIGHT_GEMM, VN_DTYPE_BF16, 500, 300);
  here.load(0, w);
  there.load(0, w);
  Matrix expected(VN_DTYPE_F32, 90, 500);
  multiply(here, x, expected);
  for (int i = 0; i < 50; ++i) {
    Matrix y(VN_DTYPE_F32, 90, 500);
    multiply_on(many, there, x, y, nullptr, -1);
    for (int64_t m = 0; m < 90; ++m) ASSERT_EQ(0, std::memcmp(expected.row(m), y.row(m), y.row_bytes()));
  }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, Gemm, ::testing::ValuesIn(instruction_sets()),
                         [](const auto& test) { return "Isa" + std::to_string(test.param); });

// F32 sums do not depend on the instruction set from AVX2 on: one fma for each k, in order.
TEST(GemmIsa, VectorSetsAgreeOnF32) {
  std::mt19937 engine(8);
  for (int32_t dtype : kDtypes) {
    Matrix w = random_matrix(engine, dtype, 90, 201), x = random_matrix(engine, VN_DTYPE_F32, 9, 201);
    std::vector<Matrix> results;
    for (int32_t isa : instruction_sets()) {
      if (isa == VN_ISA_SCALAR) continue;
      Cpu cpu(0, isa);
      Weight weight(cpu, VN_WEIGHT_GEMM, dtype, 90, 201);
      weight.load(0, w);
      Matrix y(VN_DTYPE_F32, 9, 90);
      multiply_on(cpu, weight, x, y, nullptr, -1);
      results.push_back(y);
    }
    for (const Matrix& y : results) {
      for (int64_t m = 0; m < 9; ++m) ASSERT_EQ(0, std::memcmp(results[0].row(m), y.row(m), y.row_bytes()));
    }
  }
}

// The CPU has one way for each instruction set; its arguments are checked all the same.
TEST(GemmTune, LeavesTheCpuAsItWas) {
  Cpu cpu;
  const Weight weight(cpu, VN_WEIGHT_GEMM, VN_DTYPE_F32, 16, 8);
  ASSERT_EQ(VN_OK, vn_weight_fill(weight.handle, 3, 1.0f));
  std::mt19937 engine(5);
  Matrix x = random_matrix(engine, VN_DTYPE_F32, 2, 8), y(VN_DTYPE_F32, 2, 16), tuned(VN_DTYPE_F32, 2, 16);
  ASSERT_NO_FATAL_FAILURE(multiply_on(cpu, weight, x, y, nullptr, 2));
  int64_t bytes = -1;
  ASSERT_EQ(VN_OK, vn_gemm_tune_workspace_size(weight.handle, VN_DTYPE_F32, VN_DTYPE_F32, 2, &bytes));
  EXPECT_EQ(0, bytes);
  vn_gemm_params params{};
  params.struct_size = sizeof params;
  params.weight = weight.handle;
  params.x = x.tensor();
  params.y = tuned.tensor();
  ASSERT_EQ(VN_OK, vn_gemm_tune(cpu.stream, &params)) << vn_last_error();
  ASSERT_NO_FATAL_FAILURE(multiply_on(cpu, weight, x, tuned, nullptr, 2));
  for (int64_t r = 0; r < 2; ++r) EXPECT_EQ(0, std::memcmp(y.row(r), tuned.row(r), y.row_bytes()));
  params.x.shape[1] = 7;
  EXPECT_EQ(VN_SHAPE, vn_gemm_tune(cpu.stream, &params));
  EXPECT_EQ(0, std::string(vn_last_error()).rfind("gemm_tune: x has shape", 0)) << vn_last_error();
}

}  // namespace
