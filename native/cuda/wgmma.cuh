// Hopper's warpgroup products: m64nNk16 on F16 or BF16 with f32 sums, by the four warps of a warpgroup together.
// A is 64 x 16, from shared memory or from registers; B is 16 x N, from shared memory. Lane 4 g + t of the warpgroup's warp w
// holds rows 16 w + g (d[4 j], d[4 j + 1]) and 16 w + g + 8 (d[4 j + 2], d[4 j + 3]) of columns 8 j + 2 t and 8 j + 2 t + 1;
// an A in registers is laid out like two neighbouring j of that.
//
// Tiles in shared memory are made of atoms, 8 rows of 128 bytes whose 16-byte chunks are swizzled (chunk ^ row), 1024 bytes in
// all and aligned to that; this is what the copy engine writes with CU_TENSOR_MAP_SWIZZLE_128B.
//
// Products are asynchronous: fence() after registers were written and before the first product that uses them, commit() to
// close a group, and wait() before registers of the group are touched. Registers that are waited for are named, so that the
// compiler moves nothing across.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace vn::cuda::wgmma {

constexpr int kAtomBytes = 1024;
constexpr int kRowBytes = 128;

// Describes a tile. group_bytes: from one atom to the next along the rows; repeat_bytes: along the row, from one 128 bytes to
// the next, which matters only where rows are the sum's dimension (B of `rows_summed` products).
__device__ inline uint64_t descriptor(uint32_t address, int group_bytes, int repeat_bytes) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  return kSwizzle128 | static_cast<uint64_t>(group_bytes >> 4) << 32 | static_cast<uint64_t>(repeat_bytes >> 4) << 16 |
         (address & 0x3ffff) >> 4;
}
// The same tile, beginning further on.
__device__ inline uint64_t advance(uint64_t tile, int bytes) { return tile + static_cast<uint64_t>(bytes >> 4); }

__device__ inline void fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// The compiler moves no computation of d, nor use of it, across this point.
template <int kCount>
__device__ inline void pin(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// Waits until at most kPending groups are under way, after which d may be used.
template <int kPending, int kCount>
__device__ inline void wait(float (&d)[kCount]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
  pin(d);
}

#define VN_WGMMA_SUMS_8(d, i)                                                                                     \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define VN_WGMMA_SUMS_32(d, i) \
  VN_WGMMA_SUMS_8(d, i), VN_WGMMA_SUMS_8(d, i + 8), VN_WGMMA_SUMS_8(d, i + 16), VN_WGMMA_SUMS_8(d, i + 24)
#define VN_WGMMA_NAMES_32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define VN_WGMMA_NAMES_64 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

// d = A B + (add ? d : 0). A: 64 rows of a tile; B: 128 rows of a tile; summed over 16 elements of their rows.
#define VN_WGMMA_ROWS(type)                                                                               \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"                                          \
               "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " {" VN_WGMMA_NAMES_64 "}, " \
               "%64, %65, add, 1, 1, 0, 0;\n}"                                                            \
               : VN_WGMMA_SUMS_32(d, 0), VN_WGMMA_SUMS_32(d, 32)                                          \
               : "l"(a), "l"(b), "r"(static_cast<int>(add))                                               \
               : "memory")
template <typename T>
__device__ inline void multiply_rows(float (&d)[64], uint64_t a, uint64_t b, bool add) {
  if constexpr (std::is_same_v<T, __half>) {
    VN_WGMMA_ROWS("f16");
  } else {
    VN_WGMMA_ROWS("bf16");
  }
}

// d += A B. A: registers; B: 16 rows of a tile, as many columns as d has; summed over the rows.
#define VN_WGMMA_COLUMNS(type, shape, names, first, second, third, fourth, tile, ...)                                    \
  asm volatile("{\n.reg .pred add;\nsetp.eq.b32 add, 0, 0;\n"                                                           \
               "wgmma.mma_async.sync.aligned." shape ".f32." type "." type " {" names "}, "                              \
               "{" first ", " second ", " third ", " fourth "}, " tile ", add, 1, 1, 1;\n}"                              \
               : __VA_ARGS__                                                                                              \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)                                                       \
               : "memory")
#define VN_WGMMA_COLUMNS_64(type) \
  VN_WGMMA_COLUMNS(type, "m64n64k16", VN_WGMMA_NAMES_32, "%32", "%33", "%34", "%35", "%36", VN_WGMMA_SUMS_32(d, 0))
#define VN_WGMMA_COLUMNS_128(type)                                                                                     \
  VN_WGMMA_COLUMNS(type, "m64n128k16", VN_WGMMA_NAMES_64, "%64", "%65", "%66", "%67", "%68", VN_WGMMA_SUMS_32(d, 0), \
                   VN_WGMMA_SUMS_32(d, 32))
template <typename T, int kCount>
__device__ inline void multiply_columns(float (&d)[kCount], const uint32_t (&a)[4], uint64_t b) {
  static_assert(kCount == 32 || kCount == 64, "64 or 128 columns");
  if constexpr (std::is_same_v<T, __half> && kCount == 32) {
    VN_WGMMA_COLUMNS_64("f16");
  } else if constexpr (std::is_same_v<T, __half>) {
    VN_WGMMA_COLUMNS_128("f16");
  } else if constexpr (kCount == 32) {
    VN_WGMMA_COLUMNS_64("bf16");
  } else {
    VN_WGMMA_COLUMNS_128("bf16");
  }
}
#undef VN_WGMMA_COLUMNS_128
#undef VN_WGMMA_COLUMNS_64
#undef VN_WGMMA_COLUMNS
#undef VN_WGMMA_ROWS
#undef VN_WGMMA_NAMES_64
#undef VN_WGMMA_NAMES_32
#undef VN_WGMMA_SUMS_32
#undef VN_WGMMA_SUMS_8

}  // namespace vn::cuda::wgmma
