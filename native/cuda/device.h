// Devices of the CUDA backend, and what there is to say when there is none.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "vllm_native.h"

namespace vn::cuda {

class GemmPlans;      // gemm_plans.h
class WeightStaging;  // weight_staging.h

// What all copies of a Device share; lives as long as the device, which its children keep alive.
struct DeviceState {
  DeviceState(int device, int multiprocessors, int compute_capability);
  ~DeviceState();
  DeviceState(const DeviceState&) = delete;
  DeviceState& operator=(const DeviceState&) = delete;

  const int ordinal;
  const int sms;
  const int capability;                       // major * 10 + minor
  std::atomic<const char*> last_op{nullptr};  // launched last: the likely culprit of a fault found while waiting
  const std::unique_ptr<GemmPlans> gemm_plans;
  const std::unique_ptr<WeightStaging> weight_staging;
};

// A logical worker on a GPU, in the primary context. Two on one GPU are legal.
struct Device {
  int ordinal;
  DeviceState* state;  // owned by the device that device_create returned

  // Makes the GPU current on the calling thread; every call that reaches the runtime begins with it.
  void activate() const;
};

// Throws VN_NO_DEVICE, in words, where the driver or a GPU is missing.
int device_count();
Device* device_create(int32_t ordinal, const vn_device_options& options);
void device_destroy(Device* device) noexcept;
void device_info(const Device& device, vn_device_info& out);

}  // namespace vn::cuda
