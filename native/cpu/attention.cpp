// Paged attention: cuts the batch into units of attention_kernels.h and shares them among the threads.
// out = softmax(softcap(q k^T * scale)) v, causal, in f32. A unit takes up to kMaxRows (query token, head) pairs of one
// request and one KV head, so that they share each converted tile. With few units and long contexts (a small decode batch)
// units are cut further along the sequence: states of chunks go to the workspace and are merged afterwards in order, which
// is the same arithmetic as one thread doing them all.
#include <algorithm>
#include <cmath>

#include "cpu/attention_kernels.h"
#include "cpu/ops.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

namespace {

constexpr int64_t kUnitsPerThread = 4;           // with fewer, units are cut along the sequence
constexpr int64_t kWorthAThread = 128 * 1024;    // multiply-adds
constexpr int64_t kMaxWorkspace = 16 << 20;      // bytes; beyond, batches large enough not to need it

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Batch {
  const vn_attention_params& p;
  const AttentionKernels& kernels;
  int64_t tokens = p.q.shape[0];
  int64_t rows = p.seq_lens.shape[0];
  int64_t q_heads = p.q.shape[1];
  int64_t kv_heads = p.cache.num_heads;
  int64_t group = q_heads / kv_heads;
  int64_t heads_per_unit = std::min<int64_t>(group, kMaxRows);
  int64_t head_blocks = ceil_div(group, heads_per_unit);
  int64_t tokens_per_unit = kMaxRows / heads_per_unit;
  // Row r's units begin at query_start[r] / tokens_per_unit + r: always enough, some empty, and no list is needed.
  int64_t token_blocks = tokens / tokens_per_unit + rows;
  int64_t units = token_blocks * kv_heads * head_blocks;

  int64_t query_start(int64_t row) const { return std::clamp<int64_t>(int_at(p.query_start, row), 0, tokens); }
  int64_t first_block(int64_t row) const { return query_start(row) / tokens_per_unit + row; }

  int64_t row_of_block(int64_t block) const {
    int64_t low = 0, high = rows;  // first_block(low) <= block < first_block(high)
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (first_block(middle) <= block ? low : high) = middle;
    }
    return low;
  }

  // Describes unit `index`; false if it is empty. Sets the first token and head.
  bool describe(int64_t index, AttentionUnit& u, int64_t& token, int64_t& head) const {
    const int64_t head_block = index % head_blocks;
    const int64_t kv_head = index / head_blocks % kv_heads;
    const int64_t block = index / head_blocks / kv_heads;
    const int64_t row = row_of_block(block);
    const int64_t length = int_at(p.seq_lens, row);
    const int64_t begin = query_start(row), end = query_start(row + 1);
    // Tokens before position 0 do not exist (a length below the query's: only in a flagged row).
    const int64_t zero = end - length;
    token = begin + (block - first_block(row)) * tokens_per_unit;
    const int64_t token_end = std::min(token + tokens_per_unit, end);
    token = std::max(token, zero);
    if (length <= 0 || token >= token_end) return false;
    head = kv_head * group + head_block * heads_per_unit;
    u.tokens = static_cast<int32_t>(token_end - token);
    u.heads = static_cast<int32_t>(std::min(heads_per_unit, group - head_block * heads_per_unit));
    u.position = token - zero;
    u.q = row_of(p.q, token, head);
    u.out = row_of(p.out, token, head);
    const int64_t size = dtype_size(p.cache.dtype);
    u.key.base = static_cast<const char*>(p.cache.key) + kv_head * p.cache.key_head_stride * size;
    u.value.base = static_cast<const char*>(p.cache.value) + kv_head * p.cache.value_head_stride * size;
    const int64_t request = int_at(p.step_rows, row, 0);
    u.table = in_range(request, p.block_table.shape[0]) ? &int_at(p.block_table, request, 0) : nullptr;
    return true;
  }

