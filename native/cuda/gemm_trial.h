// Trying out ways to compute one product, each as it would run in a model's step: weights from memory, not from a cache, and small
// kernels between one product and the next.
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

  // Of one product among others, the shortest of a few rounds (what disturbs one makes it longer); infinity where a launch was
  // refused (false), or the result is not that of the first trial. launch: of the problem that it gets, which differs in W alone.
  float microseconds(const std::function<bool(const GemmProblem&)>& launch);

 private:
  bool agrees();
  float round(int products, const std::function<bool(const GemmProblem&)>& launch);
  char* copy_of_weights(int64_t copy) const;
  GemmProblem with_next_weights();

  const GemmProblem problem_;
  const cudaStream_t stream_;
  const bool overlap_;
  const int64_t copies_bytes_;
  const int64_t w_bytes_;  // from one copy to the next
  const int64_t copies_;
  char* const scratch_;  // two sums, copies of W, y of the first trial
  char* const reference_;
  int64_t next_ = 0;  // which copy the next product reads; beyond the last one, W itself
  bool has_reference_ = false;
  cudaEvent_t start_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

}  // namespace vn::cuda
