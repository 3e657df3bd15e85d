// Statuses of the CUDA runtime as statuses of the C ABI.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "core/error.h"
#include "cuda/closing.h"

namespace vn::cuda {

// Whether an error means that the context is broken: it answers every later call with the same error.
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
    case cudaErrorMpsClientTerminated:
    case cudaErrorCudartUnloading:
    case cudaErrorUnknown: return true;
    default: return false;
  }
}

// Whether the context was destroyed, by the application that owns it: its devices are lost, and no others.
inline bool is_context_gone(cudaError_t result) {
  return result == cudaErrorContextIsDestroyed || result == cudaErrorDeviceUninitialized;
}

inline std::string words_of(cudaError_t result) {
  return std::string(cudaGetErrorString(result)) + " (" + cudaGetErrorName(result) + ")";
}

// The device does not come back; nor does CUDA, in this process, unless it was only the context's end.
[[noreturn]] inline void fail_lost(cudaError_t result, const std::string& message) {
  if (!is_context_gone(result)) close_cuda(message.c_str());
  fail(VN_DEVICE_LOST, "%s", message.c_str());
}

// Throws unless result is success. what: the operation and the call, "copy: cudaMemcpyAsync".
inline void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // takes the error off the thread, so that the next call starts clean
  if (is_sticky(result)) fail_lost(result, what + (": an earlier operation failed: " + words_of(result)));
  if (is_context_gone(result)) fail_lost(result, what + (": the device's context is gone: " + words_of(result)));
  const int32_t status = result == cudaErrorMemoryAllocation ? VN_OUT_OF_DEVICE_MEMORY : VN_CUDA;
  fail(status, "%s: %s", what, words_of(result).c_str());
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
  if (is_refusal(result)) fail(VN_CUDA, "%s: %s", what, words_of(result).c_str());
  const std::string culprit = last_op ? std::string("; launched last: ") + last_op : "";
  fail_lost(result, what + (": " + words_of(result)) + culprit);
}

// For what is being freed: nobody is told of a failure, but a fault of the device is remembered and nothing is left on the
// thread that a later call would take for its own.
inline void forgive(cudaError_t result, const char* what) noexcept {
  if (result == cudaSuccess) return;
  cudaGetLastError();
  if (is_sticky(result)) close_cuda((what + (": " + words_of(result))).c_str());
}

// Throws when the device has failed meanwhile: before another library's error is taken at its word.
inline void check_alive(const char* what) {
  const cudaError_t result = cudaStreamQuery(nullptr);
  cudaGetLastError();
  if (is_sticky(result)) check(result, what);
}

}  // namespace vn::cuda
