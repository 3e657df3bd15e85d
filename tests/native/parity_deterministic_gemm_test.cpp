// vn_gemm on a deterministic CUDA device: the bits of a row are those of the row among any others, and the results are right, since such
// a device computes them in ways of its own.
#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <utility>

#include "parity_deterministic.h"

namespace {

using namespace parity_deterministic;

class DeterministicGemmParity : public DeterministicParity {};

struct Product {
  int64_t n, k;
  int32_t x_dtype, w_dtype, y_dtype, bias_dtype = 0;
  int64_t gap = 0;  // elements between the rows of x

  std::string name() const {
    std::ostringstream text;
    text << n << " x " << k << ", dtypes " << x_dtype << w_dtype << y_dtype << bias_dtype << ", gap " << gap;
    return text.str();
  }
};

void check_product(Deterministic& gpu, const Product& p) {
  SCOPED_TRACE(p.name());
  constexpr int64_t kRows = 1000;
  constexpr int64_t kCompared = 130;  // rows that the CPU computes too
  std::mt19937 engine(static_cast<uint32_t>(p.n * 31 + p.k));
  Twin x(p.x_dtype, {kRows, p.k + p.gap}), bias(p.bias_dtype ? p.bias_dtype : VN_DTYPE_F32, {p.n});
  x.host().randomize(engine);
  x.upload();
  for (int64_t i = 0; i < p.n; ++i) bias.host().set(i, static_cast<double>(static_cast<int>(engine() % 127) - 63) / 64);
  bias.upload();
  vn_weight *weight = nullptr, *on_cpu = nullptr;
  ASSERT_EQ(VN_OK, vn_weight_create(gpu.device, VN_WEIGHT_GEMM, p.w_dtype, p.n, p.k, &weight)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_weight_create(devices().cpu, VN_WEIGHT_GEMM, p.w_dtype, p.n, p.k, &on_cpu)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_weight_fill(weight, 5, 1.0f));
  ASSERT_EQ(VN_OK, vn_weight_fill(on_cpu, 5, 1.0f));
  int64_t bytes[2] = {};
  ASSERT_EQ(VN_OK, vn_gemm_workspace_size(on_cpu, p.x_dtype, kCompared, &bytes[0]));
  ASSERT_EQ(VN_OK, vn_gemm_workspace_size(weight, p.x_dtype, kRows, &bytes[1]));
  parity::Workspace workspace(bytes[0], bytes[1]);
  const auto rows = [&](int64_t first, int64_t count) {
    Twin y(p.y_dtype, {count, p.n});
    auto params = params_of<vn_gemm_params>();
    params.weight = weight;
    params.x = rows_of(x.view(x.host().columns(0, p.k), Side::kCuda), first, count);
    if (p.bias_dtype) params.bias = bias.tensor(Side::kCuda);
    params.y = y.tensor(Side::kCuda);
    params.workspace = workspace.data(Side::kCuda);
    params.workspace_bytes = bytes[1];
    gpu.run(vn_gemm, params);
    const Array got = y.download();
    EXPECT_TRUE(got.guards_intact());
    return got;
  };

  const Array whole = rows(0, kRows);
  for (const int64_t m : {1, 2, 3, 7, 8, 16, 33, 64, 100, 128, 129, 256, 257, 1000}) {
    for (const int64_t first : {int64_t{0}, int64_t{1}, int64_t{131}, kRows - m}) {
      if (first + m > kRows) continue;
      ASSERT_EQ(whole.slice(first * p.n, m * p.n), rows(first, m).slice(0, m * p.n)) << m << " rows from " << first;
    }
  }
  EXPECT_TRUE(workspace.guard_intact());

  Array reference(VN_DTYPE_F32, {kCompared, p.n});
  auto params = params_of<vn_gemm_params>();
  params.weight = on_cpu;
  params.x = rows_of(x.view(x.host().columns(0, p.k), Side::kCpu), 0, kCompared);
  if (p.bias_dtype) params.bias = bias.tensor(Side::kCpu);
  params.y = reference.tensor();
  params.workspace = workspace.data(Side::kCpu);
  params.workspace_bytes = bytes[0];
  ASSERT_EQ(VN_OK, vn_gemm(devices().cpu_stream, &params)) << vn_last_error();
  const double f32_error = (0.3 * static_cast<double>(p.k) + 1) * 0x1p-19;
  int64_t wrong = 0;
  for (int64_t i = 0; i < kCompared * p.n; ++i) {
    const double expected = reference.at(i);
    // cuBLASLt may round the product before it adds the bias.
    const double twice = p.bias_dtype ? 0.5 * ops_test::ulp(std::fabs(expected) + 1, p.y_dtype) : 0.0;
    wrong += !ops_test::close(whole.at(i), expected, p.y_dtype, f32_error + twice);
  }
  EXPECT_EQ(0, wrong) << "against the CPU";
  vn_weight_destroy(weight);
  vn_weight_destroy(on_cpu);
}

TEST_F(DeterministicGemmParity, RowsOfEveryDtype) {
  for (const int32_t x_dtype : kFloats) {
    for (const int32_t w_dtype : kFloats) {
      for (const int32_t y_dtype : {x_dtype, VN_DTYPE_F32}) {
        for (const int32_t bias_dtype : {0, VN_DTYPE_F32, y_dtype}) {
          check_product(*gpu_, {96, 128, x_dtype, w_dtype, y_dtype, bias_dtype});
        }
      }
    }
  }
}

// Shapes of the tests' models and of real ones, a long K, and matrices that only the plain kernel takes.
TEST_F(DeterministicGemmParity, RowsOfManyShapes) {
  const struct {
    int64_t n, k;
  } matrices[] = {{1536, 128}, {256, 768}, {1024, 2048}, {4096, 1024}, {1024, 3072}, {64, 16384}, {40, 4096}, {65, 129}, {7, 24}};
  for (const auto& matrix : matrices) {
    for (const int32_t dtype : kFloats) {
      check_product(*gpu_, {matrix.n, matrix.k, dtype, dtype, dtype});
      check_product(*gpu_, {matrix.n, matrix.k, dtype, dtype, VN_DTYPE_F32});
    }
  }
  check_product(*gpu_, {6144, 4096, VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_BF16});
}

// W, drawn on the device, and the workspace of its products.
struct Drawn {
  Drawn(Deterministic& gpu, int64_t n, int64_t k, int64_t rows) {
    EXPECT_EQ(VN_OK, vn_weight_create(gpu.device, VN_WEIGHT_GEMM, VN_DTYPE_BF16, n, k, &weight)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_weight_fill(weight, 5, 1.0f)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_gemm_workspace_size(weight, VN_DTYPE_BF16, rows, &bytes)) << vn_last_error();
    workspace = std::make_unique<parity::Workspace>(0, bytes);
  }
  ~Drawn() { vn_weight_destroy(weight); }
  Drawn(const Drawn&) = delete;
  Drawn& operator=(const Drawn&) = delete;

