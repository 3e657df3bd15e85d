// GEMM through cuBLASLt, with a cache of what has to be made before a product can be launched.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "cuda/gemm.h"

namespace vn::cuda {

constexpr int64_t kCublasWorkspace = int64_t{32} << 20;  // NVIDIA's recommendation for Hopper

// What an algorithm is chosen for. m: the largest of its bucket. Alignments: bytes, at most 16.
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

struct GemmPlan;

class GemmPlans {
 public:
  GemmPlans();
  ~GemmPlans();
  GemmPlans(const GemmPlans&) = delete;
  GemmPlans& operator=(const GemmPlans&) = delete;

  // Launches the product; false, with nothing launched, when cuBLASLt has no algorithm for it. x and W have one dtype,
  // bias is null or has y's dtype and is 16-byte aligned. workspace: kCublasWorkspace bytes. Throws VN_CUBLAS.
  bool launch(const GemmProblem& problem, void* workspace, cudaStream_t stream);

 private:
  GemmPlan& find(const GemmKey& key, const GemmProblem& problem);

  std::mutex mutex_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<GemmKey, std::unique_ptr<GemmPlan>> plans_;
};

}  // namespace vn::cuda
