// Tensor maps of the bulk tensor copy engine: over KV pools, made once for each pool, and over matrices.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <tuple>

namespace vn::cuda {

// One layer's K or V in a pool, of 16-bit elements, and the box that is copied at a time: box_slots slots of a block, 64
// elements of each, into 128-byte rows whose 16-byte chunks are swizzled. Strides count elements.
struct PoolBoxes {
  const void* data;
  int32_t dim, block_size, heads, num_blocks;
  int64_t slot_stride, head_stride, block_stride;
  int32_t box_slots;

  auto fields() const {
    return std::tie(data, dim, block_size, heads, num_blocks, slot_stride, head_stride, block_stride, box_slots);
  }
  bool operator<(const PoolBoxes& other) const { return fields() < other.fields(); }
};

constexpr int kBoxElements = 64;

// Whether a tensor map can describe it: strides are positive, whole 16 bytes, and below 2^40 bytes.
bool can_map(const PoolBoxes& boxes);

// A row-major matrix of 16-bit elements, and the box that is copied at a time: box_rows rows (at most 256) of 64 elements, swizzled
// the same way. stride counts elements.
struct MatrixBoxes {
  const void* data;
  int64_t rows, columns, stride;
  int32_t box_rows;
};

// The same limits; rows do not overlap.
bool can_map(const MatrixBoxes& boxes);
// The map with coordinates (element, row). A computation of the host alone, less than a microsecond. Throws VN_CUDA.
CUtensorMap map_of(const MatrixBoxes& boxes);

class TensorMaps {
 public:
  // The map with coordinates (element, slot, head, block); outside of a pool there are zeros. Allocates only when it sees a
  // pool for the first time. Throws VN_CUDA.
  CUtensorMap find(const PoolBoxes& boxes);

 private:
  std::mutex mutex_;
  std::map<PoolBoxes, CUtensorMap> maps_;
};

}  // namespace vn::cuda
