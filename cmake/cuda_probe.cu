// What the CUDA plugin needs of a compiler pair, in small: C++20 in host and device code, 16-bit types, the runtime.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <bit>
#include <concepts>
#include <vector>

template <std::floating_point T>
__global__ void scale_kernel(T* x, float by) {
  x[threadIdx.x] = static_cast<T>(__bfloat162float(__float2bfloat16_rn(static_cast<float>(x[threadIdx.x]) * by)));
}

int main() {
  const std::vector<int> bits = {std::bit_cast<int>(1.0f)};
  float* x = nullptr;
  if (cudaMalloc(&x, sizeof(float)) != cudaSuccess) return bits.at(0) == 0;
  [&]<typename T>(T* data) { scale_kernel<T><<<1, 1>>>(data, 2.0f); }(x);
  return cudaFree(x) != cudaSuccess;
}
