// W[row][column] = a draw uniform in (-scale, scale), a pure function of (seed, row, column), the same bits as the CPU's
// (cpu/weight_fill.cpp says how it is made): a 64-bit mix of (seed, row) as key, two rounds of a 32-bit hash of (key, column).
// Grid: one block a row (a grid-stride loop beyond kMaxBlocks), threads over columns. Bound: bytes written.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cuda/check.h"
#include "cuda/gemm_values.cuh"
#include "cuda/weight.h"

namespace vn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 65536;

struct FillParams {
  void* data;
  int64_t rows;
  int64_t columns;
  uint64_t base;
  float scale;
  float limit;
};

// Finaliser of a 64-bit avalanche hash (the splitmix64 constants).
__host__ __device__ uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

__device__ float draw(uint32_t low, uint32_t high, uint32_t column, float scale, float limit) {
  uint32_t h = column * 0x9e3779b9u + low;
  h = (h ^ (h >> 16)) * 0x21f0aaadu + high;
  h = (h ^ (h >> 15)) * 0x735a2d97u;
  h ^= h >> 15;
  // Every step up to the product with scale is exact.
  const float u = __fsub_rn(__fmul_rn(static_cast<float>(h >> 9), 0x1p-22f), 1.0f - 0x1p-23f);
  return fminf(fmaxf(__fmul_rn(u, scale), -limit), limit);
}

template <typename T>
__global__ void weight_fill_kernel(const FillParams p) {
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const uint64_t key = mix(p.base ^ static_cast<uint64_t>(row) * 0xd1342543de82ef95u);
    T* out = static_cast<T*>(p.data) + row * p.columns;
    for (int64_t column = threadIdx.x; column < p.columns; column += kThreads) {
      out[column] = rounded<T>(draw(static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32),
                                    static_cast<uint32_t>(column), p.scale, p.limit));
    }
  }
}

// The largest value of T below scale: rounding must not leave the open interval.
template <typename T>
float largest_below(float scale) {
  T value = rounded<T>(scale);
  if (value_of(value) >= scale && scale > 0.0f) {
    using Bits = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
    Bits bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits = static_cast<Bits>(bits - 1);
    std::memcpy(static_cast<void*>(&value), &bits, sizeof bits);
  }
  return value_of(value);
}

}  // namespace

void weight_fill(Weight& weight, uint64_t seed, float scale) {
  if (scale == 0.0f) {  // not -0, whatever the draw's sign
    check(cudaMemset(weight.data, 0, static_cast<size_t>(weight.bytes)), "weight_fill: cudaMemset");
    check_wait(cudaStreamSynchronize(nullptr), "weight_fill");
    return;
  }
  const auto blocks = static_cast<unsigned>(std::min(weight.rows, kMaxBlocks));
  with_value_type("weight_fill", weight.dtype, [&]<typename T>(T*) {
    const float magnitude = std::fabs(scale);
    const FillParams params{weight.data, weight.rows, weight.columns, mix(seed + 0x9e3779b97f4a7c15u), magnitude,
                            largest_below<T>(magnitude)};
    weight_fill_kernel<T><<<blocks, kThreads>>>(params);
  });
  check(cudaGetLastError(), "weight_fill: launch");
  check_wait(cudaStreamSynchronize(nullptr), "weight_fill");
}

}  // namespace vn::cuda
