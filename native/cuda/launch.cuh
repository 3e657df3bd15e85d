// Launching kernels. On Hopper (capability 90) a kernel launched by launch_overlapped may begin while the one ahead of it in
// its stream still runs (programmatic dependent launch): its launch and its first instructions cost no time of their own.
//
// Such a kernel must, in every thread, call await_earlier_kernels() before it reads or writes anything that a kernel may
// write, or writes anything that one may read: weights alone may be touched before. The wait ends when the kernel ahead has
// ended and its writes are visible; since that one waited too, all earlier work is done then. Beside weights, what a kernel
// wrote that is launched without overlap and fences its writes (batch_prepare) may be read before the wait, since later
// kernels begin when its blocks have ended, and the next of its kind when they have; so may what was written before it,
// as K and V of earlier steps. release_next_kernel() lets the
// next one begin; it may come first, since that one waits as well. Both compile to nothing on older chips, and do nothing in
// a kernel that was launched without overlap (vn_device_options.serial_kernels).
#pragma once

#include <cuda_runtime.h>

#include <type_traits>

#include "cuda/check.h"
#include "cuda/stream.h"

namespace vn::cuda {

__device__ __forceinline__ void await_earlier_kernels() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void release_next_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Starts to bring the cache line of an address into L2.
__device__ __forceinline__ void prefetch(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(address)));
}

// what: "op: launch", for the message of a failure. overlap: whether the kernel may begin early, DeviceState::overlaps_kernels.
// cluster: neighbours along x that are a cluster; grid.x is a multiple. shared: bytes of dynamic shared memory.
template <typename... Params>
void launch_overlapped_clusters(const char* what, cudaStream_t stream, bool overlap, void (*kernel)(Params...), dim3 grid,
                                unsigned cluster, unsigned threads, int shared,
                                const std::type_identity_t<Params>&... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = static_cast<size_t>(shared);
  config.stream = stream;
  config.attrs = attributes;
  if (overlap) {
    cudaLaunchAttribute& early = attributes[config.numAttrs++];
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 1) {
    cudaLaunchAttribute& size = attributes[config.numAttrs++];
    size.id = cudaLaunchAttributeClusterDimension;
    size.val.clusterDim.x = cluster;
    size.val.clusterDim.y = size.val.clusterDim.z = 1;
  }
  check(cudaLaunchKernelEx(&config, kernel, arguments...), what);
}

// The same without clusters.
template <typename... Params>
void launch_overlapped(const char* what, cudaStream_t stream, bool overlap, void (*kernel)(Params...), dim3 grid,
                       unsigned threads, int shared, const std::type_identity_t<Params>&... arguments) {
  launch_overlapped_clusters(what, stream, overlap, kernel, grid, 1, threads, shared, arguments...);
}

// Without dynamic shared memory either.
template <typename... Params>
void launch_overlapped(const char* what, const Stream& stream, void (*kernel)(Params...), dim3 grid, unsigned threads,
                       const std::type_identity_t<Params>&... arguments) {
  launch_overlapped(what, stream.handle, stream.device.state->overlaps_kernels, kernel, grid, threads, 0, arguments...);
}

}  // namespace vn::cuda
