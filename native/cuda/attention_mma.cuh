// Warp-level pieces of the tuned attention kernels: mma.m16n8k16 on F16 or BF16, asynchronous copies of 16 bytes, and tiles of
// K and V in shared memory, [token][dim] with their 16-byte chunks swizzled so that ldmatrix meets no bank twice.
// Fragments: lane = 4 g + t. An accumulator c[4] holds rows g (c[0], c[1]) and g + 8 (c[2], c[3]), columns 2 t and 2 t + 1.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/attention.cuh"
#include "cuda/check.h"

namespace vn::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kChunkBytes = 16;
constexpr int kChunkElements = 8;
constexpr int kWarpTokens = 16;  // tokens of K and V that a warp fetches at a time

template <typename T>
__device__ inline void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (std::is_same_v<T, __half>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

// Two floats, rounded; the first in the lower half.
template <typename T>
__device__ inline uint32_t pack(float low, float high) {
  if constexpr (std::is_same_v<T, __half>) {
    const __half2 x = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&x);
  } else {
    const __nv_bfloat162 x = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&x);
  }
}

__device__ inline void load_matrices(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ inline void load_matrices_transposed(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// 16 bytes from global to shared memory, past the first-level cache; zeros when not wanted.
__device__ inline void copy_chunk(uint32_t shared_address, const void* source, bool wanted) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address), "l"(source),
               "r"(wanted ? kChunkBytes : 0)
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most kPending groups of this thread are under way.
template <int kPending>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

__device__ inline uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// Byte offset of a chunk in a tile whose rows have kDim elements. Eight neighbouring rows at one chunk, and eight
// neighbouring chunks of one row, fall on eight different groups of banks.
template <int kDim>
__device__ inline uint32_t tile_offset(int row, int chunk) {
  constexpr int kRowBytes = 2 * kDim;
  if constexpr (kRowBytes % 128 == 0) {
    return static_cast<uint32_t>(row * kRowBytes + (chunk ^ (row & 7)) * kChunkBytes);
  } else {
    static_assert(kRowBytes % 128 == 64, "a multiple of 64 bytes");
    return static_cast<uint32_t>(row * kRowBytes + (chunk ^ ((row >> 1) & 3)) * kChunkBytes);
  }
}

// Where the K and V of a lane's token lie: lanes 0..15 of a warp hold the 16 tokens that it fetches. Found in two steps, so
// that the block table's latency passes during the tile before.
struct TokenPlace {
  int block = 0, slot = 0;
  bool seen = false;

  // position: of this lane's token; [low, high): positions that anybody sees.
  __device__ void look_up(const AttentionArgs& a, const int32_t* table, int position, int low, int high) {
    seen = position >= low && position < high;
    if (!seen) return;
    block = block_at(a, table, position / a.block_size);
    slot = position % a.block_size;
  }
};

// Fetches 16 tokens' rows of K or V into rows [0, 16) of `tile`. offset: elements, of the lane's token (lanes 0..15).
// Tokens that nobody sees become zeros: what lies in stale slots, even NaN, must not reach the sums.
template <typename T, int kDim>
__device__ inline void fetch_rows(uint32_t tile, const T* base, int64_t offset, bool seen) {
  constexpr int kChunks = kDim / kChunkElements;
  constexpr int kPasses = kWarpTokens * kChunks / 32;
  const int lane = threadIdx.x % 32;
  const unsigned wanted = __ballot_sync(kAllLanes, seen);
#pragma unroll
  for (int i = 0; i < kPasses; ++i) {
    const int index = i * 32 + lane;
    const int row = index / kChunks, chunk = index % kChunks;
    const int64_t from = __shfl_sync(kAllLanes, offset, row);
    const bool take = wanted >> row & 1;
    copy_chunk(tile + tile_offset<kDim>(row, chunk), take ? base + from + chunk * kChunkElements : base, take);
  }
}

template <typename T, int kDim>
__device__ inline void fetch_tokens(const AttentionArgs& a, uint32_t key_tile, uint32_t value_tile, int kv_head,
                                    const TokenPlace& place) {
  const int64_t block = place.block, slot = place.slot;
  fetch_rows<T, kDim>(key_tile, static_cast<const T*>(a.key) + kv_head * a.key_head_stride,
                      block * a.key_block_stride + slot * a.key_slot_stride, place.seen);
  fetch_rows<T, kDim>(value_tile, static_cast<const T*>(a.value) + kv_head * a.value_head_stride,
                      block * a.value_block_stride + slot * a.value_slot_stride, place.seen);
}

// B fragments of q k^T: 16 tokens x 16 dimensions. r[0], r[1]: tokens 0..7; r[2], r[3]: tokens 8..15.
template <int kDim>
__device__ inline void load_key(uint32_t (&r)[4], uint32_t tile, int first_token, int step) {
  const int lane = threadIdx.x % 32;
  load_matrices(r, tile + tile_offset<kDim>(first_token + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2));
}

// B fragments of p v: 16 tokens x 16 dimensions. r[0], r[1]: dimensions 0..7; r[2], r[3]: dimensions 8..15.
template <int kDim>
__device__ inline void load_value(uint32_t (&r)[4], uint32_t tile, int first_token, int pair) {
  const int lane = threadIdx.x % 32;
  load_matrices_transposed(r, tile + tile_offset<kDim>(first_token + lane % 16, 2 * pair + lane / 16));
}

// Over the four lanes that share a row of an accumulator.
__device__ inline float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
__device__ inline float row_sum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

// Lets a kernel have this much dynamic shared memory, on the current device.
template <typename Kernel>
void allow_shared_memory(Kernel* kernel, int bytes) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "attention_paged: cudaFuncSetAttribute");
}

// Whether the tuned kernels may move 16 bytes at a time, and read and write one 16-bit dtype.
inline bool aligned_for_tiles(const AttentionArgs& a) {
  const auto vector = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % kChunkBytes == 0; };
  const auto whole = [](int64_t stride) { return stride % kChunkElements == 0; };
  return (a.q_dtype == VN_DTYPE_F16 || a.q_dtype == VN_DTYPE_BF16) && a.out_dtype == a.q_dtype &&
         a.cache_dtype == a.q_dtype && a.key_dim == a.value_dim && vector(a.q) && vector(a.out) && vector(a.key) &&
         vector(a.value) && whole(a.q_token_stride) && whole(a.q_head_stride) && whole(a.out_token_stride) &&
         whole(a.out_head_stride) && whole(a.key_block_stride) && whole(a.key_head_stride) &&
         whole(a.key_slot_stride) && whole(a.value_block_stride) && whole(a.value_head_stride) &&
         whole(a.value_slot_stride);
}

}  // namespace vn::cuda
