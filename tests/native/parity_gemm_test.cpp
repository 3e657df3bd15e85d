// vn_gemm on CUDA against the CPU: every pair of dtypes, bias and output dtype, shapes around every kernel's edges, row gaps,
// each kernel forced and as chosen; repeatability, graphs and what the device says of itself.
#include "parity_gemm_problem.h"

namespace {

using namespace parity_gemm;

class GemmParity : public parity::Test {};
class GraphParity : public parity::Test {};
class DeviceParity : public parity::Test {};

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
        if (problem.takes_hopper_deep()) problem.check(kHopperDeep, dtype, 0);
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

// Every width of the Hopper kernel with a deep ring and the row counts around it; tiles of 64 rows of W with K in two parts and whole,
// and of 128; tiles and steps that are cut off, rows of y that are no whole vectors.
TEST_F(GemmParity, HopperDeepRowsAndParts) {
  if (!on_hopper()) GTEST_SKIP() << "the device is no Hopper chip";
  const struct {
    int64_t n, k;
  } matrices[] = {{96, 1024}, {4160, 264}, {4296, 520}, {8456, 712}, {17000, 136}, {130, 8}, {257, 4104}};
  for (const auto& matrix : matrices) {
    for (const int64_t m : parity::sizes({1, 8, 9, 31, 32, 33, 63, 64, 65, 72, 100, 127, 128})) {
      const int32_t dtype = m % 2 == 0 ? VN_DTYPE_F16 : VN_DTYPE_BF16;
      Problem problem(m, matrix.n, matrix.k, dtype, dtype, m % 3 == 0 ? 8 : 0);
      problem.check(kHopperDeep, dtype, 0);
      problem.check(kHopperDeep, dtype, VN_DTYPE_F32, m % 5);
      problem.check(kHopperDeep, VN_DTYPE_F32, VN_DTYPE_BF16, m % 4);
    }
  }
  Problem more(129, 96, 64, VN_DTYPE_BF16, VN_DTYPE_BF16);
  parity::Twin y(VN_DTYPE_BF16, {129, 96});
  auto params = more.common(Side::kCuda);
  params.reserved = kHopperDeep;
  params.y = y.tensor(Side::kCuda);
  EXPECT_EQ(VN_UNSUPPORTED, vn_gemm(devices().cuda_stream, &params));
}

// That the first rows of a product have the bits that they have in one of m rows.
void expect_rows_independent(Kernel kernel, int64_t m, int64_t n, int64_t k, std::initializer_list<int64_t> counts) {
  Problem problem(m, n, k, VN_DTYPE_BF16, VN_DTYPE_BF16);
  parity::Twin all(VN_DTYPE_F32, {m, n});
  auto params = problem.common(Side::kCuda);
  params.reserved = kernel;
  params.y = all.tensor(Side::kCuda);
  ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
  const Array expected = all.download();
  for (const int64_t rows : counts) {
    parity::Twin some(VN_DTYPE_F32, {rows, n});
    params.x.shape[0] = rows;
    params.y = some.tensor(Side::kCuda);
    ASSERT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
    ASSERT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
    EXPECT_EQ(expected.slice(0, rows * n), some.download().slice(0, rows * n)) << rows << " rows, " << n << " x " << k;
  }
}

// Rows of a batch have the bits that they have in any other.
TEST_F(GemmParity, HopperDeepRowsDoNotDependOnTheirNumber) {
  if (!on_hopper()) GTEST_SKIP() << "the device is no Hopper chip";
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1024, 2048}, {6144, 1024}, {9000, 520}}) {
    expect_rows_independent(kHopperDeep, 128, n, k, {1, 2, 17, 32, 33, 64, 65, 120});
  }
}

// A chain of products, each reading what the one ahead wrote and overwriting what it read: kernels that begin early change no bit.
TEST_F(GemmParity, HopperChainsKeepTheirOrder) {
  if (!on_hopper()) GTEST_SKIP() << "the device is no Hopper chip";
  constexpr int64_t kWidth = 1024;
  constexpr int kLinks = 60;
  for (const auto& [m, kernel] : {std::pair<int64_t, Kernel>{3, kHopper}, {32, kHopper}, {128, kHopper}, {200, kHopper}, {3, kHopperDeep},
                                  {32, kHopperDeep}, {64, kHopperDeep}, {128, kHopperDeep}}) {
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
        params.reserved = kernel;
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
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1024, 2048}, {40, 1000}, {4096, 1024}}) {
    expect_rows_independent(kSkinny, 16, n, k, {1, 2, 3, 8, 9});
  }
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
