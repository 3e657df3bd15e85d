// Weights on CUDA against the CPU: loading from every dtype at any row, over chunk boundaries and row gaps, random fill bit for
// bit, zeroed memory, sizes; and vn_embedding, which reads them back. Everything here is exact.
#include "parity_support.h"

namespace {

using ops_test::Array;
using ops_test::kFloats;
using ops_test::params_of;
using ops_test::size_of;
using parity::devices;
using parity::Side;

constexpr int32_t kUses[] = {VN_WEIGHT_GEMM, VN_WEIGHT_LOOKUP};
constexpr Side kSides[] = {Side::kCpu, Side::kCuda};

class WeightParity : public parity::Test {};
class EmbeddingParity : public parity::Test {};

// The same weight on both devices.
class TwinWeight {
 public:
  TwinWeight(int32_t use, int32_t dtype, int64_t rows, int64_t columns) : rows_(rows), columns_(columns) {
    for (const Side side : kSides) {
      EXPECT_EQ(VN_OK, vn_weight_create(devices().device(side), use, dtype, rows, columns, &on(side))) << vn_last_error();
    }
  }
  ~TwinWeight() {
    for (vn_weight* handle : handles_) vn_weight_destroy(handle);
  }
  TwinWeight(const TwinWeight&) = delete;
  TwinWeight& operator=(const TwinWeight&) = delete;

  vn_weight*& on(Side side) { return handles_[side == Side::kCuda]; }
  void load(int64_t first_row, int64_t rows, const void* source, int32_t dtype, int64_t stride) {
    for (const Side side : kSides) {
      EXPECT_EQ(VN_OK, vn_weight_load(on(side), first_row, rows, columns_, source, dtype, stride)) << vn_last_error();
    }
  }
  void fill(uint64_t seed, float scale) {
    for (const Side side : kSides) EXPECT_EQ(VN_OK, vn_weight_fill(on(side), seed, scale)) << vn_last_error();
  }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }

 private:
  int64_t rows_, columns_;
  vn_weight* handles_[2] = {};
};

void embed(TwinWeight& weight, parity::Twin& ids, parity::Twin& out, float scale = 0.0f) {
  auto common = params_of<vn_embedding_params>();
  common.scale = scale;
  parity::run(vn_embedding, common, [&](vn_embedding_params& params, Side side) {
    params.table = weight.on(side);
    params.ids = ids.tensor(side);
    params.out = out.view(out.host().columns(0, weight.columns()), side);
  });
}

// Reads rows first, first + step, ... of both and compares bits.
void expect_same_rows(TwinWeight& weight, const std::string& what, int64_t step = 1) {
  std::vector<int32_t> rows;
  for (int64_t row = 0; row < weight.rows(); row += step) rows.push_back(static_cast<int32_t>(row));
  parity::Twin ids(VN_DTYPE_I32, {static_cast<int64_t>(rows.size())});
  ids.host().fill(rows);
  ids.upload();
  parity::Twin out(VN_DTYPE_F32, {static_cast<int64_t>(rows.size()), weight.columns()});
  embed(weight, ids, out);
  parity::expect_same(out, what);
}

std::string name(int32_t dtype) { return dtype == VN_DTYPE_F32 ? "F32" : dtype == VN_DTYPE_F16 ? "F16" : "BF16"; }

TEST_F(WeightParity, LoadsEveryDtypeIntoEveryDtype) {
  std::mt19937 engine(3);
  for (const int32_t use : kUses) {
    for (const int32_t dtype : kFloats) {
      for (const int32_t source_dtype : kFloats) {
        for (const int64_t rows : {1, 37}) {
          for (const int64_t columns : {1, 2, 63, 64, 200}) {
            for (const int64_t gap : {0, 3}) {
              Array source(source_dtype, {rows, columns + gap});
              // Magnitudes that are subnormal in F16, and some that overflow it.
              std::uniform_real_distribution<double> exponent(-26.0, 16.5);
              for (int64_t i = 0; i < source.count(); ++i) {
                const double x = std::min(std::exp2(exponent(engine)), source_dtype == VN_DTYPE_F16 ? 65504.0 : 1e9);
                source.set(i, engine() & 1 ? x : -x);
              }
              TwinWeight weight(use, dtype, rows, columns);
              weight.load(0, rows, source.data(), source_dtype, columns + gap);
              expect_same_rows(weight, name(source_dtype) + " into " + name(dtype) + ", " + std::to_string(rows) + " x " +
                                           std::to_string(columns) + ", gap " + std::to_string(gap));
            }
          }
        }
      }
    }
  }
}

// Over several chunks of staging memory, whose boundaries fall inside rows.
TEST_F(WeightParity, LoadsMoreThanTheStagingBuffers) {
  std::mt19937 engine(4);
  constexpr int64_t kRows = 4001, kColumns = 7001;
  for (const int64_t gap : {0, 5}) {
    std::vector<float> source(static_cast<size_t>(kRows * (kColumns + gap)));
    for (float& x : source) x = static_cast<float>(static_cast<int32_t>(engine())) * 0x1p-31f;
    for (const int32_t dtype : {VN_DTYPE_F32, VN_DTYPE_BF16}) {
      TwinWeight weight(VN_WEIGHT_LOOKUP, dtype, kRows, kColumns);
      weight.load(0, kRows, source.data(), VN_DTYPE_F32, kColumns + gap);
      expect_same_rows(weight, name(dtype) + ", gap " + std::to_string(gap), 3);
    }
  }
}

