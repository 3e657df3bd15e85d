// Weights: loading from every dtype at any row, padding, random fill, sizes; and vn_buffer_load's conversions.
#include "gemm_support.h"

#include <string>

namespace {

using namespace vn_test;

constexpr int32_t kUses[] = {VN_WEIGHT_GEMM, VN_WEIGHT_LOOKUP};

class WeightOnIsa : public ::testing::TestWithParam<int32_t> {};
INSTANTIATE_TEST_SUITE_P(EveryIsa, WeightOnIsa, ::testing::ValuesIn(instruction_sets()),
                         [](const auto& test) { return "Isa" + std::to_string(test.param); });

TEST_P(WeightOnIsa, LoadsEveryDtypeIntoEveryDtype) {
  Cpu cpu(0, GetParam());
  std::mt19937 engine(3);
  for (int32_t use : kUses) {
    for (int32_t dtype : kDtypes) {
      for (int32_t source_dtype : kDtypes) {
        for (int64_t rows : {1, 16, 37}) {
          for (int64_t columns : {1, 2, 63, 64, 65, 200}) {
            Matrix source = random_matrix(engine, source_dtype, rows, columns, 3);
            Weight weight(cpu, use, dtype, rows, columns);
            weight.load(0, source);
            Matrix out(VN_DTYPE_F32, rows, columns);
            read_rows(cpu, weight, out, all_ids(rows));
            for (int64_t r = 0; r < rows; ++r) {
              for (int64_t c = 0; c < columns; ++c) ASSERT_EQ(round_to(source.at(r, c), dtype), out.at(r, c));
            }
          }
        }
      }
    }
  }
}

// Pieces at rows that are no multiple of a panel, in any order, leave their neighbours alone.
TEST_P(WeightOnIsa, MergesAtOddRows) {
  Cpu cpu(0, GetParam());
  std::mt19937 engine(4);
  for (int32_t use : kUses) {
    for (int32_t dtype : kDtypes) {
      constexpr int64_t kColumns = 131;
      const int64_t starts[] = {0, 5, 21, 22, 70, 100};
      Weight weight(cpu, use, dtype, 100, kColumns);
      Matrix whole = random_matrix(engine, dtype, 100, kColumns);
      for (int piece : {3, 0, 4, 2, 1}) {
        Matrix part(dtype, starts[piece + 1] - starts[piece], kColumns);
        for (int64_t r = 0; r < part.rows(); ++r) {
          for (int64_t c = 0; c < kColumns; ++c) part.set(r, c, whole.at(starts[piece] + r, c));
        }
        weight.load(starts[piece], part);
      }
      Matrix out(VN_DTYPE_F32, 100, kColumns);
      read_rows(cpu, weight, out, all_ids(100));
      for (int64_t r = 0; r < 100; ++r) {
        for (int64_t c = 0; c < kColumns; ++c) ASSERT_EQ(whole.at(r, c), out.at(r, c)) << r << ", " << c;
      }
    }
  }
}

TEST_P(WeightOnIsa, FillIsUniformAndDependsOnPlaceAlone) {
  Cpu cpu(0, GetParam()), single(1);
  constexpr int64_t kRows = 300, kColumns = 701;
  const double scales[] = {1.0, 0.02, 3.0};
  for (int32_t dtype : kDtypes) {
    for (double scale : scales) {
      Matrix first(VN_DTYPE_F32, kRows, kColumns), again(first), other(first);
      Weight packed(cpu, VN_WEIGHT_GEMM, dtype, kRows, kColumns);
      Weight plain(single, VN_WEIGHT_LOOKUP, dtype, kRows, kColumns);
      ASSERT_EQ(VN_OK, vn_weight_fill(packed.handle, 11, static_cast<float>(scale)));
      ASSERT_EQ(VN_OK, vn_weight_fill(plain.handle, 11, static_cast<float>(scale)));
      read_rows(cpu, packed, first, all_ids(kRows));
      read_rows(single, plain, again, all_ids(kRows));
      ASSERT_EQ(VN_OK, vn_weight_fill(packed.handle, 12, static_cast<float>(scale)));
      read_rows(cpu, packed, other, all_ids(kRows));
      double sum = 0, squares = 0, neighbours = 0, below = 0, seeds = 0;
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t c = 0; c < kColumns; ++c) {
          const double x = first.at(r, c) / scale;
          ASSERT_EQ(first.at(r, c), again.at(r, c));
          ASSERT_LT(std::fabs(first.at(r, c)), static_cast<float>(scale));
          sum += x;
          squares += x * x;
          if (c > 0) neighbours += x * first.at(r, c - 1) / scale;
          if (r > 0) below += x * first.at(r - 1, c) / scale;
          seeds += x * other.at(r, c) / scale;
        }
      }
      // Five sigma of 210300 draws: 0.58, 0.3 and 0.33 of a unit per sqrt(n).
      const double n = kRows * kColumns;
      EXPECT_NEAR(0.0, sum / n, 5 * 0.58 / std::sqrt(n));
      EXPECT_NEAR(1.0 / 3, squares / n, 5 * 0.3 / std::sqrt(n) + 0.001);
      EXPECT_NEAR(0.0, neighbours / n, 5 * 0.334 / std::sqrt(n));
      EXPECT_NEAR(0.0, below / n, 5 * 0.334 / std::sqrt(n));
      EXPECT_NEAR(0.0, seeds / n, 5 * 0.334 / std::sqrt(n));
    }
  }
}

