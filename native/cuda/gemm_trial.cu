// A trial: y is poisoned, the product launched once and compared with the first trial's, then timed by events a few times. What is
// timed is a chain as in a model's step: a kernel that leaves the memory alone for 2 us, the product, again and again. These kernels
// overlap where they can (launch.cuh): what a product gains or loses at its ends counts. The chain goes through copies of W that
// together are twice as large as the second-level cache, so that each product reads its W from memory.
// Compared is ||y - first||^2 <= 2^-12 ||first||^2: a 16-bit result rounded from another order of sums is within 2^-18, a wrong
// tile is not, and NaN never is.
#include "cuda/gemm_trial.h"

#include <algorithm>
#include <limits>

#include "core/dtype.h"
#include "cuda/check.h"
#include "cuda/gemm_values.cuh"
#include "cuda/launch.cuh"

namespace vn::cuda {
namespace {

constexpr int kRounds = 4;
constexpr int kThreads = 256;
constexpr unsigned kBlocks = 1024;
constexpr int64_t kSumsBytes = 256;
constexpr int64_t kNeighbourClocks = 3500;  // about 2 us
constexpr int64_t kLaunchClocks = 12000;    // what the host takes at most to launch a product and its neighbour, about 7 us
constexpr float kRoundMicroseconds = 500;   // of all products of a round, about
constexpr int kMaxProducts = 8;
constexpr int64_t kMaxCopies = 64;  // of W; small ones stay in the cache in a model's step too
constexpr double kAllowed = 0x1p-12;

int64_t rounded_up(int64_t bytes) { return (bytes + 255) / 256 * 256; }

__device__ __forceinline__ void pass(int64_t clocks) {
  for (const int64_t start = clock64(); clock64() - start < clocks;) {
  }
}

// The kernels behind it are launched while it runs.
__global__ void head_start_kernel(int64_t clocks) { pass(clocks); }

__global__ void neighbour_kernel() {
  release_next_kernel();
  await_earlier_kernels();
  pass(kNeighbourClocks);
}

// sums[0] += (y - reference)^2, sums[1] += reference^2.
__global__ __launch_bounds__(kThreads) void difference_kernel(const GemmProblem p, const void* reference, double* sums) {
  double apart = 0, whole = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < p.m * p.n;
       i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const double expected = read_value(reference, p.y_dtype, i);
    const double difference = read_value(p.y, p.y_dtype, i / p.n * p.y_stride + i % p.n) - expected;
    apart += difference * difference;
    whole += expected * expected;
  }
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    apart += __shfl_xor_sync(~0u, apart, offset);
    whole += __shfl_xor_sync(~0u, whole, offset);
  }
  if (threadIdx.x % 32 != 0) return;
  atomicAdd(sums, apart);
  atomicAdd(sums + 1, whole);
}

}  // namespace

int64_t GemmTrial::scratch_bytes(int64_t l2_bytes, int64_t y_bytes) {
  return kSumsBytes + rounded_up(2 * l2_bytes) + rounded_up(y_bytes);
}

GemmTrial::GemmTrial(const GemmProblem& problem, void* scratch, int64_t l2_bytes, bool overlap, cudaStream_t stream)
    : problem_(problem),
      stream_(stream),
      overlap_(overlap),
      copies_bytes_(rounded_up(2 * l2_bytes)),
      w_bytes_(rounded_up(problem.n * problem.k * dtype_size(problem.w_dtype))),
      copies_(std::min(copies_bytes_ / w_bytes_, kMaxCopies)),
      scratch_(static_cast<char*>(scratch)),
      reference_(scratch_ + kSumsBytes + copies_bytes_) {
  const auto bytes = static_cast<size_t>(problem.n * problem.k * dtype_size(problem.w_dtype));
  for (int64_t copy = 0; copy < copies_; ++copy) {
    check(cudaMemcpyAsync(copy_of_weights(copy), problem.w, bytes, cudaMemcpyDeviceToDevice, stream), "gemm_tune: cudaMemcpyAsync");
  }
  check(cudaEventCreate(&start_), "gemm_tune: cudaEventCreate");
  if (const cudaError_t result = cudaEventCreate(&end_); result != cudaSuccess) {
    cudaEventDestroy(start_);
    check(result, "gemm_tune: cudaEventCreate");
  }
}

