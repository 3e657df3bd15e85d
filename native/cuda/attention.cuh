// Device helpers that the attention kernels share: which rows and positions there are, where a position lies in the cache,
// and the softmax in base 2.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "core/dtype.h"
#include "cuda/attention.h"
#include "cuda/fp8.cuh"
#include "vllm_native.h"

namespace vn::cuda {

constexpr float kLog2OfE = 1.4426950408889634f;

// A row of the step: query tokens [begin, end) of the batch, at the end of a sequence of `length` tokens.
struct RowRange {
  int begin, end, length;

  __device__ int queries() const { return end - begin; }
  // Position of the row's first token; negative only in a flagged row, whose tokens before position 0 do not exist.
  __device__ int first_position() const { return length - (end - begin); }
};

__device__ inline int clamped_start(const AttentionArgs& a, int row) {
  return min(max(a.query_start[row], 0), a.tokens);
}

__device__ inline RowRange row_range(const AttentionArgs& a, int row) {
  return {clamped_start(a, row), clamped_start(a, row + 1), a.seq_lens[row]};
}

// Whether the split-KV kernel takes this row; else the tiled (or plain) kernel does.
__device__ inline bool is_decode_row(const AttentionArgs& a, const RowRange& row) {
  return is_short(row.queries(), a.group);
}

// First position that a token at `position` sees.
__device__ inline int first_seen(const AttentionArgs& a, int position) {
  return a.window > 0 ? max(0, position - a.window + 1) : 0;
}

// The block table of a row; null when the request row is outside the tables: every position then reads block 0.
__device__ inline const int32_t* table_of(const AttentionArgs& a, int row) {
  const int32_t request = a.step_rows[4 * static_cast<int64_t>(row)];
  if (request < 0 || request >= a.table_rows) return nullptr;
  return a.block_table + request * a.table_row_stride;
}

// The block id at an index of the table; ids outside the pool are read as block 0.
__device__ inline int block_at(const AttentionArgs& a, const int32_t* table, int index) {
  const int32_t id = table && index < a.table_width ? __ldg(table + index) : 0;
  return id >= 0 && id < a.num_blocks ? id : 0;
}

__device__ inline float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// tanh with an absolute error near 1e-7 (tanh.approx has 5e-4, which a cap of 50 would make visible).
__device__ inline float tanh_fast(float x) { return 1.0f - __fdividef(2.0f, 1.0f + exp2_fast(2.0f * kLog2OfE * x)); }

// What turns q k^T into exponents of 2.
struct ScoreScale {
  float factor;  // without a cap: scale * log2(e); with one: scale / cap
  float cap;     // 0 = off; else cap * log2(e)

  __device__ explicit ScoreScale(const AttentionArgs& a)
      : factor(a.softcap > 0.0f ? a.scale / a.softcap : a.scale * kLog2OfE),
        cap(a.softcap > 0.0f ? a.softcap * kLog2OfE : 0.0f) {}
  __device__ float operator()(float score) const {
    return cap > 0.0f ? cap * tanh_fast(score * factor) : score * factor;
  }
};

// 2^(x - base), 0 where nothing was seen.
__device__ inline float weight_of(float x, float base) { return x == -INFINITY ? 0.0f : exp2_fast(x - base); }

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline float to_float(e4m3 x) { return e4m3_value(x.code); }

template <typename T>
__device__ inline T from_float(float x) {
  if constexpr (std::is_same_v<T, __half>) return __float2half_rn(x);
  if constexpr (std::is_same_v<T, __nv_bfloat16>) return __float2bfloat16_rn(x);
  if constexpr (std::is_same_v<T, float>) return x;
}

}  // namespace vn::cuda
