#include "cuda/tensor_maps.h"

#include <cuda_runtime_api.h>

#include "core/error.h"
#include "cuda/check.h"

namespace vn::cuda {
namespace {

constexpr int64_t kElementBytes = 2;
constexpr int64_t kStrideLimit = int64_t{1} << 40;  // bytes
constexpr int64_t kExtentLimit = int64_t{1} << 31;  // coordinates are ints
constexpr size_t kMaxMaps = 4096;  // two for each layer of each pool; more only when pools come and go

using Encode = decltype(&cuTensorMapEncodeTiled);

// The driver is not linked: the runtime knows where its functions are.
Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const char* what = "tensor map: cudaGetDriverEntryPoint";
#if CUDART_VERSION >= 12050
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found), what);
#else
  check(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found), what);
#endif
  if (found != cudaDriverEntryPointSuccess || !function) {
    fail(VN_CUDA, "tensor map: the driver has no cuTensorMapEncodeTiled (query result %d)", static_cast<int>(found));
  }
  return reinterpret_cast<Encode>(function);
}

Encode encoder() {
  static const Encode function = find_encode();
  return function;
}

CUtensorMap encode(const PoolBoxes& b) {
  const auto bytes = [](int64_t elements) { return static_cast<cuuint64_t>(elements * kElementBytes); };
  const cuuint64_t extent[] = {static_cast<cuuint64_t>(b.dim), static_cast<cuuint64_t>(b.block_size),
                               static_cast<cuuint64_t>(b.heads), static_cast<cuuint64_t>(b.num_blocks)};
  const cuuint64_t stride[] = {bytes(b.slot_stride), bytes(b.head_stride), bytes(b.block_stride)};
  const cuuint32_t box[] = {kBoxElements, static_cast<cuuint32_t>(b.box_slots), 1, 1};
  const cuuint32_t step[] = {1, 1, 1, 1};
  CUtensorMap map;
  const CUresult result =
      encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 4, const_cast<void*>(b.data), extent, stride, box, step,
               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    fail(VN_CUDA, "attention_paged: cuTensorMapEncodeTiled of %d blocks x %d heads x %d slots x %d, strides %lld, %lld, "
         "%lld: error %d",
         b.num_blocks, b.heads, b.block_size, b.dim, static_cast<long long>(b.block_stride),
         static_cast<long long>(b.head_stride), static_cast<long long>(b.slot_stride), static_cast<int>(result));
  }
  return map;
}

bool takes_stride(int64_t elements) {
  const int64_t bytes = elements * kElementBytes;
  return elements > 0 && bytes % 16 == 0 && bytes < kStrideLimit;
}

bool takes_address(const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

}  // namespace

bool can_map(const PoolBoxes& b) {
  return takes_stride(b.slot_stride) && takes_stride(b.head_stride) && takes_stride(b.block_stride) && takes_address(b.data);
}

bool can_map(const MatrixBoxes& b) {
  return b.rows <= kExtentLimit && b.columns <= kExtentLimit && b.stride >= b.columns && takes_stride(b.stride) &&
         takes_address(b.data);
}

CUtensorMap map_of(const MatrixBoxes& b) {
  const cuuint64_t extent[] = {static_cast<cuuint64_t>(b.columns), static_cast<cuuint64_t>(b.rows)};
  const cuuint64_t stride[] = {static_cast<cuuint64_t>(b.stride * kElementBytes)};
  const cuuint32_t box[] = {kBoxElements, static_cast<cuuint32_t>(b.box_rows)};
  const cuuint32_t step[] = {1, 1};
  CUtensorMap map;
  const CUresult result = encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 2, const_cast<void*>(b.data), extent, stride, box, step,
                                    CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                    CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    fail(VN_CUDA, "gemm: cuTensorMapEncodeTiled of [%lld, %lld], stride %lld, boxes of %d rows: error %d",
         static_cast<long long>(b.rows), static_cast<long long>(b.columns), static_cast<long long>(b.stride), b.box_rows,
         static_cast<int>(result));
  }
  return map;
}

CUtensorMap TensorMaps::find(const PoolBoxes& boxes) {
  const std::lock_guard lock(mutex_);
  if (const auto known = maps_.find(boxes); known != maps_.end()) return known->second;
  if (maps_.size() == kMaxMaps) maps_.clear();
  return maps_.emplace(boxes, encode(boxes)).first->second;
}

}  // namespace vn::cuda
