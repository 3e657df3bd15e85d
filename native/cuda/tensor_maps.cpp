#include "cuda/tensor_maps.h"

#include <cuda_runtime_api.h>

#include "core/error.h"
#include "cuda/check.h"

namespace vn::cuda {
namespace {

constexpr int64_t kElementBytes = 2;
constexpr int64_t kStrideLimit = int64_t{1} << 40;  // bytes
constexpr size_t kMaxMaps = 4096;  // two for each layer of each pool; more only when pools come and go

using Encode = decltype(&cuTensorMapEncodeTiled);

// The driver is not linked: the runtime knows where its functions are.
Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const char* what = "attention_paged: cudaGetDriverEntryPoint";
#if CUDART_VERSION >= 12050
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found), what);
#else
  check(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found), what);
#endif
  if (found != cudaDriverEntryPointSuccess || !function) {
    fail(VN_CUDA, "attention_paged: the driver has no cuTensorMapEncodeTiled (query result %d)", static_cast<int>(found));
  }
  return reinterpret_cast<Encode>(function);
}

CUtensorMap encode(const PoolBoxes& b) {
  static const Encode function = find_encode();
  const auto bytes = [](int64_t elements) { return static_cast<cuuint64_t>(elements * kElementBytes); };
  const cuuint64_t extent[] = {static_cast<cuuint64_t>(b.dim), static_cast<cuuint64_t>(b.block_size),
                               static_cast<cuuint64_t>(b.heads), static_cast<cuuint64_t>(b.num_blocks)};
  const cuuint64_t stride[] = {bytes(b.slot_stride), bytes(b.head_stride), bytes(b.block_stride)};
  const cuuint32_t box[] = {kBoxElements, static_cast<cuuint32_t>(b.box_slots), 1, 1};
  const cuuint32_t step[] = {1, 1, 1, 1};
  CUtensorMap map;
  const CUresult result =
      function(&map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 4, const_cast<void*>(b.data), extent, stride, box, step,
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

}  // namespace

bool can_map(const PoolBoxes& b) {
  for (const int64_t stride : {b.slot_stride, b.head_stride, b.block_stride}) {
    const int64_t bytes = stride * kElementBytes;
    if (stride <= 0 || bytes % 16 != 0 || bytes >= kStrideLimit) return false;
  }
  return reinterpret_cast<uintptr_t>(b.data) % 16 == 0;
}

CUtensorMap TensorMaps::find(const PoolBoxes& boxes) {
  const std::lock_guard lock(mutex_);
  if (const auto known = maps_.find(boxes); known != maps_.end()) return known->second;
  if (maps_.size() == kMaxMaps) maps_.clear();
  return maps_.emplace(boxes, encode(boxes)).first->second;
}

}  // namespace vn::cuda
