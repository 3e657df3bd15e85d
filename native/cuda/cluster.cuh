// Blocks of a cluster (Hopper): they run at the same time and reach each other's shared memory.
#pragma once

#include <cstdint>

namespace vn::cuda {

// All threads of all blocks; what they wrote to any shared memory before is visible after. A block must not end while others
// may still reach into it. In two halves where there is something to do that nobody waits for; writes to memory ahead of the
// first half take it long.
__device__ inline void cluster_arrive_all() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ inline void cluster_wait_all() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }
__device__ inline void cluster_sync() {
  cluster_arrive_all();
  cluster_wait_all();
}

// Another block's address of what has this one at the same place.
__device__ inline uint32_t cluster_address(uint32_t shared_address, uint32_t rank) {
  uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address), "r"(rank));
  return address;
}

__device__ inline float4 cluster_load(uint32_t address) {
  float4 v;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(address) : "memory");
  return v;
}

// Into another block's shared memory, without waiting; its barrier counts the 16 bytes as it counts those of copies.
__device__ inline void cluster_store_async(uint32_t address, float4 v, uint32_t barrier) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(address),
               "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w), "r"(barrier)
               : "memory");
}

// mbarrier_wait() for what other blocks have stored.
__device__ inline void cluster_mbarrier_wait(uint32_t barrier, uint32_t parity) {
  uint32_t done = 0;
  while (!done) {
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n"
        "}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  }
}

}  // namespace vn::cuda
