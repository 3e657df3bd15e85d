#include "cuda/device_memory.h"

namespace vn::cuda {

DeviceMemory allocate(int64_t bytes, const char* what) {
  void* data = nullptr;
  const cudaError_t result = cudaMalloc(&data, static_cast<size_t>(bytes));
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    check(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
    fail(VN_OUT_OF_DEVICE_MEMORY, "%s: asked for %lld bytes, %zu of the device's %zu are free", what,
         static_cast<long long>(bytes), free_bytes, total_bytes);
  }
  check(result, what);
  return DeviceMemory(data);
}

DeviceMemory allocate_zeroed(int64_t bytes, const char* what) {
  DeviceMemory memory = allocate(bytes, what);
  check(cudaMemset(memory.get(), 0, static_cast<size_t>(bytes)), what);
  check_wait(cudaStreamSynchronize(nullptr), what);  // other streams do not wait for the default one
  return memory;
}

}  // namespace vn::cuda
