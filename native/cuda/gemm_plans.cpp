// Which algorithm serves which products. Ordinarily rows are bucketed (core/row_buckets.h): one algorithm serves a bucket, the
// library's first guess until tune() has measured.
//
// Batch-invariant devices: a row of y must have the same bits whatever rows it is computed with. A tile kernel adds up each
// element along K in an order that its configuration fixes (tile, stages, instruction) and that no coordinate of the element
// enters; what breaks this is another configuration for another row count, and sums divided among blocks. So there is one
// configuration for all row counts, the library's guess for kInvariantRows, with no split of K, no reduction scheme and no
// workspace, through which alone blocks could hand on parts of a sum; it is checked beforehand to take every row count. (On an H100
// none does for 16-bit operands: all candidates want 4 bytes of workspace from some row count on, between 129 and 1024. There
// gemm_sm90.cu computes these products.)
// The alternative, cutting products into calls of one fixed row count, would not depend on the library using one kernel for
// one configuration, but needs copies of the rest of x and y, and reads W once for each cut; the parity tests compare bits at
// many row counts instead.
#include "cuda/gemm_plans.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "core/dtype.h"
#include "core/error.h"
#include "core/row_buckets.h"
#include "cuda/cublaslt.h"
#include "cuda/device.h"
#include "cuda/gemm_trial.h"
#include "cuda/host.h"

