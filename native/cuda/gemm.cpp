// y = x W^T + bias: which kernel computes it. The choice looks at shapes, dtypes and alignment only, never at values:
//   1. skinny (gemm_skinny.cu): up to kSkinnyAuto rows and a matrix small enough that cuBLASLt leaves bandwidth unused
//      (measured on an H100 at M = 1: 2.1 TB/s on 4096 x 4096, 2.8 TB/s on 28672 x 4096);
//   2. cuBLASLt (gemm_plans.cpp): x and W of one dtype, y of that dtype or F32;
//   3. plain (gemm_plain.cu): everything else, and what cuBLASLt has no algorithm for (odd alignment).
#include "cuda/gemm.h"

#include "core/dtype.h"
#include "core/error.h"
#include "core/handles.h"
#include "cuda/convert.h"
#include "cuda/gemm_plans.h"
#include "cuda/ops.h"
#include "cuda/weight.h"

namespace vn::cuda {
namespace {

// vn_gemm_params.reserved of tests and benchmarks: one kernel, or an error where it cannot.
enum Force : int32_t { kAny = 0, kCublasLt = 1, kSkinny = 2, kPlain = 3 };

constexpr int64_t kSkinnyAuto = 4;
constexpr int64_t kSkinnyElements = int64_t{64} << 20;  // of W
constexpr int64_t kBiasAlignment = 256;

bool cublas_takes(int32_t x_dtype, int32_t w_dtype) { return x_dtype == w_dtype; }
bool cublas_takes(const GemmProblem& p) {
  return cublas_takes(p.x_dtype, p.w_dtype) && (p.y_dtype == p.x_dtype || p.y_dtype == VN_DTYPE_F32) &&
         p.x_stride >= p.k;  // rows that overlap are legal, but no matrix to cuBLASLt
}

bool prefers_skinny(const GemmProblem& p) {
  return p.m <= kSkinnyAuto && p.n * p.k <= kSkinnyElements && can_skinny(p);
}

// cuBLASLt adds a bias of y's dtype. Another one is converted first, behind cuBLASLt's part of the workspace: exact where
// y is F32, else the bias is rounded once more than the CPU rounds it.
bool launch_cublas(GemmProblem p, DeviceState& state, void* workspace, cudaStream_t stream) {
  const bool fits = p.bias_dtype == p.y_dtype && reinterpret_cast<uintptr_t>(p.bias) % 16 == 0;
  if (p.bias && !fits) {
    void* converted = static_cast<char*>(workspace) + kCublasWorkspace;
    launch_convert({p.bias, converted, p.bias_dtype, p.y_dtype, p.n}, stream);
    p.bias = converted;
    p.bias_dtype = p.y_dtype;
  }
  return state.gemm_plans->launch(p, workspace, stream);
}

[[noreturn]] void cannot(const char* kernel, const GemmProblem& p) {
  fail(VN_UNSUPPORTED, "gemm: the %s kernel was asked for, it does not take [%lld, %lld] %s by %s into %s", kernel,
       static_cast<long long>(p.m), static_cast<long long>(p.k), dtype_name(p.x_dtype), dtype_name(p.w_dtype),
       dtype_name(p.y_dtype));
}

void force(int32_t which, const GemmProblem& p, DeviceState& state, void* workspace, cudaStream_t stream) {
  switch (which) {
    case kCublasLt:
      if (!cublas_takes(p) || !launch_cublas(p, state, workspace, stream)) cannot("cuBLASLt", p);
      return;
    case kSkinny:
      if (!can_skinny(p)) cannot("skinny", p);
      return launch_gemm_skinny(p, state.sms, stream);
    case kPlain: return launch_gemm_plain(p, stream);
    default: fail(VN_INVALID_ARGUMENT, "gemm: reserved is %d, expected 0", which);
  }
}

}  // namespace

// Independent of max_rows: captured graphs of all row counts share one workspace.
int64_t gemm_workspace_size(const Weight& weight, int32_t x_dtype, int64_t) {
  if (!cublas_takes(x_dtype, weight.dtype)) return 0;
  return kCublasWorkspace + (weight.rows * 4 + kBiasAlignment - 1) / kBiasAlignment * kBiasAlignment;
}

void gemm(const Stream& stream, const vn_gemm_params& params) {
  const Weight& weight = *static_cast<const Weight*>(params.weight->impl);
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
  if (problem.m == 0) return;
  if (problem.m == 1) {  // a single row may have any stride
    problem.x_stride = problem.k;
    problem.y_stride = problem.n;
  }
  DeviceState& state = *stream.device.state;
  if (params.reserved != kAny) return force(params.reserved, problem, state, params.workspace, stream.handle);
  if (prefers_skinny(problem)) return launch_gemm_skinny(problem, state.sms, stream.handle);
  if (cublas_takes(problem) && launch_cublas(problem, state, params.workspace, stream.handle)) return;
  launch_gemm_plain(problem, stream.handle);
}

}  // namespace vn::cuda
