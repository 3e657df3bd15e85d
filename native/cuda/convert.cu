// destination[i] = (dtype)source[i], i in [0, count): F32, F16, BF16 each way, through f32, to nearest even.
// Grid: up to kMaxBlocks blocks of kThreads threads in a grid-stride loop; no shared memory; element alignment.
// Bound: bytes (source read once, destination written once). Used while loading, never in a step.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

#include "core/dtype.h"
#include "cuda/check.h"
#include "cuda/convert.h"

namespace vn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;

__device__ float to_float(float x) { return x; }
__device__ float to_float(__half x) { return __half2float(x); }
__device__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T>
__device__ T from_float(float x) {
  if constexpr (std::is_same_v<T, __half>) return __float2half_rn(x);
  if constexpr (std::is_same_v<T, __nv_bfloat16>) return __float2bfloat16_rn(x);
  if constexpr (std::is_same_v<T, float>) return x;
}

template <typename Source, typename Destination>
__global__ void convert_kernel(const Source* source, Destination* destination, int64_t count) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
    destination[i] = from_float<Destination>(to_float(source[i]));
  }
}

// Calls body with a null pointer to the element type.
template <typename Body>
void with_float_type(int32_t dtype, Body&& body) {
  switch (dtype) {
    case VN_DTYPE_F32: return body(static_cast<float*>(nullptr));
    case VN_DTYPE_F16: return body(static_cast<__half*>(nullptr));
    case VN_DTYPE_BF16: return body(static_cast<__nv_bfloat16*>(nullptr));
    default: fail(VN_UNSUPPORTED, "convert: dtype is %s (%d), expected F32, F16 or BF16", dtype_name(dtype), dtype);
  }
}

}  // namespace

void launch_convert(const ConvertParams& params, cudaStream_t stream) {
  if (params.count == 0) return;
  const auto blocks = static_cast<unsigned>(std::min((params.count + kThreads - 1) / kThreads, kMaxBlocks));
  with_float_type(params.source_dtype, [&]<typename Source>(Source*) {
    with_float_type(params.dtype, [&]<typename Destination>(Destination*) {
      convert_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<const Source*>(params.source),
                                                      static_cast<Destination*>(params.destination), params.count);
    });
  });
  check(cudaGetLastError(), "convert: launch");
}

}  // namespace vn::cuda
