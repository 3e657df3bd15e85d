// Weights: row-major matrices in device memory, whatever their use; cuBLASLt and vn_embedding read the same bytes.
#pragma once

#include <cstdint>

#include "cuda/device.h"
#include "cuda/ops.h"

namespace vn::cuda {

struct Weight {
  Device device;
  int32_t use;
  int32_t dtype;
  int64_t rows;
  int64_t columns;
  int64_t bytes;
  void* data;  // 256-byte aligned
};

}  // namespace vn::cuda
