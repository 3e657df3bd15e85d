// GEMM through cuBLASLt: a cache of what has to be made, chosen or measured before a product can be launched.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "cuda/gemm.h"
#include "cuda/gemm_plan.h"

namespace vn::cuda {

class GemmTrial;     // gemm_trial.h
struct DeviceState;  // device.h

class GemmPlans {
 public:
  // batch_invariant: one algorithm for all row counts, none that splits a sum.
  explicit GemmPlans(bool batch_invariant);
  ~GemmPlans();
  GemmPlans(const GemmPlans&) = delete;
  GemmPlans& operator=(const GemmPlans&) = delete;

  // In all functions x and W have one dtype, and bias is null or has y's dtype and is 16-byte aligned.

  // Launches the product; false, with nothing launched, when cuBLASLt has no algorithm for it. workspace: kCublasWorkspace
  // bytes, unless batch_invariant. Throws VN_CUBLAS.
  bool launch(const GemmProblem& problem, void* workspace, cudaStream_t stream);

  // What tune() found for problems like this; kAny where it was not asked.
  GemmKernel measured(const GemmProblem& problem) const;

  // Times cuBLASLt's candidates and the device's own kernels on the trial's problem and remembers the fastest.
  void tune(const GemmProblem& problem, GemmTrial& trial, void* workspace, const DeviceState& device, cudaStream_t stream);

 private:
  GemmKey key_of(const GemmProblem& problem) const;
  GemmPlan& find(const GemmKey& key, const GemmProblem& problem);

  const bool batch_invariant_;
  mutable std::mutex mutex_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<GemmKey, std::unique_ptr<GemmPlan>> plans_;
};

}  // namespace vn::cuda
