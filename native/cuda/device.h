// Devices of the CUDA backend, and what there is to say when there is none.
#pragma once

#include <cstdint>

#include "vllm_native.h"

namespace vn::cuda {

// A logical worker on a GPU, in the primary context. Two on one GPU are legal.
struct Device {
  int ordinal;

  // Makes the GPU current on the calling thread; every call that reaches the runtime begins with it.
  void activate() const;
};

// Throws VN_NO_DEVICE, in words, where the driver or a GPU is missing.
int device_count();
Device* device_create(int32_t ordinal, const vn_device_options& options);
void device_info(const Device& device, vn_device_info& out);

}  // namespace vn::cuda
