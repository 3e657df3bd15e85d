// Statuses of the CUDA runtime as statuses of the C ABI.
#pragma once

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace vn::cuda {

// Whether an error means that the context is gone: it answers every later call with the same error.
inline bool is_sticky(cudaError_t result) {
  switch (result) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorCudartUnloading:
    case cudaErrorUnknown: return true;
    default: return false;
  }
}

// Throws unless result is success. what: the operation and the call, "copy: cudaMemcpyAsync".
inline void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // takes the error off the thread, so that the next call starts clean
  if (is_sticky(result)) {
    fail(VN_DEVICE_LOST, "%s: an earlier operation failed: %s (%s)", what, cudaGetErrorString(result),
         cudaGetErrorName(result));
  }
  const int32_t status = result == cudaErrorMemoryAllocation ? VN_OUT_OF_DEVICE_MEMORY : VN_CUDA;
  fail(status, "%s: %s (%s)", what, cudaGetErrorString(result), cudaGetErrorName(result));
}

// Whether waiting was refused, with nothing wrong on the device: the stream is being captured, or the call was bad.
inline bool is_refusal(cudaError_t result) {
  return result == cudaErrorInvalidValue || result == cudaErrorInvalidResourceHandle || result == cudaErrorNotPermitted ||
         (result >= cudaErrorStreamCaptureUnsupported && result <= cudaErrorStreamCaptureWrongThread);
}

// After waiting: whatever went wrong on the device since the last wait shows here, and the device is gone. last_op: the
// operation that was launched last, if known.
inline void check_wait(cudaError_t result, const char* what, const char* last_op = nullptr) {
  if (result == cudaSuccess) return;
  cudaGetLastError();
  if (is_refusal(result)) fail(VN_CUDA, "%s: %s (%s)", what, cudaGetErrorString(result), cudaGetErrorName(result));
  if (!last_op) fail(VN_DEVICE_LOST, "%s: %s (%s)", what, cudaGetErrorString(result), cudaGetErrorName(result));
  fail(VN_DEVICE_LOST, "%s: %s (%s); launched last: %s", what, cudaGetErrorString(result), cudaGetErrorName(result),
       last_op);
}

}  // namespace vn::cuda
