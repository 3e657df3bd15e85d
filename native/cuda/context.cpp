// The driver is not linked: its functions come from the runtime, which has opened it.
#include "cuda/context.h"

#include <cuda_runtime_api.h>

#include <string>

#include "cuda/check.h"
#include "cuda/closing.h"
#include "cuda/device.h"

namespace vn::cuda {
namespace {

#define VN_FOR_EACH_DRIVER_FUNCTION(X) \
  X(cuCtxGetCurrent)                   \
  X(cuCtxSetCurrent)                   \
  X(cuCtxPushCurrent)                  \
  X(cuCtxPopCurrent)                   \
  X(cuCtxGetDevice)                    \
  X(cuDeviceGet)

struct Driver {
#define VN_DRIVER_FUNCTION(name) decltype(&::name) name;
  VN_FOR_EACH_DRIVER_FUNCTION(VN_DRIVER_FUNCTION)
#undef VN_DRIVER_FUNCTION
};

void* find(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t result = cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found);
#else
  const cudaError_t result = cudaGetDriverEntryPoint(name, &function, cudaEnableDefault, &found);
#endif
  check(result, ("device_create: " + std::string(name)).c_str());
  if (found != cudaDriverEntryPointSuccess) fail(VN_NO_DEVICE, "device_create: the CUDA driver has no %s", name);
  return function;
}

Driver find_all() {
  Driver driver{};
#define VN_DRIVER_FUNCTION(name) driver.name = reinterpret_cast<decltype(driver.name)>(find(#name));
  VN_FOR_EACH_DRIVER_FUNCTION(VN_DRIVER_FUNCTION)
#undef VN_DRIVER_FUNCTION
  return driver;
}

// Found by the first open_context, so that no later call can fail here.
const Driver& driver() {
  static const Driver functions = find_all();
  return functions;
}

// The runtime's error numbers are the driver's.
void check_driver(CUresult result, const char* what) { check(static_cast<cudaError_t>(result), what); }

CUcontext primary_context(int ordinal) {
  const Driver& functions = driver();
  struct Restore {
    const Driver& functions;
    CUcontext previous;
    ~Restore() { functions.cuCtxSetCurrent(previous); }
  };
  CUcontext previous = nullptr;
  check_driver(functions.cuCtxGetCurrent(&previous), "device_create: cuCtxGetCurrent");
  const Restore restore{functions, previous};
  check(cudaSetDevice(ordinal), "device_create: cudaSetDevice");
  check(cudaFree(nullptr), "device_create: cudaFree");  // makes the context now, where a failure belongs
  CUcontext primary = nullptr;
  check_driver(functions.cuCtxGetCurrent(&primary), "device_create: cuCtxGetCurrent");
  return primary;
}

}  // namespace

CUcontext open_context(int ordinal, void* foreign) {
  if (!foreign) return primary_context(ordinal);
  const Driver& functions = driver();
  const auto context = static_cast<CUcontext>(foreign);
  const CurrentContext current(context);
  current.require("device_create: options.foreign_context");
  CUdevice expected = 0;
  CUdevice found = 0;
  check_driver(functions.cuDeviceGet(&expected, ordinal), "device_create: cuDeviceGet");
  check_driver(functions.cuCtxGetDevice(&found), "device_create: cuCtxGetDevice");
  if (found != expected) {
    fail(VN_INVALID_ARGUMENT, "device_create: options.foreign_context belongs to CUDA device %d, expected %d", found, expected);
  }
  return context;
}

CurrentContext::CurrentContext(CUcontext context) noexcept
    : result_(is_closed() ? CUDA_ERROR_DEINITIALIZED : driver().cuCtxPushCurrent(context)) {}

CurrentContext::CurrentContext(const Device& device) noexcept : CurrentContext(device.state->context) {}

CurrentContext::~CurrentContext() {
  CUcontext popped = nullptr;
  if (result_ == CUDA_SUCCESS) driver().cuCtxPopCurrent(&popped);
}

void CurrentContext::require(const char* op) const {
  require_open(op);
  check_driver(result_, op);
}

}  // namespace vn::cuda
