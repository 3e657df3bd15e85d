// Paged attention on CUDA: what its kernels share with the dispatcher in attention.cpp.
// A batch's rows (requests of the step) are divided on the device, by row_kind: short rows go to the split-KV kernel
// (attention_decode.cu), long ones to a tiled kernel (attention_prefill.cu, on Hopper attention_prefill_sm90.cu), which divides
// K and V among blocks too where long rows are few tokens behind long contexts (attention_split.cuh);
// attention_plain.cu computes whatever the tuned kernels were not built for. The host knows bounds only: it launches what
// the bounds make possible.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace vn::cuda {

class TensorMaps;  // tensor_maps.h

constexpr int kDecodeRows = 16;       // (token, head) pairs of one KV head in a tile of the split-KV kernel: M of one mma
constexpr int kMaxDecodeGroup = 128;  // heads of a group that it takes, in several tiles that each read K and V again

// vn_attention_params in the types of the kernels; passed by value. Strides count elements.
struct AttentionArgs {
  const void* q;  // [tokens, q_heads, key_dim]
  void* out;      // [tokens, q_heads, value_dim]
  int64_t q_token_stride, q_head_stride;
  int64_t out_token_stride, out_head_stride;
  int32_t q_dtype, out_dtype, cache_dtype;

  const int32_t* query_start;  // [rows + 1]
  const int32_t* seq_lens;     // [rows]
  const int32_t* step_rows;    // [rows, 4]
  const int32_t* block_table;  // [table_rows, table_width]
  int64_t table_row_stride;
  int32_t table_rows, table_width;

  const void* key;
  const void* value;
  int64_t key_block_stride, key_head_stride, key_slot_stride;
  int64_t value_block_stride, value_head_stride, value_slot_stride;
  int32_t num_blocks, block_size;

  int32_t tokens, rows;
  int32_t q_heads, kv_heads, group;  // group = q_heads / kv_heads
  int32_t key_dim, value_dim;
  int32_t window;        // 0 = all
  int32_t max_query_len;  // a bound, at least 1
  int32_t max_seq_len;    // the same; 0: not known
  int32_t max_prefill_seq_len;  // of rows with several query tokens
  int32_t split_team;     // blocks that walk the same K and V where long rows' are divided (attention_split.cuh)
  float scale, softcap;  // scale: of q k^T with K as it is stored; softcap <= 0 = off
  float value_scale;     // of V as it is stored
  int32_t shared_limit;   // bytes of shared memory that a block may have
  bool overlap;                // the split-KV kernel may begin before the kernel ahead has ended (launch.cuh)
  bool decode_rows_elsewhere;  // plain kernel: leave the rows of the split-KV kernel alone

  float* partials;     // scratch of the kernels that divide K and V among blocks
  uint32_t* arrivals;  // zeros, which it leaves: blocks that have written their part of a (row, head), where its first block counts
  uint32_t* counter;   // scratch of the Hopper kernel for long rows: units that were drawn
};

// Whether the split-KV kernel takes rows of this many query tokens: their pairs are one tile, or one token of a large group.
#if defined(__CUDACC__)
__host__ __device__
#endif
inline bool is_short(int queries, int group) {
  return queries == 1 ? group <= kMaxDecodeGroup : static_cast<int64_t>(queries) * group <= kDecodeRows;
}

// Whether the tuned kernels were built for these dtypes, dimensions and alignments.
bool decode_supports(const AttentionArgs& args);
bool prefill_supports(const AttentionArgs& args);
bool prefill_sm90_supports(const AttentionArgs& args, int capability);
// Whether a row of this batch may fill one of its tiles; below that the other tiled kernel is as fast.
bool prefill_sm90_fills(const AttentionArgs& args);

void launch_attention_decode(const AttentionArgs& args, int multiprocessors, cudaStream_t stream);
void launch_attention_decode_fp8(const AttentionArgs& args, int multiprocessors, cudaStream_t stream);
void launch_attention_prefill(const AttentionArgs& args, cudaStream_t stream);
void launch_attention_prefill_fp8(const AttentionArgs& args, cudaStream_t stream);
void launch_attention_prefill_sm90(AttentionArgs args, TensorMaps& maps, int multiprocessors, cudaStream_t stream);
// The same where long rows are few tiles behind long contexts (attention_split.cuh).
void launch_attention_prefill_split(const AttentionArgs& args, int multiprocessors, cudaStream_t stream);
void launch_attention_prefill_split_fp8(const AttentionArgs& args, int multiprocessors, cudaStream_t stream);
void launch_attention_prefill_sm90_split(const AttentionArgs& args, TensorMaps& maps, int multiprocessors, cudaStream_t stream);
void launch_attention_plain(const AttentionArgs& args, cudaStream_t stream);

// Scratch of the kernels that divide K and V among blocks, for any batch: partial results; and counters (stream_counters.h).
int64_t decode_partial_bytes(int multiprocessors, int32_t value_dim);
int64_t split_partial_bytes(int multiprocessors, int32_t value_dim);
// Packed rows of a tile where K and V are divided.
constexpr int split_tile_rows(int dim) { return dim <= 128 ? 128 : 64; }
int64_t decode_arrivals(int multiprocessors);

}  // namespace vn::cuda
