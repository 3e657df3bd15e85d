// Device memory that is freed where it goes out of scope.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "cuda/check.h"

namespace vn::cuda {

struct FreeDeviceMemory {
  void operator()(void* data) const noexcept { forgive(cudaFree(data), "cudaFree"); }
};
using DeviceMemory = std::unique_ptr<void, FreeDeviceMemory>;

// On the current device. Throws VN_OUT_OF_DEVICE_MEMORY with the bytes asked for and free; the device stays usable. what: the
// operation, and what the memory is for.
DeviceMemory allocate(int64_t bytes, const char* what);
// Zeros, for every stream.
DeviceMemory allocate_zeroed(int64_t bytes, const char* what);

}  // namespace vn::cuda
