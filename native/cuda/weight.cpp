// Memory of weights, and loading into them. Rows that nothing was loaded into are zero, as on the CPU.
#include "cuda/weight.h"

#include <memory>

#include "core/dtype.h"
#include "cuda/check.h"
#include "cuda/weight_staging.h"

namespace vn::cuda {

Weight* weight_create(const Device& device, int32_t use, int32_t dtype, int64_t rows, int64_t columns) {
  auto weight = std::make_unique<Weight>(device, use, dtype, rows, columns, rows * columns * dtype_size(dtype), nullptr);
  device.activate();
  const auto bytes = static_cast<size_t>(weight->bytes);
  if (const cudaError_t result = cudaMalloc(&weight->data, bytes); result != cudaSuccess) {
    cudaGetLastError();
    if (is_sticky(result)) check(result, "weight_create: cudaMalloc");
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    fail(VN_OUT_OF_DEVICE_MEMORY, "weight_create: %lld x %lld of %s, %zu bytes on device %d with %zu free: %s",
         static_cast<long long>(rows), static_cast<long long>(columns), dtype_name(dtype), bytes, device.ordinal, free_bytes,
         cudaGetErrorString(result));
  }
  try {
    check(cudaMemset(weight->data, 0, bytes), "weight_create: cudaMemset");
    check_wait(cudaStreamSynchronize(nullptr), "weight_create");  // other streams do not wait for the default one
  } catch (...) {
    cudaFree(weight->data);
    throw;
  }
  return weight.release();
}

void weight_destroy(Weight* weight) noexcept {
  if (!weight) return;
  if (cudaSetDevice(weight->device.ordinal) == cudaSuccess) cudaFree(weight->data);
  delete weight;
}

int64_t weight_bytes(const Weight& weight) { return weight.bytes; }

void weight_load(Weight& weight, int64_t first_row, int64_t rows, const void* source, int32_t source_dtype,
                 int64_t row_stride) {
  if (rows <= 0) return;
  weight.device.activate();
  void* destination = static_cast<char*>(weight.data) + first_row * weight.columns * dtype_size(weight.dtype);
  weight.device.state->weight_staging->load({source, source_dtype, rows, weight.columns, row_stride}, destination,
                                            weight.dtype);
}

}  // namespace vn::cuda
