// Memory of weights, and loading into them. Rows that nothing was loaded into are zero, as on the CPU.
#include "cuda/weight.h"

#include <cstdio>
#include <memory>

#include "core/dtype.h"
#include "cuda/context.h"
#include "cuda/device_memory.h"
#include "cuda/weight_staging.h"

namespace vn::cuda {

Weight* weight_create(const Device& device, int32_t use, int32_t dtype, int64_t rows, int64_t columns) {
  auto weight = std::make_unique<Weight>(device, use, dtype, rows, columns, rows * columns * dtype_size(dtype), nullptr);
  char what[96];
  std::snprintf(what, sizeof what, "weight_create: [%lld, %lld] of %s", static_cast<long long>(rows),
                static_cast<long long>(columns), dtype_name(dtype));
  weight->data = allocate_zeroed(weight->bytes, what).release();
  return weight.release();
}

void weight_destroy(Weight* weight) noexcept {
  if (const CurrentContext current(weight->device); current) {
    forgive(cudaFree(weight->data), "weight_destroy: cudaFree");
  }
  delete weight;
}

int64_t weight_bytes(const Weight& weight) { return weight.bytes; }

void weight_load(Weight& weight, int64_t first_row, int64_t rows, const void* source, int32_t source_dtype,
                 int64_t row_stride) {
  if (rows <= 0) return;
  void* destination = static_cast<char*>(weight.data) + first_row * weight.columns * dtype_size(weight.dtype);
  weight.device.state->weight_staging->load({source, source_dtype, rows, weight.columns, row_stride}, destination,
                                            weight.dtype);
}

}  // namespace vn::cuda
