// Element conversion between F32, F16 and BF16 in device memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace vn::cuda {

struct ConvertParams {
  const void* source;  // [count] of source_dtype
  void* destination;   // [count] of dtype
  int32_t source_dtype;
  int32_t dtype;
  int64_t count;
};

void launch_convert(const ConvertParams& params, cudaStream_t stream);

}  // namespace vn::cuda
