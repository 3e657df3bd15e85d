// Devices of the CUDA backend, and what there is to say when there is none.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "vllm_native.h"

struct CUctx_st;  // a CUcontext points to one

namespace vn::cuda {

class GemmPlans;       // gemm_plans.h
class StreamCounters;  // stream_counters.h
class TensorMaps;      // tensor_maps.h
class WeightStaging;   // weight_staging.h

// What all copies of a Device share; lives as long as the device, which its children keep alive.
struct DeviceState {
  DeviceState(int device, CUctx_st* its_context, const vn_device_options& options);
  ~DeviceState();
  DeviceState(const DeviceState&) = delete;
  DeviceState& operator=(const DeviceState&) = delete;

  const int ordinal;
  CUctx_st* const context;  // where everything of the device lives
  const int sms;
  const int capability;                       // major * 10 + minor
  const bool overlaps_kernels;                // kernels may begin before the one ahead has ended: launch.cuh
  const int64_t l2_bytes;                     // the second-level cache
  const bool deterministic;                   // a row's result never depends on the batch
  std::atomic<const char*> last_op{nullptr};  // launched last: the likely culprit of a fault found while waiting
  const std::unique_ptr<GemmPlans> gemm_plans;
  const std::unique_ptr<StreamCounters> counters;
  const std::unique_ptr<TensorMaps> tensor_maps;
  const std::unique_ptr<WeightStaging> weight_staging;
};

// A logical worker on a GPU, in its primary context or in one of the application's. Two on one GPU are legal. Its context is
// current wherever a function takes a device, a stream or the like, except in the noexcept ones that destroy (context.h).
struct Device {
  int ordinal;
  DeviceState* state;  // owned by the device that device_create returned
};

// Throws VN_NO_DEVICE, in words, where the driver or a GPU is missing.
int device_count();
Device* device_create(int32_t ordinal, const vn_device_options& options);
void device_destroy(Device* device) noexcept;
void device_info(const Device& device, vn_device_info& out);

}  // namespace vn::cuda
