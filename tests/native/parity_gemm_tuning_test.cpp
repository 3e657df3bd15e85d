// vn_gemm_tune: what it finds to be fastest is what runs afterwards, computes the same, and is not asked for in a recording.
#include <map>

#include "parity_gemm_problem.h"

namespace {

using namespace parity_gemm;

// The last line that vn_gemm_tune has logged.
class TuningLog : public ::testing::Environment {
 public:
  void SetUp() override {
    auto options = params_of<vn_library_options>();
    options.log = [](void*, int32_t, const char* message) {
      if (std::string(message).starts_with("gemm_tune: ")) line = message;
    };
    ASSERT_EQ(VN_OK, vn_library_init(&options)) << vn_last_error();
  }

  // Its winner: "gemm_tune: [m, k] x n, X into Y: winner; ...".
  static std::string winner() {
    const size_t end = line.find(';'), begin = line.rfind(": ", end);
    return end == std::string::npos ? "" : line.substr(begin + 2, end - begin - 2);
  }

 private:
  static inline std::string line;
};
const auto* const g_log = ::testing::AddGlobalTestEnvironment(new TuningLog);

class GemmTuningParity : public parity::Test {};

// The bits of a product in F32.
std::vector<unsigned char> bits_of(Problem& problem, int64_t m, int64_t n, Kernel kernel) {
  parity::Twin y(VN_DTYPE_F32, {m, n});
  auto params = problem.common(Side::kCuda);
  params.y = y.tensor(Side::kCuda);
  params.reserved = kernel;
  EXPECT_EQ(VN_OK, vn_gemm(devices().cuda_stream, &params)) << vn_last_error();
  EXPECT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
  return y.download().slice(0, m * n);
}

// The device's own kernels add up in orders of their own, so that their bits tell which one ran. cuBLASLt's order may be that of one of
// them for some row count.
TEST_F(GemmTuningParity, WhatWasFastestIsWhatRuns) {
  const std::map<std::string, Kernel> kernels = {
      {"cuBLASLt", kCublasLt}, {"skinny", kSkinny}, {"Hopper", kHopper}, {"Hopper, deep ring", kHopperDeep}};
  constexpr int64_t kN = 4096, kK = 4096;
  std::map<std::string, int> wins;
  int not_cublas = 0;
  for (const int64_t m : parity::sizes({1, 8, 16, 32, 48, 128, 320})) {
    Problem problem(m, kN, kK, VN_DTYPE_BF16, VN_DTYPE_BF16);
    problem.tune(VN_DTYPE_F32, 0);
    const std::string winner = TuningLog::winner();
    ASSERT_TRUE(kernels.contains(winner)) << winner;
    ++wins[winner];
    const auto chosen = bits_of(problem, m, kN, kChosen);
    EXPECT_EQ(chosen, bits_of(problem, m, kN, kernels.at(winner))) << m << " rows, fastest: " << winner;
    for (const auto& [name, kernel] : kernels) {
      const bool takes = kernel == kSkinny       ? problem.takes_skinny()
                         : kernel == kHopper     ? problem.takes_hopper()
                         : kernel == kHopperDeep ? problem.takes_hopper_deep()
                                                 : true;
      if (name == winner || !takes) continue;
      const bool differs = chosen != bits_of(problem, m, kN, kernel);
      if (kernel == kCublasLt) {
        not_cublas += differs;
      } else {
        EXPECT_TRUE(differs) << m << " rows, fastest: " << winner << ", not " << name;
      }
    }
  }
  EXPECT_EQ(on_hopper(), wins["Hopper"] + wins["Hopper, deep ring"] > 0)
      << "on a Hopper chip, and there alone, its kernels are the fastest for some decode batch";
  EXPECT_EQ(on_hopper(), not_cublas > 0);
}

// What was measured computes the same, eagerly and recorded; kinds of products that have no choice are left alone.
TEST_F(GemmTuningParity, TunedProductsStayRight) {
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

TEST_F(GemmTuningParity, TuningIsRefusedWhileTheStreamIsRecorded) {
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

}  // namespace
