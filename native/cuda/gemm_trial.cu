// A trial: y is poisoned, the product launched once and compared with the first trial's, then timed by events a few times. Before
// each of these a kernel reads twice the second-level cache, so that the product finds neither its operands there nor lines that
// would have to be written back first. What is timed has a kernel ahead and one behind that leave the memory alone for 2 us and
// overlap where they can (launch.cuh), as the small kernels of a model's step: what a product gains or loses at its ends counts.
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

constexpr int kRounds = 5;
constexpr int kThreads = 256;
constexpr unsigned kBlocks = 1024;
constexpr int64_t kSumsBytes = 256;
constexpr int64_t kNeighbourClocks = 3500;  // about 2 us
constexpr double kAllowed = 0x1p-12;

int64_t rounded_up(int64_t bytes) { return (bytes + 255) / 256 * 256; }

__global__ __launch_bounds__(kThreads) void read_kernel(const uint4* data, int64_t count, uint32_t* unused) {
  uint32_t seen = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const uint4 v = data[i];
    seen |= v.x | v.y | v.z | v.w;
  }
  if (seen == 0x80000001u) *unused = seen;  // else nothing would need the reads
}

__global__ void neighbour_kernel() {
  release_next_kernel();
  await_earlier_kernels();
  for (const int64_t start = clock64(); clock64() - start < kNeighbourClocks;) {
  }
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
      flush_bytes_(rounded_up(2 * l2_bytes)),
      scratch_(static_cast<char*>(scratch)),
      reference_(scratch_ + kSumsBytes + flush_bytes_) {
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

float GemmTrial::microseconds(const std::function<bool()>& launch) {
  constexpr float kNever = std::numeric_limits<float>::infinity();
  const int64_t size = dtype_size(problem_.y_dtype);
  check(cudaMemset2DAsync(problem_.y, static_cast<size_t>(problem_.y_stride * size), 0xff,
                          static_cast<size_t>(problem_.n * size), static_cast<size_t>(problem_.m), stream_),
        "gemm_tune: cudaMemset2DAsync");
  if (!launch() || !agrees()) return kNever;
  float times[kRounds];
  for (float& time : times) {
    read_kernel<<<kBlocks, kThreads, 0, stream_>>>(reinterpret_cast<const uint4*>(scratch_ + kSumsBytes), flush_bytes_ / 16,
                                                   reinterpret_cast<uint32_t*>(scratch_));
    check(cudaGetLastError(), "gemm_tune: launch of the flush");
    check(cudaEventRecord(start_, stream_), "gemm_tune: cudaEventRecord");
    const auto neighbour = [this] { launch_overlapped("gemm_tune: launch of a neighbour", stream_, overlap_, neighbour_kernel, 1, 32, 0); };
    neighbour();
    if (!launch()) return kNever;
    neighbour();
    check(cudaEventRecord(end_, stream_), "gemm_tune: cudaEventRecord");
    check_wait(cudaEventSynchronize(end_), "gemm_tune", "gemm_tune");
    check(cudaEventElapsedTime(&time, start_, end_), "gemm_tune: cudaEventElapsedTime");
  }
  return 1000.0f * *std::min_element(times, times + kRounds);
}

}  // namespace vn::cuda
