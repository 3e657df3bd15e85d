// Tiles of K and V in shared memory: [token][dim] as the cache holds them, fetched asynchronously in chunks of 16 bytes that
// are swizzled so that ldmatrix meets no bank twice; and their way into the fragments of an mma.
//
// 16-bit caches are multiplied as they are. An fp8 cache's codes are multiplied as F16, which holds each of them exactly,
// whatever the dtype of q; they become F16 when a fragment is made, so that a tile costs half the bytes everywhere before.
// An 8x8 matrix of ldmatrix holds 16 codes of a token, four neighbouring ones in each lane, and so the dimensions of a group
// of 16 stand in another order in fp8 fragments: a lane's k of q k^T are dimensions 4 t .. 4 t + 3 (attention_queries.cuh
// brings q into this order), and the columns of the two accumulators of p v are the even and the odd dimensions.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/attention.cuh"
#include "cuda/attention_mma.cuh"
#include "cuda/check.h"
#include "cuda/warp_mma.cuh"

namespace vn::cuda {

constexpr int kWarpTokens = 16;  // tokens of K and V that a warp fetches at a time

template <typename Element>
constexpr int kChunkElements = kChunkBytes / static_cast<int>(sizeof(Element));

template <typename Cache>
constexpr bool kIsFp8 = std::is_same_v<Cache, e4m3>;

// What mma multiplies when q is T.
template <typename T, typename Cache>
using Operand = std::conditional_t<kIsFp8<Cache>, __half, T>;

// Groups of 16 dimensions that one ldmatrix brings.
template <typename Cache>
constexpr int kGroupsPerLoad = kIsFp8<Cache> ? 2 : 1;

// Byte offset of a chunk in a tile. Eight neighbouring rows at one chunk, and eight neighbouring chunks of one row, fall on
// eight different groups of banks.
template <int kRowBytes>
__device__ inline uint32_t tile_offset(int row, int chunk) {
  int swizzle;
  if constexpr (kRowBytes % 128 == 0) {
    swizzle = row & 7;
  } else if constexpr (kRowBytes % 128 == 64) {
    swizzle = row >> 1 & 3;
  } else {
    static_assert(kRowBytes % 64 == 32, "a multiple of 32 bytes");
    swizzle = row >> 2 & 1;
  }
  return static_cast<uint32_t>(row * kRowBytes + (chunk ^ swizzle) * kChunkBytes);
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
template <typename Cache, int kDim>
__device__ inline void fetch_rows(uint32_t tile, const Cache* base, int64_t offset, bool seen) {
  constexpr int kChunks = kDim / kChunkElements<Cache>;
  static_assert(kWarpTokens * kChunks % 32 == 0);
  constexpr int kPasses = kWarpTokens * kChunks / 32;
  const int lane = threadIdx.x % 32;
  const unsigned wanted = __ballot_sync(kAllLanes, seen);
#pragma unroll
  for (int i = 0; i < kPasses; ++i) {
    const int index = i * 32 + lane;
    const int row = index / kChunks, chunk = index % kChunks;
    const int64_t from = __shfl_sync(kAllLanes, offset, row);
    const bool take = wanted >> row & 1;
    copy_chunk(tile + tile_offset<kDim * sizeof(Cache)>(row, chunk), take ? base + from + chunk * kChunkElements<Cache> : base,
               take);
  }
}

template <typename Cache, int kDim>
__device__ inline void fetch_tokens(const AttentionArgs& a, uint32_t key_tile, uint32_t value_tile, int kv_head,
                                    const TokenPlace& place) {
  const int64_t block = place.block, slot = place.slot;
  fetch_rows<Cache, kDim>(key_tile, static_cast<const Cache*>(a.key) + kv_head * a.key_head_stride,
                          block * a.key_block_stride + slot * a.key_slot_stride, place.seen);
  fetch_rows<Cache, kDim>(value_tile, static_cast<const Cache*>(a.value) + kv_head * a.value_head_stride,
                          block * a.value_block_stride + slot * a.value_slot_stride, place.seen);
}

// B fragments of q k^T: 16 tokens x 16 dimensions for each group of a load. [0], [1]: tokens 0..7; [2], [3]: tokens 8..15.
template <typename Cache, int kDim>
__device__ inline void load_keys(uint32_t (&key)[kGroupsPerLoad<Cache>][4], uint32_t tile, int first_token, int load) {
  const int lane = threadIdx.x % 32;
  if constexpr (kIsFp8<Cache>) {
    uint32_t codes[4];  // tokens 0..7 and 8..15 of the first group, then of the second
    load_matrices(codes, tile + tile_offset<kDim>(first_token + lane % 16, 2 * load + lane / 16));
#pragma unroll
    for (int group = 0; group < 2; ++group) {
      e4m3x4_to_half2(codes[2 * group], key[group][0], key[group][1]);
      e4m3x4_to_half2(codes[2 * group + 1], key[group][2], key[group][3]);
    }
  } else {
    load_matrices(key[0], tile + tile_offset<2 * kDim>(first_token + lane % 8 + lane / 16 * 8, 2 * load + lane / 8 % 2));
  }
}

// B fragments of p v: 16 tokens x 16 dimensions for each group of a load. [0], [1]: the first eight columns, dimensions 0..7
// or the even ones of an fp8 cache; [2], [3]: the others.
template <typename Cache, int kDim>
__device__ inline void load_values(uint32_t (&value)[kGroupsPerLoad<Cache>][4], uint32_t tile, int first_token, int load) {
  const int lane = threadIdx.x % 32;
  if constexpr (kIsFp8<Cache>) {
    // Transposed in pairs: a word holds dimensions 2 g and 2 g + 1 of token 2 t, then of token 2 t + 1.
    uint32_t codes[4];
    load_matrices_transposed(codes, tile + tile_offset<kDim>(first_token + lane % 16, 2 * load + lane / 16));
#pragma unroll
    for (int group = 0; group < 2; ++group) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint32_t by_dimension = __byte_perm(codes[2 * group + half], 0, 0x3120);
        e4m3x4_to_half2(by_dimension, value[group][half], value[group][2 + half]);
      }
    }
  } else {
    load_matrices_transposed(value[0], tile + tile_offset<2 * kDim>(first_token + lane % 16, 2 * load + lane / 16));
  }
}

