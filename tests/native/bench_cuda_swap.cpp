// Swapping KV blocks between the GPU and pinned host memory, beside what the bus does at best: one copy of 256 MiB, measured
// in the same run. 2 MiB is a block of 16 tokens of an 8-billion-parameter Llama (32 layers, 8 KV heads, bf16).
#include <numeric>
#include <random>

#include "bench_cuda_support.h"

namespace {

using bench::Cuda;
using bench::require;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kPoolBytes = 512 * kMiB;

struct Pools {
  explicit Pools(Cuda& cuda) : device(cuda.allocate(kPoolBytes)) {
    void* data = nullptr;
    require(vn_buffer_create(cuda.device, VN_MEMORY_HOST, kPoolBytes, &buffer));
    require(vn_buffer_data(buffer, &data));
    host = static_cast<char*>(data);
  }
  ~Pools() { vn_buffer_destroy(buffer); }
  Pools(const Pools&) = delete;
  Pools& operator=(const Pools&) = delete;

  vn_buffer* buffer = nullptr;
  char* device;
  char* host = nullptr;
};

struct Direction {
  int32_t value;
  const char* name;
};
constexpr Direction kDirections[] = {{VN_COPY_HOST_TO_DEVICE, "host to device"}, {VN_COPY_DEVICE_TO_HOST, "device to host"}};

// Runs of `run` adjacent blocks, `count` blocks in all, the runs scattered over both pools.
std::vector<int32_t> scattered(int64_t count, int64_t run, int64_t num_blocks) {
  std::mt19937 engine(1);
  std::vector<int32_t> sources(static_cast<size_t>(num_blocks / run)), destinations(sources.size());
  std::iota(sources.begin(), sources.end(), 0);
  std::iota(destinations.begin(), destinations.end(), 0);
  std::shuffle(sources.begin(), sources.end(), engine);
  std::shuffle(destinations.begin(), destinations.end(), engine);
  std::vector<int32_t> pairs;
  for (int64_t i = 0; i < count; ++i) {
    for (const auto* ids : {&sources, &destinations}) {
      pairs.push_back((*ids)[static_cast<size_t>(i / run)] * static_cast<int32_t>(run) + static_cast<int32_t>(i % run));
    }
  }
  return pairs;
}

void limits(Cuda& cuda, const Pools& pools) {
  constexpr int64_t kBytes = 256 * kMiB;
  for (const Direction& direction : kDirections) {
    const bool out = direction.value == VN_COPY_DEVICE_TO_HOST;
    const double us = cuda.time([&](int64_t) {
      require(vn_copy(cuda.stream, out ? pools.host : pools.device, out ? pools.device : pools.host, kBytes, direction.value));
    }, 2, 7);
    Cuda::report(std::string("limit: one copy of 256 MiB, ") + direction.name, us, static_cast<double>(kBytes));
  }
}

void swaps(Cuda& cuda, const Pools& pools, int64_t block_bytes, int64_t count, int64_t run) {
  for (const Direction& direction : kDirections) {
    auto p = bench::params_of<vn_block_swap_params>();
    p.direction = direction.value;
    p.device_pool = pools.device;
    p.host_pool = pools.host;
    p.num_device_blocks = p.num_host_blocks = kPoolBytes / block_bytes;
    p.block_bytes = block_bytes;
    const std::vector<int32_t> pairs = scattered(count, run, p.num_device_blocks);
    p.pairs = pairs.data();
    p.num_pairs = count;
    const double us = cuda.time([&](int64_t) { require(vn_block_swap(cuda.stream, &p)); }, 4, 9);
    Cuda::report("block_swap " + std::to_string(count) + " x " + std::to_string(block_bytes / 1024) + " KiB, runs of " +
                     std::to_string(run) + ", " + direction.name,
                 us, static_cast<double>(count * block_bytes));
  }
}

}  // namespace

int main() {
  Cuda cuda;
  const Pools pools(cuda);
  limits(cuda, pools);
  for (const int64_t run : {1, 8, 64}) swaps(cuda, pools, 2 * kMiB, 64, run);
  swaps(cuda, pools, 2 * kMiB, 1, 1);
  for (const int64_t kib : {4, 16, 24, 32, 64, 256}) swaps(cuda, pools, kib * 1024, 512, 1);  // by the kernel below 28 KiB
  swaps(cuda, pools, 24 * 1024, 15, 1);                                                       // copies: too few
  swaps(cuda, pools, 24 * 1024, 16, 1);
  return 0;
}
