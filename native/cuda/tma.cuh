// The bulk tensor copy engine: boxes of a tensor map (tensor_maps.h) into shared memory.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace vn::cuda {

// By one thread. What lies outside the tensor arrives as zeros. The barrier counts the bytes of the whole box.
__device__ inline void copy_box(uint32_t destination, const CUtensorMap& map, uint32_t barrier, int c0, int c1, int c2, int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(destination),
      "l"(&map), "r"(barrier), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}

}  // namespace vn::cuda
