// The matrix is cut into chunks of kChunkBytes, rows packed without gaps. Threads copy a chunk from its source (often a
// mapped file, whose pages one thread alone cannot fault in fast enough) into a pinned buffer; from there a copy engine, or
// the conversion kernel reading pinned memory over the bus, takes it to its place while the next chunk is copied.
// Host memory: two chunks. Bound: the slower of reading the source and the bus.
#include "cuda/weight_staging.h"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "core/dtype.h"
#include "cuda/check.h"
#include "cuda/convert.h"

namespace vn::cuda {
namespace {

constexpr int64_t kChunkBytes = int64_t{32} << 20;
constexpr int64_t kThreadBytes = int64_t{2} << 20;  // less is not worth a thread
constexpr int64_t kMaxThreads = 8;

// Copies elements [begin, end) of the matrix, counted over its rows, to out.
void pack(const HostMatrix& source, int64_t begin, int64_t end, char* out) {
  const int64_t size = dtype_size(source.dtype);
  const auto* data = static_cast<const char*>(source.data);
  if (source.stride == source.columns) {
    std::memcpy(out, data + begin * size, static_cast<size_t>((end - begin) * size));
    return;
  }
  for (int64_t at = begin; at < end;) {
    const int64_t row = at / source.columns;
    const int64_t column = at % source.columns;
    const int64_t count = std::min(source.columns - column, end - at);
    std::memcpy(out, data + (row * source.stride + column) * size, static_cast<size_t>(count * size));
    out += count * size;
    at += count;
  }
}

void pack_on_threads(const HostMatrix& source, int64_t begin, int64_t end, char* out) {
  const int64_t size = dtype_size(source.dtype);
  const auto cores = static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  const int64_t wanted = std::clamp<int64_t>((end - begin) * size / kThreadBytes, 1, std::min(cores, kMaxThreads));
  const int64_t share = (end - begin + wanted - 1) / wanted;
  std::vector<std::jthread> threads;
  int64_t at = begin;
  try {
    threads.reserve(static_cast<size_t>(wanted));
    for (; end - at > share; at += share) {
      threads.emplace_back([=, &source] { pack(source, at, at + share, out + (at - begin) * size); });
    }
  } catch (const std::system_error&) {
    // No thread to be had: the rest is copied here.
  }
  pack(source, at, end, out + (at - begin) * size);
}

}  // namespace

WeightStaging::~WeightStaging() {
  for (int slot = 0; slot < kSlots; ++slot) {
    if (free_[slot]) forgive(cudaEventDestroy(free_[slot]), "weight staging: cudaEventDestroy");
    if (pinned_[slot]) forgive(cudaFreeHost(pinned_[slot]), "weight staging: cudaFreeHost");
  }
  if (stream_) forgive(cudaStreamDestroy(stream_), "weight staging: cudaStreamDestroy");
}

void WeightStaging::open() {
  if (!stream_) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "weight_load: cudaStreamCreateWithFlags");
  }
  for (int slot = 0; slot < kSlots; ++slot) {
    if (!pinned_[slot]) {
      void* data = nullptr;
      const cudaError_t result = cudaMallocHost(&data, kChunkBytes);
      if (result == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        fail(VN_OUT_OF_HOST_MEMORY, "weight_load: the system refused %lld pinned bytes", static_cast<long long>(kChunkBytes));
      }
      check(result, "weight_load: cudaMallocHost");
      pinned_[slot] = static_cast<char*>(data);
    }
    if (!free_[slot]) {
      check(cudaEventCreateWithFlags(&free_[slot], cudaEventDisableTiming), "weight_load: cudaEventCreateWithFlags");
    }
  }
}

void WeightStaging::load(const HostMatrix& source, void* destination, int32_t dtype) {
  const std::lock_guard lock(mutex_);
  open();
  const int64_t count = source.rows * source.columns;
  const int64_t chunk = kChunkBytes / dtype_size(source.dtype);
  int slot = 0;
  for (int64_t at = 0; at < count; at += chunk, slot = (slot + 1) % kSlots) {
    const int64_t length = std::min(chunk, count - at);
    char* out = static_cast<char*>(destination) + at * dtype_size(dtype);
    check_wait(cudaEventSynchronize(free_[slot]), "weight_load");  // an event never recorded has happened
    pack_on_threads(source, at, at + length, pinned_[slot]);
    if (source.dtype == dtype) {
      check(cudaMemcpyAsync(out, pinned_[slot], static_cast<size_t>(length * dtype_size(dtype)), cudaMemcpyHostToDevice,
                            stream_),
            "weight_load: cudaMemcpyAsync");
    } else {
      launch_convert({pinned_[slot], out, source.dtype, dtype, length}, stream_);
    }
    check(cudaEventRecord(free_[slot], stream_), "weight_load: cudaEventRecord");
  }
  check_wait(cudaStreamSynchronize(stream_), "weight_load");
}

}  // namespace vn::cuda
