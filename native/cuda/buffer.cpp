#include "cuda/buffer.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/dtype.h"
#include "cuda/check.h"
#include "cuda/context.h"
#include "cuda/convert.h"
#include "cuda/device_memory.h"

namespace vn::cuda {
namespace {

cudaMemcpyKind kind_of(int32_t direction) {
  switch (direction) {
    case VN_COPY_HOST_TO_DEVICE: return cudaMemcpyHostToDevice;
    case VN_COPY_DEVICE_TO_HOST: return cudaMemcpyDeviceToHost;
    case VN_COPY_DEVICE_TO_DEVICE: return cudaMemcpyDeviceToDevice;
    default: fail(VN_INVALID_ARGUMENT, "copy: direction is %d, expected 1 to 3", direction);
  }
}

void* allocate_pinned(int64_t bytes) {
  void* data = nullptr;
  const cudaError_t result = cudaMallocHost(&data, static_cast<size_t>(bytes));
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail(VN_OUT_OF_HOST_MEMORY, "buffer_create: the system refused %lld pinned bytes", static_cast<long long>(bytes));
  }
  check(result, "buffer_create: cudaMallocHost");
  std::memset(data, 0, static_cast<size_t>(bytes));
  return data;
}

}  // namespace

Buffer* buffer_create(const Device& device, int32_t memory, int64_t bytes) {
  auto buffer = std::make_unique<Buffer>(device, nullptr, memory == VN_MEMORY_HOST);
  const int64_t size = std::max<int64_t>(bytes, 1);
  buffer->data = buffer->host ? allocate_pinned(size) : allocate_zeroed(size, "buffer_create").release();
  return buffer.release();
}

void buffer_destroy(Buffer* buffer) noexcept {
  if (const CurrentContext current(buffer->device); current) {
    buffer->host ? forgive(cudaFreeHost(buffer->data), "buffer_destroy: cudaFreeHost")
                 : forgive(cudaFree(buffer->data), "buffer_destroy: cudaFree");
  }
  delete buffer;
}

void buffer_load(void* destination, int32_t dtype, const void* source, int32_t source_dtype, int64_t count) {
  const int64_t bytes = count * dtype_size(source_dtype);
  if (dtype == source_dtype) {
    check(cudaMemcpy(destination, source, static_cast<size_t>(bytes), cudaMemcpyHostToDevice), "buffer_load: cudaMemcpy");
    return;
  }
  const DeviceMemory staging = allocate(bytes, "buffer_load");
  check(cudaMemcpy(staging.get(), source, static_cast<size_t>(bytes), cudaMemcpyHostToDevice), "buffer_load: cudaMemcpy");
  launch_convert({staging.get(), destination, source_dtype, dtype, count}, nullptr);
  check_wait(cudaStreamSynchronize(nullptr), "buffer_load");
}

void copy(const Stream& stream, void* destination, const void* source, int64_t bytes, int32_t direction) {
  check(cudaMemcpyAsync(destination, source, static_cast<size_t>(bytes), kind_of(direction), stream.handle),
        "copy: cudaMemcpyAsync");
}

void fill_zero(const Stream& stream, void* destination, int64_t bytes) {
  check(cudaMemsetAsync(destination, 0, static_cast<size_t>(bytes), stream.handle), "fill_zero: cudaMemsetAsync");
}

}  // namespace vn::cuda