namespace vn::cuda {
namespace {

constexpr int kCandidates = 16;
constexpr int64_t kInvariantRows = 128;  // between a decode batch and a prompt
constexpr int64_t kDecodeRows = 128;     // the Hopper kernels are made for decode batches
constexpr float kClearlyFaster = 0.98f;  // of the best candidate's time so far; less is noise
// A whole step shows more of what overlapping its neighbours is worth to a kernel than a trial does.
constexpr float kOverlapWorth = 0.96f;

bool refused(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
}

// Once for each plan: such a product is computed by another kernel, mostly far slower.
void report_unusable(const GemmKey& key) {
  char message[256];
  std::snprintf(message, sizeof message,
                "gemm: cuBLASLt has no algorithm for [%lld, %lld] x %lld, %s into %s, bias %d, aligned to %d, %d and %d bytes; "
                "another kernel computes it",
                static_cast<long long>(key.m), static_cast<long long>(key.k), static_cast<long long>(key.n),
                dtype_name(key.dtype), dtype_name(key.y_dtype), key.bias, key.x_alignment, key.w_alignment, key.y_alignment);
  g_host->log(2, message);
}

const char* name_of(GemmKernel kernel) {
  switch (kernel) {
    case GemmKernel::kSkinny: return "skinny";
    case GemmKernel::kSm90: return "Hopper";
    case GemmKernel::kSm90Deep: return "Hopper, deep ring";
    case GemmKernel::kCublasLt: return "cuBLASLt";
    default: return "none";
  }
}

bool can_run(GemmKernel kernel, const GemmProblem& problem, const DeviceState& device) {
  switch (kernel) {
    case GemmKernel::kSkinny: return can_skinny(problem);
    case GemmKernel::kSm90: return problem.m <= kDecodeRows && can_gemm_sm90(problem, device.capability);
    default: return can_gemm_sm90_deep(problem, device.capability);
  }
}

void launch_own(GemmKernel kernel, const GemmProblem& problem, const DeviceState& device, cudaStream_t stream) {
  switch (kernel) {
    case GemmKernel::kSkinny: return launch_gemm_skinny(problem, device.sms, device.overlaps_kernels, stream);
    case GemmKernel::kSm90: return launch_gemm_sm90(problem, device.overlaps_kernels, stream);
    default: return launch_gemm_sm90_deep(problem, device.overlaps_kernels, stream);
  }
}

void report_tuned(const GemmProblem& problem, const GemmTimes& times, float guess, GemmKernel winner) {
  char message[256];
  std::snprintf(message, sizeof message,
                "gemm_tune: [%lld, %lld] x %lld, %s into %s: %s; cuBLASLt's guess %.2f us, its best %.2f us, skinny %.2f us, "
                "Hopper %.2f us, with a deep ring %.2f us",
                static_cast<long long>(problem.m), static_cast<long long>(problem.k), static_cast<long long>(problem.n),
                dtype_name(problem.x_dtype), dtype_name(problem.y_dtype), name_of(winner), static_cast<double>(guess),
                static_cast<double>(times.cublas), static_cast<double>(times.own[0]), static_cast<double>(times.own[1]),
                static_cast<double>(times.own[2]));
  g_host->log(0, message);
}

}  // namespace

GemmPlans::GemmPlans(bool batch_invariant) : batch_invariant_(batch_invariant) {}

GemmPlans::~GemmPlans() {
  plans_.clear();
  if (handle_) cublaslt().cublasLtDestroy(handle_);
}

GemmKey GemmPlans::key_of(const GemmProblem& problem) const {
  return gemm_key(problem, batch_invariant_ ? kInvariantRows : row_bucket(problem.m));
}

GemmPlan& GemmPlans::find(const GemmKey& key, const GemmProblem& problem) {
  if (!handle_) check_cublas(cublaslt().cublasLtCreate(&handle_), "gemm: cublasLtCreate");
  std::unique_ptr<GemmPlan>& slot = plans_[key];
  if (!slot) {
    auto plan = std::make_unique<GemmPlan>(key, problem.bias);
    const GemmSums sums = batch_invariant_ ? GemmSums::kOfOneBlock : GemmSums::kRepeatable;
    const std::vector<cublasLtMatmulAlgo_t> guesses = plan->algorithms(handle_, problem, sums, kCandidates);
    if (guesses.empty()) {
      report_unusable(key);
    } else {
      plan->chosen = guesses.front();
    }
    slot = std::move(plan);
  }
  return *slot;
}

bool GemmPlans::launch(const GemmProblem& problem, void* workspace, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  GemmKey key = key_of(problem);
  // An algorithm chosen for a bucket may refuse a smaller row count; then one is chosen for this count alone.
  for (;;) {
    GemmPlan& plan = find(key, problem);
    cublasStatus_t status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (plan.chosen) {
      status = plan.launch(handle_, problem, *plan.chosen, batch_invariant_ ? nullptr : workspace, stream);
    }
    if (status == CUBLAS_STATUS_SUCCESS) return true;
    if (!refused(status) || (batch_invariant_ && plan.chosen)) check_cublas(status, "gemm: cublasLtMatmul");
    if (batch_invariant_ || key.m == problem.m) return false;
    key.m = problem.m;
  }
}

GemmKernel GemmPlans::fastest(const GemmKey& key, const GemmTimes& times) const {
  const BucketTimes& bucket = buckets_.at(key.m);
  const auto own = static_cast<size_t>(std::min_element(bucket.begin(), bucket.end()) - bucket.begin());
  return times.cublas <= kOverlapWorth * times.own[own] ? GemmKernel::kCublasLt : kOwn[own];
}

GemmKernel GemmPlans::measured(const GemmProblem& problem) const {
  const std::lock_guard lock(mutex_);
  const GemmKey key = key_of(problem);
  const auto found = plans_.find(key);
  return found == plans_.end() || !found->second->times ? GemmKernel::kAny : fastest(key, *found->second->times);
}

void GemmPlans::tune(const GemmProblem& problem, GemmTrial& trial, void* workspace, const DeviceState& device,
                     cudaStream_t stream) {
  constexpr float kNever = std::numeric_limits<float>::infinity();
  const std::lock_guard lock(mutex_);
  const GemmKey key = key_of(problem);
  GemmPlan& plan = find(key, problem);
  GemmTimes times{kNever, {kNever, kNever, kNever}};
  std::optional<float> guess;
  for (const cublasLtMatmulAlgo_t& algorithm : plan.algorithms(handle_, problem, GemmSums::kRepeatable, kCandidates)) {
    const float time = trial.microseconds(
        [&](const GemmProblem& p) { return plan.launch(handle_, p, algorithm, workspace, stream) == CUBLAS_STATUS_SUCCESS; });
    if (!guess) guess = time;
    if (time >= times.cublas * kClearlyFaster) continue;
    times.cublas = time;
    plan.chosen = algorithm;
  }
  for (size_t i = 0; i < kOwnKernels; ++i) {
    if (!can_run(kOwn[i], problem, device)) continue;
    times.own[i] = trial.microseconds([&](const GemmProblem& p) {
      launch_own(kOwn[i], p, device, stream);
      return true;
    });
  }
  plan.times = times;
  BucketTimes bucket{};
  for (const auto& [other, tuned] : plans_) {
    if (other.m != key.m || !tuned->times) continue;
    for (size_t i = 0; i < kOwnKernels; ++i) bucket[i] += std::min(tuned->times->cublas, tuned->times->own[i]);
  }
  buckets_[key.m] = bucket;
  report_tuned(problem, times, guess.value_or(kNever), fastest(key, times));
}

}  // namespace vn::cuda