TEST_P(WeightOnIsa, FillWithZeroScaleIsZero) {
  Cpu cpu(0, GetParam());
  Weight weight(cpu, VN_WEIGHT_GEMM, VN_DTYPE_BF16, 17, 5);
  ASSERT_EQ(VN_OK, vn_weight_fill(weight.handle, 1, 0.0f));
  Matrix out(VN_DTYPE_F32, 17, 5);
  read_rows(cpu, weight, out, all_ids(17));
  for (int64_t r = 0; r < 17; ++r) {
    for (int64_t c = 0; c < 5; ++c) EXPECT_EQ(0.0, out.at(r, c));
  }
}

TEST(Weight, BytesCountPadding) {
  Cpu cpu;
  const struct {
    int32_t use, dtype;
    int64_t rows, columns, bytes;
  } cases[] = {{VN_WEIGHT_GEMM, VN_DTYPE_BF16, 17, 3, 32 * 4 * 2},
               {VN_WEIGHT_GEMM, VN_DTYPE_F16, 17, 3, 32 * 3 * 2},
               {VN_WEIGHT_GEMM, VN_DTYPE_F32, 16, 3, 16 * 3 * 4},
               {VN_WEIGHT_LOOKUP, VN_DTYPE_BF16, 17, 3, 17 * 3 * 2}};
  for (const auto& c : cases) {
    Weight weight(cpu, c.use, c.dtype, c.rows, c.columns);
    int64_t bytes = 0;
    ASSERT_EQ(VN_OK, vn_weight_bytes(weight.handle, &bytes));
    EXPECT_EQ(c.bytes, bytes);
  }
}

// Special values survive conversion by vn_buffer_load: infinities, NaN, the largest and the subnormal numbers, ties.
TEST_P(WeightOnIsa, BufferLoadConverts) {
  Cpu cpu(0, GetParam());
  std::vector<double> values = {0.0, -0.0, 1.0, -1.0, 65504.0, 0x1p-24, 0x3p-24, 0x1.5p-20, 0x1p-14, 0x1.ffcp-15,
                                1 + 0x1p-11, 1 + 0x3p-11, 1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1.00001p-8, 3.0e-8, -2.5e-5};
  std::mt19937 engine(9);
  std::uniform_real_distribution<double> exponent(-26.0, 15.9);
  while (values.size() < 3003) values.push_back((engine() & 1 ? 1 : -1) * std::exp2(exponent(engine)));
  const auto count = static_cast<int64_t>(values.size());
  for (int32_t from : kDtypes) {
    for (int32_t to : kDtypes) {
      Matrix source(from, 1, count);
      for (int64_t i = 0; i < count; ++i) source.set(0, i, values[static_cast<size_t>(i)]);
      vn_buffer* buffer = nullptr;
      ASSERT_EQ(VN_OK, vn_buffer_create(cpu.device, VN_MEMORY_DEVICE, (count + 3) * size_of(to), &buffer));
      ASSERT_EQ(VN_OK, vn_buffer_load(buffer, 3, to, source.data(), from, count)) << vn_last_error();
      void* data = nullptr;
      ASSERT_EQ(VN_OK, vn_buffer_data(buffer, &data));
      for (int64_t i = 0; i < count; ++i) {
        const double expected = round_to(source.at(0, i), to);
        ASSERT_EQ(expected, read(data, to, 3 + i)) << "value " << i << " from " << from << " to " << to;
        ASSERT_EQ(std::signbit(expected), std::signbit(read(data, to, 3 + i)));
      }
      vn_buffer_destroy(buffer);
    }
  }
  // Overflow to infinity, infinity and NaN.
  const float special[] = {65519.99f, 65520.0f, INFINITY, -INFINITY, NAN, -1e30f};
  std::vector<float> many;
  for (int i = 0; i < 8; ++i) many.insert(many.end(), special, special + 6);
  for (int32_t to : {VN_DTYPE_F16, VN_DTYPE_BF16}) {
    vn_buffer* buffer = nullptr;
    ASSERT_EQ(VN_OK, vn_buffer_create(cpu.device, VN_MEMORY_DEVICE, 96, &buffer));
    ASSERT_EQ(VN_OK, vn_buffer_load(buffer, 0, to, many.data(), VN_DTYPE_F32, 48));
    void* data = nullptr;
    ASSERT_EQ(VN_OK, vn_buffer_data(buffer, &data));
    for (int i = 0; i < 48; i += 6) {
      if (to == VN_DTYPE_F16) {
        EXPECT_EQ(65504.0, read(data, to, i));
        EXPECT_EQ(INFINITY, read(data, to, i + 1));
        EXPECT_EQ(-INFINITY, read(data, to, i + 5));
      }
      EXPECT_EQ(INFINITY, read(data, to, i + 2));
      EXPECT_EQ(-INFINITY, read(data, to, i + 3));
      EXPECT_TRUE(std::isnan(read(data, to, i + 4)));
    }
    vn_buffer_destroy(buffer);
  }
}

TEST(Weight, TooLargeIsRefusedInWords) {
  Cpu cpu;
  vn_weight* weight = nullptr;
  const int32_t status =
      vn_weight_create(cpu.device, VN_WEIGHT_GEMM, VN_DTYPE_F32, int64_t{1} << 22, int64_t{1} << 21, &weight);
  if (status == VN_OK) {  // a system that promises memory it does not have
    vn_weight_destroy(weight);
    GTEST_SKIP();
  }
  EXPECT_EQ(VN_OUT_OF_HOST_MEMORY, status);
  EXPECT_NE(nullptr, std::strstr(vn_last_error(), "4194304 x 2097152 of F32")) << vn_last_error();
}

}  // namespace