  vn_gemm_params params(const vn_tensor& x, const vn_tensor& y) const {
    auto params = params_of<vn_gemm_params>();
    params.weight = weight;
    params.x = x;
    params.y = y;
    params.workspace = workspace->data(Side::kCuda);
    params.workspace_bytes = bytes;
    return params;
  }

  vn_weight* weight = nullptr;
  int64_t bytes = 0;
  std::unique_ptr<parity::Workspace> workspace;
};

// Every row count up to 300 of one product has the bits of the whole, in the shapes of 8 billion parameters and scaled down; W is
// drawn on the device, and the CPU computes none of it.
void check_counts(Deterministic& gpu, int64_t n, int64_t k, const std::vector<int64_t>& counts) {
  SCOPED_TRACE(std::to_string(n) + " x " + std::to_string(k));
  constexpr int64_t kRows = 300;
  std::mt19937 engine(static_cast<uint32_t>(n + k));
  Twin x(VN_DTYPE_BF16, {kRows, k});
  x.host().randomize(engine);
  x.upload();
  const Drawn w(gpu, n, k, kRows);
  const auto rows = [&](int64_t first, int64_t count) {
    Twin y(VN_DTYPE_F32, {count, n});
    gpu.run(vn_gemm, w.params(rows_of(x.tensor(Side::kCuda), first, count), y.tensor(Side::kCuda)));
    return y.download().slice(0, count * n);
  };
  const Bytes whole = rows(0, kRows);
  for (const int64_t count : counts) {
    const int64_t first = count * 37 % (kRows - count + 1);
    const auto at = whole.begin() + first * n * 4;
    ASSERT_EQ(Bytes(at, at + count * n * 4), rows(first, count)) << count << " rows from " << first;
  }
}

TEST_F(DeterministicGemmParity, RowsOfEveryCount) {
  std::vector<int64_t> all(300);
  std::iota(all.begin(), all.end(), 1);
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{768, 512}, {512, 512}, {3584, 512}, {512, 1792}, {17000, 64}}) {
    check_counts(*gpu_, n, k, all);
  }
}

