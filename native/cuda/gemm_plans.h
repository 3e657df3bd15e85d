// GEMM through cuBLASLt: a cache of what has to be made, chosen or measured before a product can be launched.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <array>
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

  // What serves problems like this best, as far as tune() has measured; kAny where it was not asked. Products of one row bucket
  // follow each other in a step, and the device's own kernels do not mix: a Hopper block wants a multiprocessor of its own, and where
  // blocks of another kernel still run, several crowd onto the others. So it is one of them for a bucket, whichever makes all its
  // products together fastest, beside cuBLASLt where that is fastest.
  GemmKernel measured(const GemmProblem& problem) const;

  // Times cuBLASLt's candidates and the device's own kernels on the trial's problem and remembers what each took.
  void tune(const GemmProblem& problem, GemmTrial& trial, void* workspace, const DeviceState& device, cudaStream_t stream);

 private:
  // Microseconds of all tuned products of a row bucket, each by cuBLASLt or the one kernel of the device's own.
  using BucketTimes = std::array<float, kOwnKernels>;

  GemmKey key_of(const GemmProblem& problem) const;
  GemmPlan& find(const GemmKey& key, const GemmProblem& problem);
  GemmKernel fastest(const GemmKey& key, const GemmTimes& times) const;

  const bool batch_invariant_;
  mutable std::mutex mutex_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<GemmKey, std::unique_ptr<GemmPlan>> plans_;
  std::map<int64_t, BucketTimes> buckets_;
};

}  // namespace vn::cuda
