// Trying out ways to compute one product, each as it would run in a model's step: weights from memory, not from a cache.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>

#include "cuda/gemm.h"

namespace vn::cuda {

class GemmTrial {
 public:
  // scratch: scratch_bytes(...) of device memory, 256-byte aligned. problem.y is written by every trial. overlap: whether the
  // device's kernels may begin before the one ahead has ended.
  GemmTrial(const GemmProblem& problem, void* scratch, int64_t l2_bytes, bool overlap, cudaStream_t stream);
  ~GemmTrial();
  GemmTrial(const GemmTrial&) = delete;
  GemmTrial& operator=(const GemmTrial&) = delete;

  static int64_t scratch_bytes(int64_t l2_bytes, int64_t y_bytes);

  // The shortest of a few launches (what disturbs one makes it longer), each with a small kernel at either side; infinity where one
  // was refused (false), or the result is not that of the first trial.
  float microseconds(const std::function<bool()>& launch);

 private:
  bool agrees();

  const GemmProblem problem_;
  const cudaStream_t stream_;
  const bool overlap_;
  const int64_t flush_bytes_;
  char* const scratch_;  // two sums, what is read to empty the cache, y of the first trial
  char* const reference_;
  bool has_reference_ = false;
  cudaEvent_t start_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

}  // namespace vn::cuda
