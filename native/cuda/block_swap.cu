// Blocks between the pool and pinned host memory, one of two ways:
//   copies: each run of pairs that is adjacent on both sides is one cudaMemcpyAsync, done by a copy engine while the SMs compute.
//     Bound: the bus, as long as a run takes it longer than the copy takes to be set up, 3 to 4 us on an H100: 33 GB/s of 54 at
//     256 KiB a run.
//   kernel: many small runs. Few blocks of threads read pinned memory over the bus, or write to it, 16 bytes a thread. The pairs
//     travel as kernel arguments, kBatchPairs a launch, so nothing is allocated and nothing has to outlive the call.
//     Grid: kGrid blocks in a stride loop over all 16-byte units; no shared memory. kGrid x kThreads x kPerThread x 16 bytes =
//     512 KiB in flight saturate a bus with 2 us of latency, and leave most SMs to the compute stream.
#include <algorithm>

#include "cuda/check.h"
#include "cuda/ops.h"

namespace vn::cuda {
namespace {

constexpr int64_t kManyRuns = 4;
constexpr int64_t kSmallRun = 512 * 1024;  // bytes, on average
constexpr int kGrid = 32;
constexpr int kThreads = 256;
constexpr int kPerThread = 4;  // units, all loaded before the first store
constexpr int64_t kBatchPairs = 500;

struct SwapBatch {
  const uint4* from;
  uint4* to;
  uint32_t block_units;
  uint32_t num_pairs;
  int2 pairs[kBatchPairs];
};
static_assert(sizeof(SwapBatch) <= 4096, "kernel arguments");
// A block is no larger than a run, so units of a batch are counted in 32 bits.
static_assert(kBatchPairs * (kSmallRun / 16) + int64_t{kGrid} * kThreads * kPerThread <= INT32_MAX);

__global__ void __launch_bounds__(kThreads) block_swap_kernel(const __grid_constant__ SwapBatch batch) {
  const uint32_t units = batch.num_pairs * batch.block_units;
  constexpr uint32_t kStride = kGrid * kThreads;
  for (uint32_t first = blockIdx.x * kThreads + threadIdx.x; first < units; first += kStride * kPerThread) {
    uint4 values[kPerThread];
    uint4* destinations[kPerThread];
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      const uint32_t unit = first + i * kStride;
      if (unit < units) {
        const uint32_t pair = unit / batch.block_units;
        const uint32_t offset = unit - pair * batch.block_units;
        const int2 blocks = batch.pairs[pair];
        values[i] = __ldcs(batch.from + static_cast<int64_t>(blocks.x) * batch.block_units + offset);
        destinations[i] = batch.to + static_cast<int64_t>(blocks.y) * batch.block_units + offset;
      }
    }
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      if (first + i * kStride < units) __stcs(destinations[i], values[i]);
    }
  }
}

struct Swap {
  const char* from;
  char* to;
  const int32_t* pairs;  // [num_pairs, 2]
  int64_t num_pairs;
  int64_t block_bytes;

  int32_t source(int64_t pair) const { return pairs[2 * pair]; }
  int32_t destination(int64_t pair) const { return pairs[2 * pair + 1]; }
  // One past the run that begins at a pair.
  int64_t run_end(int64_t begin) const {
    int64_t end = begin + 1;
    while (end < num_pairs && source(end) == source(end - 1) + 1 && destination(end) == destination(end - 1) + 1) ++end;
    return end;
  }
  bool prefers_kernel() const {
    int64_t runs = 0;
    for (int64_t begin = 0; begin < num_pairs; begin = run_end(begin)) ++runs;
    const uintptr_t misaligned =
        (reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to) | static_cast<uintptr_t>(block_bytes)) %
        sizeof(uint4);
    return misaligned == 0 && runs >= kManyRuns && num_pairs * block_bytes < runs * kSmallRun;
  }
};

void launch_kernel(const Swap& swap, cudaStream_t stream) {
  SwapBatch batch;
  batch.from = reinterpret_cast<const uint4*>(swap.from);
  batch.to = reinterpret_cast<uint4*>(swap.to);
  batch.block_units = static_cast<uint32_t>(swap.block_bytes / static_cast<int64_t>(sizeof(uint4)));
  for (int64_t first = 0; first < swap.num_pairs; first += kBatchPairs) {
    const int64_t count = std::min(kBatchPairs, swap.num_pairs - first);
    batch.num_pairs = static_cast<uint32_t>(count);
    for (int64_t i = 0; i < count; ++i) batch.pairs[i] = {swap.source(first + i), swap.destination(first + i)};
    block_swap_kernel<<<kGrid, kThreads, 0, stream>>>(batch);
    check(cudaGetLastError(), "block_swap: launch");
  }
}

void copy_runs(const Swap& swap, cudaMemcpyKind kind, cudaStream_t stream) {
  for (int64_t begin = 0, end; begin < swap.num_pairs; begin = end) {
    end = swap.run_end(begin);
    check(cudaMemcpyAsync(swap.to + swap.destination(begin) * swap.block_bytes,
                          swap.from + swap.source(begin) * swap.block_bytes,
                          static_cast<size_t>((end - begin) * swap.block_bytes), kind, stream),
          "block_swap: cudaMemcpyAsync");
  }
}

// A kernel that reads other host memory would end the process's use of CUDA, and a copy from it would block.
void require_pinned(const vn_block_swap_params& p) {
  const char* pool = static_cast<const char*>(p.host_pool);
  for (const char* byte : {pool, pool + p.num_host_blocks * p.block_bytes - 1}) {
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, byte), "block_swap: cudaPointerGetAttributes");
    if (attributes.type != cudaMemoryTypeHost) {
      fail(VN_INVALID_ARGUMENT,
           "block_swap: byte %lld of host_pool is not pinned memory, expected a VN_MEMORY_HOST buffer of %lld",
           static_cast<long long>(byte - pool), static_cast<long long>(p.num_host_blocks * p.block_bytes));
    }
  }
}

}  // namespace

void block_swap(const Stream& stream, const vn_block_swap_params& p) {
  require_pinned(p);
  const bool out = p.direction == VN_COPY_DEVICE_TO_HOST;
  const Swap swap{static_cast<const char*>(out ? p.device_pool : p.host_pool),
                  static_cast<char*>(out ? p.host_pool : p.device_pool), p.pairs, p.num_pairs, p.block_bytes};
  if (swap.prefers_kernel()) return launch_kernel(swap, stream.handle);
  copy_runs(swap, out ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice, stream.handle);
}

}  // namespace vn::cuda
