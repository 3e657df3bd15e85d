// The ways to compute y = x W^T + bias, and what each can do. gemm.cpp chooses.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace vn::cuda {

// vn_gemm_params.reserved of tests and benchmarks: one kernel, or an error where it cannot.
enum class GemmKernel : int32_t { kAny = 0, kCublasLt = 1, kSkinny = 2, kPlain = 3, kSm90 = 4, kSm90Deep = 5 };

// x: [m, k], w: [n, k] without gaps, bias: [n] or null, y: [m, n]; row-major, strides in elements of the dtype.
struct GemmProblem {
  const void* x;
  const void* w;
  const void* bias;
  void* y;
  int64_t m;
  int64_t n;
  int64_t k;
  int64_t x_stride;
  int64_t y_stride;
  int32_t x_dtype;
  int32_t w_dtype;
  int32_t bias_dtype;
  int32_t y_dtype;
};

// gemm_skinny.cu: few rows, bf16 or f16 operands of one dtype, 16-byte aligned rows.
constexpr int64_t kSkinnyRows = 16;
bool can_skinny(const GemmProblem& problem);
// overlap: it may begin before the kernel ahead has ended (launch.cuh).
void launch_gemm_skinny(const GemmProblem& problem, int sms, bool overlap, cudaStream_t stream);

// gemm_sm90.cu: a Hopper chip, bf16 or f16 operands of one dtype, rows that the copy engine takes, any number of them. A row's
// result does not depend on the other rows.
bool can_gemm_sm90(const GemmProblem& problem, int capability);
void launch_gemm_sm90(const GemmProblem& problem, bool overlap, cudaStream_t stream);

// gemm_sm90_deep.cu: the same with few rows, faster for most of such products; other bits.
constexpr int64_t kSm90DeepRows = 128;
bool can_gemm_sm90_deep(const GemmProblem& problem, int capability);
void launch_gemm_sm90_deep(const GemmProblem& problem, bool overlap, cudaStream_t stream);

// gemm_plain.cu: any dtypes, any alignment. A row's result does not depend on the other rows.
void launch_gemm_plain(const GemmProblem& problem, cudaStream_t stream);

}  // namespace vn::cuda
