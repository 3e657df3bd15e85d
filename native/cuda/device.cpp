#include "cuda/device.h"

#include <dlfcn.h>

#include <cstdio>

#include "cuda/check.h"
#include "cuda/context.h"
#include "cuda/gemm_plans.h"
#include "cuda/stream_counters.h"
#include "cuda/tensor_maps.h"
#include "cuda/weight_staging.h"

namespace vn::cuda {

namespace {

int attribute_of(int ordinal, cudaDeviceAttr name) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, name, ordinal), "device_create: cudaDeviceGetAttribute");
  return value;
}

}  // namespace

DeviceState::DeviceState(int device, CUctx_st* its_context, const vn_device_options& options)
    : ordinal(device),
      context(its_context),
      sms(attribute_of(device, cudaDevAttrMultiProcessorCount)),
      capability(attribute_of(device, cudaDevAttrComputeCapabilityMajor) * 10 +
                 attribute_of(device, cudaDevAttrComputeCapabilityMinor)),
      overlaps_kernels(capability >= 90 && options.serial_kernels == 0),
      l2_bytes(attribute_of(device, cudaDevAttrL2CacheSize)),
      deterministic(options.deterministic != 0),
      gemm_plans(std::make_unique<GemmPlans>(deterministic)),
      counters(std::make_unique<StreamCounters>()),
      tensor_maps(std::make_unique<TensorMaps>()),
      weight_staging(std::make_unique<WeightStaging>()) {}

DeviceState::~DeviceState() = default;

int device_count() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  if (result == cudaErrorInsufficientDriver && !dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)) {
    fail(VN_NO_DEVICE, "CUDA driver not found: %s", dlerror());
  }
  if (result == cudaSuccess) fail(VN_NO_DEVICE, "no CUDA device: the driver shows none to this process");
  fail(VN_NO_DEVICE, "no CUDA device: %s (%s)", cudaGetErrorString(result), cudaGetErrorName(result));
}

Device* device_create(int32_t ordinal, const vn_device_options& options) {
  const int count = device_count();
  if (ordinal < 0 || ordinal >= count) {
    fail(VN_NO_DEVICE, "device_create: ordinal is %d, there are %d CUDA devices", ordinal, count);
  }
  CUctx_st* const context = open_context(ordinal, options.foreign_context);
  auto state = std::make_unique<DeviceState>(ordinal, context, options);
  auto* device = new Device{ordinal, state.get()};
  state.release();
  return device;
}

void device_destroy(Device* device) noexcept {
  // Without its context nothing that the state holds can be freed: it is left to the end of the process.
  if (const CurrentContext current(*device); current) delete device->state;
  delete device;
}

void device_info(const Device& device, vn_device_info& out) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device.ordinal), "device_get_info: cudaGetDeviceProperties");
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  check(cudaMemGetInfo(&free_bytes, &total_bytes), "device_get_info: cudaMemGetInfo");
  out.ordinal = device.ordinal;
  out.flags = VN_DEVICE_HAS_GRAPHS | VN_DEVICE_HAS_FP8 | (device.state->deterministic ? VN_DEVICE_BATCH_INVARIANT : 0);
  out.num_threads = properties.multiProcessorCount;
  out.capability = properties.major * 10 + properties.minor;
  out.total_memory = static_cast<int64_t>(total_bytes);
  out.free_memory = static_cast<int64_t>(free_bytes);
  std::snprintf(out.name, sizeof out.name, "%.127s", properties.name);
}

}  // namespace vn::cuda