  // What all units share.
  AttentionUnit common() const {
    const vn_kv_cache& cache = p.cache;
    const int64_t size = dtype_size(cache.dtype), q_size = dtype_size(p.q.dtype), out_size = dtype_size(p.out.dtype);
    AttentionUnit u{};
    u.q_dtype = p.q.dtype;
    u.out_dtype = p.out.dtype;
    u.q_token_stride = p.q.stride[0] * q_size;
    u.q_head_stride = p.q.stride[1] * q_size;
    u.out_token_stride = p.out.stride[0] * out_size;
    u.out_head_stride = p.out.stride[1] * out_size;
    u.window = p.window;
    u.scale = (p.scale == 0.0f ? 1.0f / std::sqrt(static_cast<float>(cache.key_dim)) : p.scale) * cache.key_scale;
    u.value_scale = cache.value_scale;
    u.softcap = p.softcap;
    u.key = {nullptr, cache.key_block_stride * size, cache.key_slot_stride * size, cache.key_dim};
    u.value = {nullptr, cache.value_block_stride * size, cache.value_slot_stride * size, cache.value_dim};
    u.cache_dtype = cache.dtype;
    u.block_size = cache.block_size;
    u.num_blocks = cache.num_blocks;
    u.table_stride = p.block_table.stride[1];
    u.table_size = p.block_table.shape[1];
    return u;
  }

  void merge_head(int64_t token, int64_t head, const float* partial, int64_t chunks) const {
    // The row that holds this token, by its units.
    int64_t low = 0, high = rows;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (query_start(middle) <= token ? low : high) = middle;
    }
    const int64_t end_token = query_start(low + 1);
    const int64_t end = int_at(p.seq_lens, low) - end_token + token + 1;
    if (token >= end_token || end <= 0) return;
    const int64_t first = p.window > 0 ? std::max<int64_t>(0, end - p.window) / kChunk : 0;
    const float* states = partial + ((token * q_heads + head) * chunks + first) * partial_floats(p.cache.value_dim);
    kernels.merge(states, ceil_div(end, kChunk) - first, p.cache.value_dim, p.cache.value_scale, row_of(p.out, token, head),
                  p.out.dtype);
  }
};

int64_t partial_bytes(int64_t tokens, int64_t q_heads, int64_t chunks, int64_t value_dim) {
  return tokens * q_heads * chunks * partial_floats(value_dim) * static_cast<int64_t>(sizeof(float));
}

}  // namespace

void attention_paged(Device& device, const vn_attention_params& p) {
  const Batch batch{p, attention_kernels(device.isa)};
  if (batch.tokens == 0 || batch.rows == 0 || p.cache.num_blocks == 0) return;
  int64_t longest = 0, seen = 0;
  for (int64_t r = 0; r < batch.rows; ++r) {
    const int64_t length = std::max(0, int_at(p.seq_lens, r));
    longest = std::max(longest, length);
    seen += length * std::max<int64_t>(0, batch.query_start(r + 1) - batch.query_start(r));
  }
  const int64_t work = seen * batch.q_heads * (p.cache.key_dim + p.cache.value_dim);
  const int64_t chunks = ceil_div(longest, kChunk);
  const bool parallel = work > kWorthAThread && device.pool.size() > 1;
  const bool split = parallel && chunks > 1 && batch.units < kUnitsPerThread * device.pool.size() &&
                     partial_bytes(batch.tokens, batch.q_heads, chunks, p.cache.value_dim) <= p.workspace_bytes;
  const AttentionUnit common = batch.common();
  const int64_t pieces = split ? chunks : 1;
  const int64_t items = batch.units * pieces;
  auto* partial = static_cast<float*>(p.workspace);
  device.pool.parallel_for(items, parallel ? 1 : items, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      AttentionUnit u = common;
      int64_t token, head;
      // From the end: a prompt's last tokens see most, and long units should not start last.
      if (!batch.describe((items - 1 - item) / pieces, u, token, head)) continue;
      if (split) {
        u.chunk = (items - 1 - item) % pieces;
        const int64_t state = partial_floats(p.cache.value_dim);
        u.partial_head_stride = chunks * state;
        u.partial_token_stride = batch.q_heads * u.partial_head_stride;
        u.partial = partial + token * u.partial_token_stride + head * u.partial_head_stride + u.chunk * state;
        if (u.chunk * kChunk >= u.position + u.tokens) continue;
      }
      batch.kernels.unit(u);
    }
  });
  if (!split) return;
  const int64_t heads = batch.tokens * batch.q_heads;
  device.pool.parallel_for(heads, std::max<int64_t>(1, heads / device.pool.size()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) batch.merge_head(i / batch.q_heads, i % batch.q_heads, partial, chunks);
  });
}

int64_t attention_workspace_size(Device&, int64_t max_tokens, int32_t q_heads, int32_t value_dim, int64_t max_seq_len) {
  const int64_t one = partial_bytes(1, q_heads, ceil_div(max_seq_len, kChunk), value_dim);
  return std::max(one, std::min(one * max_tokens, kMaxWorkspace));
}

}  // namespace vn::cpu