TEST_F(WeightParity, MergesAtOddRowsAndTheRestIsZero) {
  std::mt19937 engine(5);
  for (const int32_t dtype : kFloats) {
    constexpr int64_t kColumns = 131;
    const int64_t starts[] = {0, 5, 21, 22, 70, 100};
    TwinWeight weight(VN_WEIGHT_GEMM, dtype, 100, kColumns);
    for (const int piece : {3, 0, 4, 1}) {  // rows 21 of piece 2 are never loaded
      const int64_t rows = starts[piece + 1] - starts[piece];
      Array part(VN_DTYPE_BF16, {rows, kColumns});
      part.randomize(engine);
      weight.load(starts[piece], rows, part.data(), VN_DTYPE_BF16, kColumns);
    }
    expect_same_rows(weight, name(dtype));
  }
}

TEST_F(WeightParity, FillIsTheSameBits) {
  const struct {
    int64_t rows, columns;
  } shapes[] = {{1, 1}, {300, 701}, {64, 4096}, {70000, 3}};
  for (const int32_t use : kUses) {
    for (const int32_t dtype : kFloats) {
      for (const auto& shape : shapes) {
        for (const float scale : {1.0f, 0.02f, -3.0f, 1e-6f, 0.0f}) {
          if (scale == 0.0f && use == VN_WEIGHT_LOOKUP) continue;
          TwinWeight weight(use, dtype, shape.rows, shape.columns);
          weight.fill(0x1234567890abcdefu + static_cast<uint64_t>(shape.rows), scale);
          const std::string what = name(dtype) + ", " + std::to_string(shape.rows) + " x " + std::to_string(shape.columns) +
                                   ", scale " + std::to_string(scale);
          if (scale != 0.0f) {
            expect_same_rows(weight, what);
            continue;
          }
          parity::Twin ids(VN_DTYPE_I32, {1});
          ids.host().fill({0});
          ids.upload();
          parity::Twin out(VN_DTYPE_F32, {1, shape.columns});
          embed(weight, ids, out);
          parity::expect_close(out, {}, what);  // zeros of either sign
        }
      }
    }
  }
}

TEST_F(WeightParity, BytesAreRowMajor) {
  TwinWeight weight(VN_WEIGHT_GEMM, VN_DTYPE_BF16, 17, 3);
  int64_t bytes = 0;
  ASSERT_EQ(VN_OK, vn_weight_bytes(weight.on(Side::kCuda), &bytes));
  EXPECT_EQ(17 * 3 * 2, bytes);
}

TEST_F(WeightParity, TooLargeIsAnErrorWithNumbers) {
  vn_weight* weight = nullptr;
  EXPECT_EQ(VN_OUT_OF_DEVICE_MEMORY,
            vn_weight_create(devices().cuda, VN_WEIGHT_GEMM, VN_DTYPE_F32, int64_t{1} << 22, int64_t{1} << 20, &weight));
  EXPECT_NE(nullptr, std::strstr(vn_last_error(), "free")) << vn_last_error();
  TwinWeight small(VN_WEIGHT_LOOKUP, VN_DTYPE_F32, 3, 5);  // the device goes on
  small.fill(1, 1.0f);
  expect_same_rows(small, "after a refusal");
}

// Odd and even row lengths, padded output rows, every pair of dtypes, ids outside the table.
TEST_F(EmbeddingParity, EveryDtypeAndBadIds) {
  const std::vector<int32_t> rows = {52, 0, 7, 16, 15, -1, 53, 31, 32, INT32_MAX, INT32_MIN, 7};
  parity::Twin ids(VN_DTYPE_I32, {static_cast<int64_t>(rows.size())});
  ids.host().fill(rows);
  ids.upload();
  for (const int32_t use : kUses) {
    for (const int32_t dtype : kFloats) {
      for (const int32_t out_dtype : kFloats) {
        for (const int64_t columns : {1, 7, 8, 64, 257, 4096}) {
          for (const int64_t gap : {0, 3, 8}) {
            for (const float scale : {0.0f, 22.627417f}) {
              TwinWeight table(use, dtype, 53, columns);
              table.fill(7, 1.5f);
              parity::Twin out(out_dtype, {static_cast<int64_t>(rows.size()), columns + gap});
              embed(table, ids, out, scale);
              parity::expect_same(out, name(dtype) + " to " + name(out_dtype) + ", " + std::to_string(columns) +
                                           " columns, gap " + std::to_string(gap));
            }
          }
        }
      }
    }
  }
}

TEST_F(EmbeddingParity, NoTokensAndManyTokens) {
  std::mt19937 engine(6);
  TwinWeight table(VN_WEIGHT_GEMM, VN_DTYPE_BF16, 99, 304);
  table.fill(8, 1.0f);
  for (const int64_t tokens : {0, 1, 5000}) {
    std::vector<int32_t> rows(static_cast<size_t>(tokens));
    for (int32_t& row : rows) row = static_cast<int32_t>(engine() % 99);
    parity::Twin ids(VN_DTYPE_I32, {tokens}), out(VN_DTYPE_BF16, {tokens, 304});
    ids.host().fill(rows);
    ids.upload();
    embed(table, ids, out);
    parity::expect_same(out, std::to_string(tokens) + " tokens");
  }
}

}  // namespace
