// vn_attention_paged on CUDA: reads the arguments, and chooses kernels from what the host knows (bounds, dtypes, alignment).
// Each row of a batch is computed by exactly one kernel; rows choose on the device, so that a captured graph stays right
// when lengths change.
//
// On a batch-invariant device one kernel computes every row, long or short: the tiled one where it was built for the dtypes and
// dimensions, else the plain one. Both add up a token's keys in tiles at fixed positions of the sequence, in order, each
// query by itself, so that neither its neighbours nor the cutting into chunks can show; the split-KV kernel cuts where
// the batch's total length says. The price is decode over long contexts, which one block does for each row and KV head.
#include "cuda/attention.h"

#include <algorithm>
#include <cmath>

#include "core/dtype.h"
#include "cuda/check.h"
#include "cuda/dispatch.cuh"
#include "cuda/ops.h"
#include "cuda/tensor_maps.h"

namespace vn::cuda {
namespace {

// vn_attention_params.reserved of tests and benchmarks: the tiled kernel for long rows, or an error where it cannot.
enum Force : int32_t { kAny = 0, kMmaSync = 1, kWgmma = 2 };

constexpr int64_t kCounterBytes = 16;  // at the end of the workspace

// The kernels for short and for long rows have it one after the other.
int64_t partial_bytes(int processors, int32_t value_dim) {
  return std::max(decode_partial_bytes(processors, value_dim), split_partial_bytes(processors, value_dim));
}

AttentionArgs args_of(const vn_attention_params& p) {
  AttentionArgs a{};
  const vn_kv_cache& cache = p.cache;
  a.q = p.q.data;
  a.out = p.out.data;
  a.q_token_stride = p.q.stride[0];
  a.q_head_stride = p.q.stride[1];
  a.out_token_stride = p.out.stride[0];
  a.out_head_stride = p.out.stride[1];
  a.q_dtype = p.q.dtype;
  a.out_dtype = p.out.dtype;
  a.cache_dtype = cache.dtype;
  a.query_start = static_cast<const int32_t*>(p.query_start.data);
  a.seq_lens = static_cast<const int32_t*>(p.seq_lens.data);
  a.step_rows = static_cast<const int32_t*>(p.step_rows.data);
  a.block_table = static_cast<const int32_t*>(p.block_table.data);
  a.table_row_stride = p.block_table.stride[0];
  a.table_rows = static_cast<int32_t>(p.block_table.shape[0]);
  a.table_width = static_cast<int32_t>(p.block_table.shape[1]);
  a.key = cache.key;
  a.value = cache.value;
  a.key_block_stride = cache.key_block_stride;
  a.key_head_stride = cache.key_head_stride;
  a.key_slot_stride = cache.key_slot_stride;
  a.value_block_stride = cache.value_block_stride;
  a.value_head_stride = cache.value_head_stride;
  a.value_slot_stride = cache.value_slot_stride;
  a.num_blocks = static_cast<int32_t>(cache.num_blocks);
  a.block_size = cache.block_size;
  a.tokens = static_cast<int32_t>(p.q.shape[0]);
  a.rows = static_cast<int32_t>(p.seq_lens.shape[0]);
  a.q_heads = static_cast<int32_t>(p.q.shape[1]);
  a.kv_heads = cache.num_heads;
  a.group = a.q_heads / a.kv_heads;
  a.key_dim = cache.key_dim;
  a.value_dim = cache.value_dim;
  a.window = p.window;
  a.max_seq_len = p.max_seq_len;
  a.max_prefill_seq_len = p.max_prefill_seq_len > 0 ? p.max_prefill_seq_len : p.max_seq_len;
  a.max_query_len = p.max_query_len > 0 ? std::min(p.max_query_len, a.tokens) : a.tokens;
  a.scale = (p.scale == 0.0f ? 1.0f / std::sqrt(static_cast<float>(cache.key_dim)) : p.scale) * cache.key_scale;
  a.value_scale = cache.value_scale;
  a.softcap = p.softcap;
  return a;
}

[[noreturn]] void cannot(const char* kernel, const AttentionArgs& a) {
  fail(VN_UNSUPPORTED, "attention_paged: the %s kernel was asked for, it does not take %s heads of %d and %d in blocks of %d",
       kernel, dtype_name(a.cache_dtype), a.key_dim, a.value_dim, a.block_size);
}

// splits: whether K and V are divided among blocks, which makes the Hopper kernel the faster one even for half a tile.
bool prefers_sm90(const AttentionArgs& a, int32_t force, const DeviceState& state, bool splits) {
  const bool can = prefill_sm90_supports(a, state.capability);
  switch (force) {
    case kAny: return can && (splits || prefill_sm90_fills(a)) && !state.deterministic;
    case kMmaSync:
      if (!prefill_supports(a)) cannot("mma.sync", a);
      return false;
    case kWgmma:
      if (!can) cannot("wgmma", a);
      return true;
    default: fail(VN_INVALID_ARGUMENT, "attention_paged: reserved is %d, expected 0", force);
  }
}

// Whether the split-KV kernel may find a row. Where so many tokens are no sum of such rows it is not asked; should the batch
// have padding and a short row after all, the kernel for long rows takes it too.
bool may_have_short_rows(const AttentionArgs& a) {
  if (is_short(a.max_query_len, a.group)) return true;
  return a.tokens <= static_cast<int64_t>(a.rows - 1) * a.max_query_len + std::max(1, kDecodeRows / a.group);
}

// Whether long rows may be few tiles behind long contexts, which the kernels that divide K and V among blocks are for: the
// tokens beyond one a row are too few tiles of 128 packed rows to fill the GPU. Below so many positions the merge is all that
// they add.
bool may_be_few_tiles(const AttentionArgs& a, int processors) {
  constexpr int kLongContext = 1024;
  const int64_t packed = (static_cast<int64_t>(a.tokens) - std::min(a.rows, a.tokens)) * a.group;
  return a.max_prefill_seq_len >= kLongContext && 4 * packed * a.kv_heads <= int64_t{3} * split_tile_rows(a.key_dim) * processors;
}

// Blocks of a team (attention_split.cuh): one for each tile of the longest row, or of an even part of them; that is if most
// tokens may be its own, since rows with fewer tiles leave members idle.
int split_team(const AttentionArgs& a) {
  constexpr int kLargestTeam = 16;
  if (2 * (int64_t{a.max_query_len} - 1) < int64_t{a.tokens} - a.rows) return 1;
  const int rows = split_tile_rows(a.key_dim);
  const auto tiles = static_cast<int>((int64_t{a.max_query_len} * a.group + rows - 1) / rows);
  const int teams = (tiles + kLargestTeam - 1) / kLargestTeam;
  return (tiles + teams - 1) / teams;
}

// The rows that the split-KV kernel leaves, or all of them.
void launch_long_rows(AttentionArgs& a, const Stream& stream, int32_t force, int processors) {
  DeviceState& state = *stream.device.state;
  const bool splits = !state.deterministic && may_be_few_tiles(a, processors);
  if (splits) a.split_team = std::min(split_team(a), processors);
  if (prefers_sm90(a, force, state, splits)) {
    splits ? launch_attention_prefill_sm90_split(a, *state.tensor_maps, processors, stream.handle)
           : launch_attention_prefill_sm90(a, *state.tensor_maps, processors, stream.handle);
  } else if (prefill_supports(a)) {
    splits ? launch_attention_prefill_split(a, processors, stream.handle) : launch_attention_prefill(a, stream.handle);
  } else {
    launch_attention_plain(a, stream.handle);
  }
}

}  // namespace

void attention_paged(const Stream& stream, const vn_attention_params& p) {
  AttentionArgs args = args_of(p);
  if (args.tokens == 0 || args.rows == 0 || args.q_heads == 0) return;
  const int processors = stream.device.state->sms;
  args.shared_limit = device_attribute(stream.device.ordinal, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  args.overlap = stream.device.state->overlaps_kernels;
  args.partials = static_cast<float*>(p.workspace);
  args.arrivals = stream.counters;
  args.counter = reinterpret_cast<uint32_t*>(static_cast<char*>(p.workspace) + partial_bytes(processors, args.value_dim));

  const bool decode = !stream.device.state->deterministic && decode_supports(args) && may_have_short_rows(args);
  const bool all_decode = decode && is_short(args.max_query_len, args.group);
  if (decode) launch_attention_decode(args, processors, stream.handle);
  if (all_decode) return;
  args.decode_rows_elsewhere = decode;
  launch_long_rows(args, stream, p.reserved, processors);
}

int64_t attention_workspace_size(const Device& device, int64_t max_tokens, int32_t, int32_t value_dim, int64_t) {
  if (max_tokens == 0) return 0;
  return partial_bytes(device.state->sms, value_dim) + kCounterBytes;
}

}  // namespace vn::cuda
