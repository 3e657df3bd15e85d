#include "cuda/buffer.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/dtype.h"
#include "cuda/check.h"
#include "cuda/convert.h"

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

struct FreeDevice {
  void operator()(void* data) const { cudaFree(data); }
};

}  // namespace

Buffer* buffer_create(const Device& device, int32_t memory, int64_t bytes) {
  auto buffer = std::make_unique<Buffer>(device, nullptr, memory == VN_MEMORY_HOST);
  const size_t size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  device.activate();
  if (buffer->host) {
    if (const cudaError_t result = cudaMallocHost(&buffer->data, size); result != cudaSuccess) {
      cudaGetLastError();
      fail(VN_OUT_OF_HOST_MEMORY, "buffer_create: %lld pinned bytes: %s", static_cast<long long>(bytes),
           cudaGetErrorString(result));
    }
    std::memset(buffer->data, 0, size);
    return buffer.release();
  }
  if (const cudaError_t result = cudaMalloc(&buffer->data, size); result != cudaSuccess) {
    cudaGetLastError();
    fail(VN_OUT_OF_DEVICE_MEMORY, "buffer_create: %lld bytes on device %d: %s", static_cast<long long>(bytes),
         device.ordinal, cudaGetErrorString(result));
  }
  std::unique_ptr<void, FreeDevice> owner(buffer->data);
  check(cudaMemset(buffer->data, 0, size), "buffer_create: cudaMemset");
  check_wait(cudaStreamSynchronize(nullptr), "buffer_create");  // other streams do not wait for the default one
  owner.release();
  return buffer.release();
}

void buffer_destroy(Buffer* buffer) noexcept {
  if (cudaSetDevice(buffer->device.ordinal) == cudaSuccess) {
    buffer->host ? cudaFreeHost(buffer->data) : cudaFree(buffer->data);
  }
  delete buffer;
}

void buffer_load(const Device& device, void* destination, int32_t dtype, const void* source, int32_t source_dtype,
                 int64_t count) {
  device.activate();
  const size_t bytes = static_cast<size_t>(count * dtype_size(source_dtype));
  if (dtype == source_dtype) {
    check(cudaMemcpy(destination, source, bytes, cudaMemcpyHostToDevice), "buffer_load: cudaMemcpy");
    return;
  }
  void* staging = nullptr;
  check(cudaMalloc(&staging, bytes), "buffer_load: cudaMalloc");
  const std::unique_ptr<void, FreeDevice> owner(staging);
  check(cudaMemcpy(staging, source, bytes, cudaMemcpyHostToDevice), "buffer_load: cudaMemcpy");
  launch_convert({staging, destination, source_dtype, dtype, count}, nullptr);
  check_wait(cudaStreamSynchronize(nullptr), "buffer_load");
}

void copy(const Stream& stream, void* destination, const void* source, int64_t bytes, int32_t direction) {
  stream.device.activate();
  check(cudaMemcpyAsync(destination, source, static_cast<size_t>(bytes), kind_of(direction), stream.handle),
        "copy: cudaMemcpyAsync");
}

void fill_zero(const Stream& stream, void* destination, int64_t bytes) {
  stream.device.activate();
  check(cudaMemsetAsync(destination, 0, static_cast<size_t>(bytes), stream.handle), "fill_zero: cudaMemsetAsync");
}

}  // namespace vn::cuda