// Writes a lane's sums of one of its two rows (half 0: row g, 1: row g + 8) times factor to the row at `out`.
template <typename Cache, typename Out, int kSums>
__device__ inline void store_sums(Out* out, const float (&sum)[kSums][4], int half, float factor) {
  const auto put = [](Out* at, float x, float y) {
    if constexpr (std::is_same_v<Out, float>) {
      *reinterpret_cast<float2*>(at) = make_float2(x, y);
    } else {
      *reinterpret_cast<uint32_t*>(at) = pack<Out>(x, y);
    }
  };
  const int t = threadIdx.x % 4;
#pragma unroll
  for (int group = 0; group < kSums / 2; ++group) {
    const float first[2] = {sum[2 * group][2 * half] * factor, sum[2 * group][2 * half + 1] * factor};
    const float second[2] = {sum[2 * group + 1][2 * half] * factor, sum[2 * group + 1][2 * half + 1] * factor};
    if constexpr (kIsFp8<Cache>) {
      put(out + 16 * group + 4 * t, first[0], second[0]);
      put(out + 16 * group + 4 * t + 2, first[1], second[1]);
    } else {
      put(out + 16 * group + 2 * t, first[0], first[1]);
      put(out + 16 * group + 8 + 2 * t, second[0], second[1]);
    }
  }
}

// Lets a kernel have this much dynamic shared memory, on the current device.
template <typename Kernel>
void allow_shared_memory(Kernel* kernel, int bytes) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "attention_paged: cudaFuncSetAttribute");
}

// Calls body with the head dimension as a constant; false if the tuned kernels were not built for it.
template <typename Body>
bool with_head_dim(int dim, Body&& body) {
  switch (dim) {
    case 64: body(std::integral_constant<int, 64>()); return true;
    case 96: body(std::integral_constant<int, 96>()); return true;
    case 128: body(std::integral_constant<int, 128>()); return true;
    case 256: body(std::integral_constant<int, 256>()); return true;
    default: return false;
  }
}

// Whether the tuned kernels may move 16 bytes at a time, read and write one 16-bit dtype, and find that or fp8 in the cache.
inline bool aligned_for_tiles(const AttentionArgs& a) {
  const auto vector = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % kChunkBytes == 0; };
  const auto whole = [](int64_t stride) { return stride % kChunkElements<__half> == 0; };
  const int64_t cache_chunk = a.cache_dtype == VN_DTYPE_F8_E4M3 ? kChunkElements<e4m3> : kChunkElements<__half>;
  const auto whole_in_cache = [&](int64_t stride) { return stride % cache_chunk == 0; };
  return (a.q_dtype == VN_DTYPE_F16 || a.q_dtype == VN_DTYPE_BF16) && a.out_dtype == a.q_dtype &&
         (a.cache_dtype == a.q_dtype || a.cache_dtype == VN_DTYPE_F8_E4M3) && a.key_dim == a.value_dim && vector(a.q) &&
         vector(a.out) && vector(a.key) && vector(a.value) && whole(a.q_token_stride) && whole(a.q_head_stride) &&
         whole(a.out_token_stride) && whole(a.out_head_stride) && whole_in_cache(a.key_block_stride) &&
         whole_in_cache(a.key_head_stride) && whole_in_cache(a.key_slot_stride) && whole_in_cache(a.value_block_stride) &&
         whole_in_cache(a.value_head_stride) && whole_in_cache(a.value_slot_stride);
}

}  // namespace vn::cuda
