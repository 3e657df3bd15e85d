// Plain arithmetic shared by the CPU backend and CUDA kernels. Each helper is one IEEE operation, rounded to nearest, that
// no compiler may fuse with its neighbour, so that both sides compute the same bits.
#pragma once

#include <cstdint>

// Internal linkage, and builtins instead of std functions, on purpose: a copy compiled with AVX flags must never replace the
// scalar one at link time.
#if defined(__CUDACC__)
#define VN_HOST_DEVICE static __host__ __device__ __forceinline__
#else
#define VN_HOST_DEVICE static inline __attribute__((always_inline))
#endif

namespace vn {

VN_HOST_DEVICE float ieee_add(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}

VN_HOST_DEVICE float ieee_sub(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fsub_rn(a, b);
#else
  return a - b;
#endif
}

VN_HOST_DEVICE float ieee_mul(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

VN_HOST_DEVICE float ieee_div(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}

// a * b + c, rounded once.
VN_HOST_DEVICE float ieee_fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

VN_HOST_DEVICE uint32_t float_bits(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return __builtin_bit_cast(uint32_t, x);
#endif
}

VN_HOST_DEVICE float bits_float(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return __builtin_bit_cast(float, bits);
#endif
}

// The upper half of the 128-bit product.
VN_HOST_DEVICE uint64_t mul_high(uint64_t a, uint64_t b) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(a, b);
#else
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<uint64_t>((static_cast<Wide>(a) * b) >> 64);
#endif
}

}  // namespace vn
