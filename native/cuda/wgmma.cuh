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

// The same for groups whose registers are not touched yet: what they read from shared memory may be overwritten.
template <int kPending>
__device__ inline void wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

#define VN_WGMMA_SUMS_4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define VN_WGMMA_SUMS_8(d, i) VN_WGMMA_SUMS_4(d, i), VN_WGMMA_SUMS_4(d, i + 4)
#define VN_WGMMA_SUMS_16(d, i) VN_WGMMA_SUMS_8(d, i), VN_WGMMA_SUMS_8(d, i + 8)
#define VN_WGMMA_SUMS_24(d, i) VN_WGMMA_SUMS_16(d, i), VN_WGMMA_SUMS_8(d, i + 16)
#define VN_WGMMA_SUMS_32(d, i) VN_WGMMA_SUMS_16(d, i), VN_WGMMA_SUMS_16(d, i + 16)
#define VN_WGMMA_SUMS_64(d, i) VN_WGMMA_SUMS_32(d, i), VN_WGMMA_SUMS_32(d, i + 32)
#define VN_WGMMA_NAMES_4 "%0, %1, %2, %3"
#define VN_WGMMA_NAMES_8 VN_WGMMA_NAMES_4 ", %4, %5, %6, %7"
#define VN_WGMMA_NAMES_16 VN_WGMMA_NAMES_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define VN_WGMMA_NAMES_24 VN_WGMMA_NAMES_16 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define VN_WGMMA_NAMES_32 \
  VN_WGMMA_NAMES_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define VN_WGMMA_NAMES_64                                                                                \
  VN_WGMMA_NAMES_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
                    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
// d = A B + (add ? d : 0). A: 64 rows of a tile; B: two rows of a tile (8 to 128 in all) for each of d's floats; summed over 16
// elements of their rows.
#define VN_WGMMA_ROWS(type, count, shape, tile_a, tile_b, add_d)                                            \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " add_d ", 0;\n"                                      \
               "wgmma.mma_async.sync.aligned." shape ".f32." type "." type " {" VN_WGMMA_NAMES_##count "}, " \
               tile_a ", " tile_b ", add, 1, 1, 0, 0;\n}"                                                   \
               : VN_WGMMA_SUMS_##count(d, 0)                                                                \
               : "l"(a), "l"(b), "r"(static_cast<int>(add))                                                 \
               : "memory")
#define VN_WGMMA_ROWS_OF(type)                                               \
  if constexpr (kCount == 4) {                                               \
    VN_WGMMA_ROWS(type, 4, "m64n8k16", "%4", "%5", "%6");                    \
  } else if constexpr (kCount == 8) {                                        \
    VN_WGMMA_ROWS(type, 8, "m64n16k16", "%8", "%9", "%10");                  \
  } else if constexpr (kCount == 16) {                                       \
    VN_WGMMA_ROWS(type, 16, "m64n32k16", "%16", "%17", "%18");               \
  } else if constexpr (kCount == 24) {                                       \
    VN_WGMMA_ROWS(type, 24, "m64n48k16", "%24", "%25", "%26");               \
  } else if constexpr (kCount == 32) {                                       \
    VN_WGMMA_ROWS(type, 32, "m64n64k16", "%32", "%33", "%34");               \
  } else {                                                                   \
    static_assert(kCount == 64, "8, 16, 32, 48, 64 or 128 rows of B");           \
    VN_WGMMA_ROWS(type, 64, "m64n128k16", "%64", "%65", "%66");              \
  }

template <typename T, int kCount>
__device__ inline void multiply_rows(float (&d)[kCount], uint64_t a, uint64_t b, bool add) {
  if constexpr (std::is_same_v<T, __half>) {
    VN_WGMMA_ROWS_OF("f16")
  } else {
    VN_WGMMA_ROWS_OF("bf16")
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
#undef VN_WGMMA_ROWS_OF
#undef VN_WGMMA_ROWS
#undef VN_WGMMA_NAMES_64
#undef VN_WGMMA_NAMES_32
#undef VN_WGMMA_NAMES_16
#undef VN_WGMMA_NAMES_8
#undef VN_WGMMA_NAMES_4
#undef VN_WGMMA_SUMS_64
#undef VN_WGMMA_SUMS_32
#undef VN_WGMMA_SUMS_16
#undef VN_WGMMA_SUMS_8
#undef VN_WGMMA_SUMS_4

}  // namespace vn::cuda::wgmma