TEST_F(DeterministicGemmParity, LargeRowsOfManyCounts) {
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}}) {
    check_counts(*gpu_, n, k, {1, 2, 7, 16, 31, 33, 64, 65, 128, 129, 200, 256, 257, 300});
  }
}

// A row alone is better aligned than rows with odd gaps; it must not take another way for that.
TEST_F(DeterministicGemmParity, RowsWithGaps) {
  for (const int64_t gap : {1, 8}) {
    for (const int32_t dtype : kFloats) check_product(*gpu_, {96, 256, dtype, dtype, dtype, dtype, gap});
  }
}

// Rows that overlap, which neither the copy engine nor cuBLASLt takes: they go through the skinny kernel in chunks.
TEST_F(DeterministicGemmParity, RowsThatOverlap) {
  constexpr int64_t kRows = 70, kN = 96, kK = 256, kStride = 8;
  std::mt19937 engine(8);
  Twin x(VN_DTYPE_BF16, {1, (kRows - 1) * kStride + kK});
  x.host().randomize(engine);
  x.upload();
  const Drawn w(*gpu_, kN, kK, kRows);
  const auto rows = [&](int64_t first, int64_t count) {
    Twin y(VN_DTYPE_F32, {count, kN});
    vn_tensor overlapping = x.tensor(Side::kCuda);
    overlapping.shape[0] = count;
    overlapping.shape[1] = kK;
    overlapping.stride[0] = kStride;
    gpu_->run(vn_gemm, w.params(rows_of(overlapping, first, count), y.tensor(Side::kCuda)));
    const Array got = y.download();
    EXPECT_TRUE(got.guards_intact());
    EXPECT_FALSE(got.poisoned(count * kN - 1, 1));
    return got.slice(0, count * kN);
  };
  const Bytes whole = rows(0, kRows);
  for (const int64_t count : {1, 2, 15, 16, 17, 33, 70}) {
    for (const int64_t first : {int64_t{0}, int64_t{3}, kRows - count}) {
      if (first + count > kRows) continue;
      const auto at = whole.begin() + first * kN * 4;
      ASSERT_EQ(Bytes(at, at + count * kN * 4), rows(first, count)) << count << " rows from " << first;
    }
  }
}

// There is nothing to choose, so there is nothing to measure: the bits stay, and no scratch memory is wanted.
TEST_F(DeterministicGemmParity, TuningChangesNothing) {
  constexpr int64_t kM = 8, kN = 512, kK = 1024;
  const Drawn w(*gpu_, kN, kK, kM);
  std::mt19937 engine(3);
  Twin x(VN_DTYPE_BF16, {kM, kK}), y(VN_DTYPE_BF16, {kM, kN});
  x.host().randomize(engine);
  x.upload();
  int64_t tuning = 0;
  ASSERT_EQ(VN_OK, vn_gemm_tune_workspace_size(w.weight, VN_DTYPE_BF16, VN_DTYPE_BF16, kM, &tuning));
  EXPECT_EQ(w.bytes, tuning);
  const auto params = w.params(x.tensor(Side::kCuda), y.tensor(Side::kCuda));
  gpu_->run(vn_gemm, params);
  const Bytes before = y.download().slice(0, kM * kN);
  gpu_->run(vn_gemm_tune, params);
  gpu_->run(vn_gemm, params);
  EXPECT_EQ(before, y.download().slice(0, kM * kN));
}

}  // namespace
