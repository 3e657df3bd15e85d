// CUDA contexts: which one a device works in, and making it current for the length of a call. The calling thread may belong to
// an application with contexts of its own, so whatever was current before is current again afterwards.
#pragma once

#include <cuda.h>

namespace vn::cuda {

struct Device;

// The application's context, checked to belong to the GPU, or with null the GPU's primary context. It must outlive the device.
// The primary context is the runtime's, and stays.
CUcontext open_context(int ordinal, void* foreign);

// Makes a device's context current on this thread for a scope. It is not when CUDA is closed (closing.h) or the context gone.
class CurrentContext {
 public:
  explicit CurrentContext(CUcontext context) noexcept;
  explicit CurrentContext(const Device& device) noexcept;
  ~CurrentContext();
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;

  explicit operator bool() const { return result_ == CUDA_SUCCESS; }
  // Throws what keeps it from being current.
  void require(const char* op) const;

 private:
  CUresult result_;
};

}  // namespace vn::cuda
