// y = x W^T + bias: which kernel computes it. The choice looks at shapes, dtypes, alignment and what vn_gemm_tune has measured,
// never at values:
//   1. Hopper (gemm_sm90.cu, gemm_sm90_deep.cu): up to 128 rows of x, where one of them was measured to be fastest;
//   2. skinny (gemm_skinny.cu): few rows of x and a matrix small enough that cuBLASLt leaves bandwidth unused;
//   3. cuBLASLt (gemm_plans.cpp): x and W of one dtype, y of that dtype or F32;
//   4. plain (gemm_plain.cu): everything else, and what cuBLASLt has no algorithm for (odd alignment).
// A batch-invariant device has no choice by the row count: gemm_sm90.cu where it can; 3 where everything is 16-byte aligned and one
// algorithm takes all row counts; 2 in chunks of rows; else 4.
#include "cuda/gemm.h"

#include <algorithm>

#include "core/dtype.h"
#include "core/error.h"
#include "core/handles.h"
#include "cuda/check.h"
#include "cuda/convert.h"
#include "cuda/gemm_plans.h"
#include "cuda/gemm_trial.h"
#include "cuda/ops.h"
#include "cuda/weight.h"

namespace vn::cuda {
namespace {

// Where nothing was measured. An H200 computes one row faster by the skinny kernel at 6144 x 4096, two at 4096 x 4096, four by
// cuBLASLt; three share a bucket with four, and a batch that is padded to its bucket must keep its bits.
constexpr int64_t kSkinnyElements = int64_t{64} << 20;  // of W, at one row
constexpr int64_t kFewSkinnyElements = int64_t{16} << 20;
constexpr int64_t kFewSkinnyRows = 2;
constexpr int64_t kBiasAlignment = 256;

bool cublas_takes(int32_t x_dtype, int32_t w_dtype) { return x_dtype == w_dtype; }
bool cublas_takes(const GemmProblem& p) {
  return cublas_takes(p.x_dtype, p.w_dtype) && (p.y_dtype == p.x_dtype || p.y_dtype == VN_DTYPE_F32) &&
         p.x_stride >= p.k;  // rows that overlap are legal, but no matrix to cuBLASLt
}

bool prefers_skinny(const GemmProblem& p) {
  return p.m == 1 ? p.n * p.k <= kSkinnyElements : p.m <= kFewSkinnyRows && p.n * p.k <= kFewSkinnyElements;
}

// How a batch-invariant device may use cuBLASLt: a row alone must not be better aligned than the same row among others.
bool aligned(const GemmProblem& p) {
  const GemmKey key = gemm_key(p, p.m);
  return key.x_alignment == 16 && key.w_alignment == 16 && key.y_alignment == 16 && p.n * dtype_size(p.y_dtype) % 16 == 0;
}

int64_t cublas_workspace(const DeviceState& state) { return state.deterministic ? 0 : kCublasWorkspace; }

// cuBLASLt adds a bias of y's dtype. Another one is converted first, behind cuBLASLt's part of the workspace: exact where
// y is F32, else the bias is rounded once more than the CPU rounds it.
GemmProblem with_fitting_bias(GemmProblem p, const DeviceState& state, void* workspace, cudaStream_t stream) {
  const bool fits = p.bias_dtype == p.y_dtype && reinterpret_cast<uintptr_t>(p.bias) % 16 == 0;
  if (!p.bias || fits) return p;
  void* converted = static_cast<char*>(workspace) + cublas_workspace(state);
  launch_convert({p.bias, converted, p.bias_dtype, p.y_dtype, p.n}, stream);
  p.bias = converted;
  p.bias_dtype = p.y_dtype;
  return p;
}

bool launch_cublas(const GemmProblem& p, DeviceState& state, void* workspace, cudaStream_t stream) {
  return state.gemm_plans->launch(with_fitting_bias(p, state, workspace, stream), workspace, stream);
}

[[noreturn]] void cannot(const char* kernel, const GemmProblem& p) {
  fail(VN_UNSUPPORTED, "gemm: the %s kernel was asked for, it does not take [%lld, %lld] %s by %s into %s", kernel,
       static_cast<long long>(p.m), static_cast<long long>(p.k), dtype_name(p.x_dtype), dtype_name(p.w_dtype),
       dtype_name(p.y_dtype));
}

void force(int32_t which, const GemmProblem& p, DeviceState& state, void* workspace, cudaStream_t stream) {
  switch (static_cast<GemmKernel>(which)) {
    case GemmKernel::kCublasLt:
      if (!cublas_takes(p) || !launch_cublas(p, state, workspace, stream)) cannot("cuBLASLt", p);
      return;
    case GemmKernel::kSkinny:
      if (!can_skinny(p)) cannot("skinny", p);
      return launch_gemm_skinny(p, state.sms, state.overlaps_kernels, stream);
    case GemmKernel::kSm90:
      if (!can_gemm_sm90(p, state.capability)) cannot("Hopper", p);
      return launch_gemm_sm90(p, state.overlaps_kernels, stream);
    case GemmKernel::kSm90Deep:
      if (!can_gemm_sm90_deep(p, state.capability)) cannot("Hopper, deep ring,", p);
      return launch_gemm_sm90_deep(p, state.overlaps_kernels, stream);
    case GemmKernel::kPlain: return launch_gemm_plain(p, stream);
    default: fail(VN_INVALID_ARGUMENT, "gemm: reserved is %d, expected 0", which);
  }
}

const Weight& weight_of(const vn_gemm_params& params) { return *static_cast<const Weight*>(params.weight->impl); }

GemmProblem problem_of(const vn_gemm_params& params, const DeviceState& state) {
  const Weight& weight = weight_of(params);
  GemmProblem problem{};
  problem.x = params.x.data;
  problem.w = weight.data;
  problem.bias = params.bias.data;
  problem.y = params.y.data;
  problem.m = params.x.shape[0];
  problem.n = weight.rows;
  problem.k = weight.columns;
  problem.x_stride = params.x.stride[0];
  problem.y_stride = params.y.stride[0];
  problem.x_dtype = params.x.dtype;
  problem.w_dtype = weight.dtype;
  problem.bias_dtype = params.bias.dtype;
  problem.y_dtype = params.y.dtype;
  if (problem.m == 1 && !state.deterministic) {  // a single row may have any stride
    problem.x_stride = problem.k;
    problem.y_stride = problem.n;
  }
  return problem;
}

GemmProblem chunk_of(GemmProblem p, int64_t first, int64_t rows) {
  p.x = static_cast<const char*>(p.x) + first * p.x_stride * dtype_size(p.x_dtype);
  p.y = static_cast<char*>(p.y) + first * p.y_stride * dtype_size(p.y_dtype);
  p.m = std::min(rows, p.m - first);
  return p;
}

// The same bits for a row of x whatever rows it comes with: what each way can do does not depend on the rows either.
void gemm_invariant(const GemmProblem& problem, DeviceState& state, void* workspace, cudaStream_t stream) {
  if (can_gemm_sm90(problem, state.capability)) return launch_gemm_sm90(problem, state.overlaps_kernels, stream);
  if (cublas_takes(problem) && aligned(problem) && launch_cublas(problem, state, workspace, stream)) return;
  if (!can_skinny(chunk_of(problem, 0, kSkinnyRows))) return launch_gemm_plain(problem, stream);
  for (int64_t first = 0; first < problem.m; first += kSkinnyRows) {
    launch_gemm_skinny(chunk_of(problem, first, kSkinnyRows), state.sms, state.overlaps_kernels, stream);
  }
}

int64_t padded_bias_bytes(const Weight& weight) {
  return (weight.rows * 4 + kBiasAlignment - 1) / kBiasAlignment * kBiasAlignment;
}

}  // namespace

// Independent of max_rows: captured graphs of all row counts share one workspace.
int64_t gemm_workspace_size(const Weight& weight, int32_t x_dtype, int64_t) {
  if (!cublas_takes(x_dtype, weight.dtype)) return 0;
  return cublas_workspace(*weight.device.state) + padded_bias_bytes(weight);
}

// The scratch memory of the trials lies behind vn_gemm's workspace.
int64_t gemm_tune_workspace_size(const Weight& weight, int32_t x_dtype, int32_t y_dtype, int64_t rows) {
  const DeviceState& state = *weight.device.state;
  const int64_t workspace = gemm_workspace_size(weight, x_dtype, rows);
  if (workspace == 0 || state.deterministic) return workspace;
  int64_t y_bytes = 0;
  if (__builtin_mul_overflow(weight.rows * dtype_size(y_dtype), rows, &y_bytes) || y_bytes > INT64_MAX / 2) return INT64_MAX;
  return workspace + GemmTrial::scratch_bytes(state.l2_bytes, y_bytes);
}

void gemm(const Stream& stream, const vn_gemm_params& params) {
  DeviceState& state = *stream.device.state;
  const GemmProblem problem = problem_of(params, state);
  if (problem.m == 0) return;
  if (params.reserved != 0) return force(params.reserved, problem, state, params.workspace, stream.handle);
  if (state.deterministic) return gemm_invariant(problem, state, params.workspace, stream.handle);
  const GemmKernel measured = state.gemm_plans->measured(problem);
  if (measured == GemmKernel::kSm90Deep) return launch_gemm_sm90_deep(problem, state.overlaps_kernels, stream.handle);
  if (measured == GemmKernel::kSm90) return launch_gemm_sm90(problem, state.overlaps_kernels, stream.handle);
  if (can_skinny(problem) && (measured == GemmKernel::kSkinny || (measured == GemmKernel::kAny && prefers_skinny(problem)))) {
    return launch_gemm_skinny(problem, state.sms, state.overlaps_kernels, stream.handle);
  }
  if (cublas_takes(problem) && launch_cublas(problem, state, params.workspace, stream.handle)) return;
  launch_gemm_plain(problem, stream.handle);
}

void gemm_tune(const Stream& stream, const vn_gemm_params& params) {
  DeviceState& state = *stream.device.state;
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream.handle, &capture), "gemm_tune: cudaStreamIsCapturing");
  if (capture != cudaStreamCaptureStatusNone) {
    fail(VN_UNSUPPORTED, "gemm_tune: the stream is recorded into a graph, expected one that runs: timing needs results");
  }
  const GemmProblem problem = problem_of(params, state);
  if (problem.m == 0 || state.deterministic || !cublas_takes(problem) || problem.y_stride < problem.n) return;
  const GemmProblem fitting = with_fitting_bias(problem, state, params.workspace, stream.handle);
  const auto scratch = static_cast<char*>(params.workspace) + gemm_workspace_size(weight_of(params), problem.x_dtype, problem.m);
  GemmTrial trial(fitting, scratch, state.l2_bytes, state.overlaps_kernels, stream.handle);
  state.gemm_plans->tune(fitting, trial, params.workspace, state, stream.handle);
}

}  // namespace vn::cuda
