// q as it multiplies the keys of an fp8 cache: F16, in the order of dimensions of their fragments (attention_tile.cuh).
// F16 lacks BF16's range: a BF16 row is brought into it by a power of two, which its scores are multiplied by afterwards.
// Elements down to 2^-31 of the row's largest stay exact, unless that is below 2^-46, where no score differs from 0.
#pragma once

#include "cuda/attention_tile.cuh"

namespace vn::cuda {

// Whether rows of q are scaled on their way into the operand's type.
template <typename T, typename Cache>
constexpr bool kScalesQueries = kIsFp8<Cache> && !std::is_same_v<T, Operand<T, Cache>>;

// The larger magnitude of the halves of a word and `largest`, as bits of a BF16.
__device__ inline uint32_t larger_magnitude(uint32_t largest, uint32_t word) {
  return max(largest, max(word & 0x7fffu, word >> 16 & 0x7fffu));
}

// A power of two and its inverse.
struct PowerOfTwo {
  float factor, inverse;
};

// Brings a row whose largest magnitude is this BF16 to [2^14, 2^15), but never up by more than 2^60, so that the inverse
// times any scale is not 0; rows with an infinity or NaN stay.
__device__ inline PowerOfTwo into_half_range(uint32_t largest) {
  constexpr int kBias = 127, kTarget = 14, kMostUp = 60;
  const int exponent = static_cast<int>(largest >> 7) - kBias;
  const int shift = exponent > kBias ? 0 : min(kTarget - exponent, kMostUp);
  return {__uint_as_float(static_cast<uint32_t>(kBias + shift) << 23),
          __uint_as_float(static_cast<uint32_t>(kBias - shift) << 23)};
}

__device__ inline uint32_t bf16x2_to_half2(uint32_t word, float factor) {
  return pack<__half>(__uint_as_float(word << 16) * factor, __uint_as_float(word & 0xffff0000u) * factor);
}

// Prepares kRows rows of q in shared memory, [row][dim] in swizzled chunks, for a warp that alone reads them. Lane r gets
// what the scores of row r are to be multiplied by.
template <typename T, int kDim, int kRows>
__device__ inline float prepare_queries(unsigned char* tile) {
  static_assert(kRows <= 32);
  constexpr int kChunks = kDim / kChunkElements<T>;
  const int row = threadIdx.x % 32;
  PowerOfTwo range{1.0f, 1.0f};
  if (row < kRows) {
    const auto chunk = [&](int i) { return reinterpret_cast<uint4*>(tile + tile_offset<2 * kDim>(row, i)); };
    if constexpr (kScalesQueries<T, e4m3>) {
      uint32_t largest = 0;
#pragma unroll
      for (int i = 0; i < kChunks; ++i) {
        const uint4 x = *chunk(i);
        for (const uint32_t word : {x.x, x.y, x.z, x.w}) largest = larger_magnitude(largest, word);
      }
      range = into_half_range(largest);
    }
    const auto operand = [&](uint32_t word) {
      return kScalesQueries<T, e4m3> ? bf16x2_to_half2(word, range.factor) : word;
    };
#pragma unroll
    for (int i = 0; i < kChunks; i += 2) {  // words of two dimensions: the even ones, then the odd ones
      const uint4 low = *chunk(i), high = *chunk(i + 1);
      *chunk(i) = {operand(low.x), operand(low.z), operand(high.x), operand(high.z)};
      *chunk(i + 1) = {operand(low.y), operand(low.w), operand(high.y), operand(high.w)};
    }
  }
  __syncwarp();
  return range.inverse;
}

}  // namespace vn::cuda
