// Statuses of the CUDA runtime as statuses of the C ABI.
#pragma once

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace vn::cuda {

// Throws unless result is success. what: the operation and the call, "copy: cudaMemcpyAsync".
inline void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // takes the error off the thread, so that the next call starts clean
  const int32_t status = result == cudaErrorMemoryAllocation ? VN_OUT_OF_DEVICE_MEMORY : VN_CUDA;
  fail(status, "%s: %s (%s)", what, cudaGetErrorString(result), cudaGetErrorName(result));
}

// After waiting: whatever went wrong on the device since the last wait shows here, and the device is gone.
inline void check_wait(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  fail(VN_DEVICE_LOST, "%s: %s (%s)", what, cudaGetErrorString(result), cudaGetErrorName(result));
}

}  // namespace vn::cuda