GemmTrial::~GemmTrial() {
  cudaEventDestroy(start_);
  cudaEventDestroy(end_);
}

bool GemmTrial::agrees() {
  const int64_t size = dtype_size(problem_.y_dtype);
  const auto row_bytes = static_cast<size_t>(problem_.n * size);
  if (!has_reference_) {
    has_reference_ = true;
    check(cudaMemcpy2DAsync(reference_, row_bytes, problem_.y, static_cast<size_t>(problem_.y_stride * size), row_bytes,
                            static_cast<size_t>(problem_.m), cudaMemcpyDeviceToDevice, stream_),
          "gemm_tune: cudaMemcpy2DAsync");
  }
  auto* sums = reinterpret_cast<double*>(scratch_);
  check(cudaMemsetAsync(sums, 0, 2 * sizeof(double), stream_), "gemm_tune: cudaMemsetAsync");
  difference_kernel<<<kBlocks, kThreads, 0, stream_>>>(problem_, reference_, sums);
  check(cudaGetLastError(), "gemm_tune: launch of the comparison");
  double host[2] = {};
  check(cudaMemcpyAsync(host, sums, sizeof host, cudaMemcpyDeviceToHost, stream_), "gemm_tune: cudaMemcpyAsync");
  check_wait(cudaStreamSynchronize(stream_), "gemm_tune", "gemm_tune");
  return host[0] <= kAllowed * host[1];
}

char* GemmTrial::copy_of_weights(int64_t copy) const { return scratch_ + kSumsBytes + copy * w_bytes_; }

GemmProblem GemmTrial::with_next_weights() {
  GemmProblem problem = problem_;
  if (next_ < copies_) problem.w = copy_of_weights(next_);
  next_ = next_ < copies_ ? next_ + 1 : 0;
  return problem;
}

// Microseconds of all; infinity where a launch was refused.
float GemmTrial::round(int products, const std::function<bool(const GemmProblem&)>& launch) {
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(problem_.m, 132));
  head_start_kernel<<<1, 1, 0, stream_>>>(products * kLaunchClocks);
  check(cudaGetLastError(), "gemm_tune: launch of the head start");
  check(cudaEventRecord(start_, stream_), "gemm_tune: cudaEventRecord");
  for (int i = 0; i < products; ++i) {
    launch_overlapped("gemm_tune: launch of a neighbour", stream_, overlap_, neighbour_kernel, blocks, kThreads, 0);
    if (!launch(with_next_weights())) return std::numeric_limits<float>::infinity();
  }
  launch_overlapped("gemm_tune: launch of a neighbour", stream_, overlap_, neighbour_kernel, blocks, kThreads, 0);
  check(cudaEventRecord(end_, stream_), "gemm_tune: cudaEventRecord");
  check_wait(cudaEventSynchronize(end_), "gemm_tune", "gemm_tune");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start_, end_), "gemm_tune: cudaEventElapsedTime");
  return 1000.0f * milliseconds;
}

float GemmTrial::microseconds(const std::function<bool(const GemmProblem&)>& launch) {
  constexpr float kNever = std::numeric_limits<float>::infinity();
  const int64_t size = dtype_size(problem_.y_dtype);
  check(cudaMemset2DAsync(problem_.y, static_cast<size_t>(problem_.y_stride * size), 0xff,
                          static_cast<size_t>(problem_.n * size), static_cast<size_t>(problem_.m), stream_),
        "gemm_tune: cudaMemset2DAsync");
  if (!launch(problem_) || !agrees()) return kNever;
  const float one = round(1, launch);
  if (one == kNever) return kNever;
  const int products = std::clamp(static_cast<int>(kRoundMicroseconds / one), 1, kMaxProducts);
  float shortest = kNever;
  for (int i = 0; i < kRounds; ++i) shortest = std::min(shortest, round(products, launch));
  return shortest / static_cast<float>(products);
}

}  // namespace vn::cuda
