// One kind of product as cuBLASLt sees it: its descriptors, the algorithms that the library offers, and a launch.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "cuda/gemm.h"

namespace vn::cuda {

constexpr int64_t kCublasWorkspace = int64_t{32} << 20;  // NVIDIA's recommendation for Hopper

// What an algorithm is chosen for. m: the rows of the choice. Alignments: bytes, at most 16.
struct GemmKey {
  int64_t m;
  int64_t n;
  int64_t k;
  int32_t dtype;  // of x and W
  int32_t y_dtype;
  bool bias;
  int32_t x_alignment;
  int32_t w_alignment;
  int32_t y_alignment;

  auto fields() const { return std::tie(m, n, k, dtype, y_dtype, bias, x_alignment, w_alignment, y_alignment); }
  bool operator<(const GemmKey& other) const { return fields() < other.fields(); }
};

GemmKey gemm_key(const GemmProblem& problem, int64_t rows);

// Which algorithms may be chosen.
enum class GemmSums {
  kRepeatable,  // parts of a split sum are added in f32 in the workspace, in a fixed order: the same call, the same bits
  kOfOneBlock,  // each element is summed by one block (or cluster) of the launch, and the algorithm takes any row count
};

// The device's own kernels for few rows.
constexpr int kOwnKernels = 3;
constexpr GemmKernel kOwn[kOwnKernels] = {GemmKernel::kSkinny, GemmKernel::kSm90, GemmKernel::kSm90Deep};

// What vn_gemm_tune has measured: microseconds of a product among small kernels; infinite where a kernel does not take it.
struct GemmTimes {
  float cublas;                        // the algorithm that is chosen
  std::array<float, kOwnKernels> own;  // in the order of kOwn
};

class GemmPlan {
 public:
  // bias: an address as aligned as those to come; its alignment matters to the choice.
  GemmPlan(const GemmKey& key, const void* bias);
  ~GemmPlan();
  GemmPlan(const GemmPlan&) = delete;
  GemmPlan& operator=(const GemmPlan&) = delete;

  // At most `count` algorithms for key.m rows that lie as the problem's, the library's best guess first.
  std::vector<cublasLtMatmulAlgo_t> algorithms(cublasLtHandle_t handle, const GemmProblem& problem, GemmSums sums, int count);
  // Success, or why the library refused. workspace: kCublasWorkspace bytes, or null.
  cublasStatus_t launch(cublasLtHandle_t handle, const GemmProblem& problem, const cublasLtMatmulAlgo_t& algorithm,
                        void* workspace, cudaStream_t stream);

  std::optional<cublasLtMatmulAlgo_t> chosen;  // none where no algorithm can
  std::optional<GemmTimes> times;              // none before vn_gemm_tune

 private:
  void set_rows(int64_t m, int64_t x_stride, int64_t y_stride);
  bool takes_all_rows(cublasLtHandle_t handle, const cublasLtMatmulAlgo_t& algorithm, const GemmProblem& problem);

  const GemmKey key_;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t w_ = nullptr;
  cublasLtMatrixLayout_t x_ = nullptr;
  cublasLtMatrixLayout_t y_ = nullptr;
};

}  // namespace vn::cuda
