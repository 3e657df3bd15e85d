// The device-resident batch: applies a step's changes, derives what the model's operations read, and ends the step.
// Every number that arrives as data is checked before it becomes an index: a bad one is flagged at its row and computed as
// something harmless (id 0, slot -1), so that it can neither fault nor touch another request. All of it is O(T + R).
#include <algorithm>
#include <cstdint>

#include "cpu/ops.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

namespace {

constexpr int32_t kMaxLength = INT32_MAX;

struct Prepare {
  const vn_batch_prepare_params& p;
  int64_t max_seqs = p.computed_len.shape[0];
  int64_t max_blocks = p.block_tables.shape[2];

  int32_t& table_entry(int64_t group, int64_t request, int64_t index) const {
    const vn_tensor& t = p.block_tables;
    return static_cast<int32_t*>(t.data)[group * t.stride[0] + request * t.stride[1] + index * t.stride[2]];
  }

  void apply_updates() const {
    for (int64_t i = 0; i < p.num_row_updates; ++i) {
      const int64_t request = int_at(p.row_updates, i, 0);
      if (!in_range(request, max_seqs)) continue;
      int_at(p.computed_len, request) = int_at(p.row_updates, i, 1);
      int_at(p.last_token, request) = int_at(p.row_updates, i, 2);
    }
    for (int64_t i = 0; i < p.num_table_updates; ++i) {
      const int64_t group = int_at(p.table_updates, i, 0), request = int_at(p.table_updates, i, 1);
      const int64_t index = int_at(p.table_updates, i, 2);
      if (!in_range(group, p.num_groups) || !in_range(request, max_seqs) || !in_range(index, max_blocks)) continue;
      table_entry(group, request, index) = int_at(p.table_updates, i, 3);
    }
  }

  // The id of token i of a step row, 0 and a flag if there is none.
  int32_t token_id(int64_t request, int64_t first, int64_t i, int32_t& flags) const {
    int64_t id = -1;
    if (first == VN_LAST_TOKEN) {
      if (i == 0 && in_range(request, max_seqs)) id = int_at(p.last_token, request);
    } else if (first >= 0 && first + i < p.step_ids.shape[0]) {
      id = int_at(p.step_ids, first + i);
    }
    if (in_range(id, p.vocab_size)) return static_cast<int32_t>(id);
    flags |= VN_ROW_BAD_TOKEN;
    return 0;
  }

  int64_t slot(int64_t group, int64_t request, int64_t position, int32_t& flags) const {
    const int64_t block_size = p.block_size[group];
    const int64_t index = position / block_size;
    if (in_range(request, max_seqs) && position >= 0 && index < max_blocks) {
      const int64_t block = table_entry(group, request, index);
      if (in_range(block, p.num_blocks)) return block * block_size + position % block_size;
    }
    flags |= VN_ROW_BAD_BLOCK;
    return -1;
  }

  int64_t& slot_out(int64_t group, int64_t token) const {
    const vn_tensor& t = p.out_slot_mapping;
    return static_cast<int64_t*>(t.data)[group * t.stride[0] + token * t.stride[1]];
  }

  // Positions that every group's table can hold.
  int64_t capacity() const {
    int64_t least = kMaxLength;
    for (int32_t g = 0; g < p.num_groups; ++g) least = std::min(least, max_blocks * p.block_size[g]);
    return least;
  }

  void derive_row(int64_t row, int64_t begin, int64_t length, int64_t longest) const {
    int32_t flags = 0;
    const int64_t request = int_at(p.step_rows, row, 0), first = int_at(p.step_rows, row, 2);
    const bool known = in_range(request, max_seqs);
    const int64_t computed = known ? std::max(0, int_at(p.computed_len, request)) : 0;
    if (known && int_at(p.computed_len, request) < 0) flags |= VN_ROW_BAD_BLOCK;
    for (int64_t i = 0; i < length; ++i) {
      const int64_t token = begin + i, position = computed + i;
      int_at(p.out_token_ids, token) = token_id(request, first, i, flags);
      int_at(p.out_positions, token) = static_cast<int32_t>(std::min<int64_t>(position, kMaxLength));
      for (int32_t g = 0; g < p.num_groups; ++g) slot_out(g, token) = slot(g, request, position, flags);
    }
    // A flagged row's length stays inside its table, so that attention's loops stay bounded.
    int_at(p.out_seq_lens, row) = known ? static_cast<int32_t>(std::min(computed + length, longest)) : 0;
    int_at(p.out_row_flags, row) = flags;
  }

  void pad(int64_t begin, int64_t end) const {
    for (int64_t token = begin; token < end; ++token) {
      int_at(p.out_token_ids, token) = 0;
      int_at(p.out_positions, token) = 0;
      for (int32_t g = 0; g < p.num_groups; ++g) slot_out(g, token) = -1;
    }
  }
};

}  // namespace

void batch_prepare(Device&, const vn_batch_prepare_params& params) {
  const Prepare prepare{params};
  prepare.apply_updates();
  const int64_t rows = params.step_rows.shape[0], tokens = params.out_token_ids.shape[0];
  const int64_t longest = prepare.capacity();
  int64_t begin = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t wanted = int_at(params.step_rows, r, 1);
    const int64_t length = std::clamp<int64_t>(wanted, 0, tokens - begin);
    int_at(params.out_query_start, r) = static_cast<int32_t>(begin);
    prepare.derive_row(r, begin, length, longest);
    if (wanted != length) int_at(params.out_row_flags, r) |= VN_ROW_BAD_TOKEN;
    begin += length;
  }
  int_at(params.out_query_start, rows) = static_cast<int32_t>(begin);
  prepare.pad(begin, tokens);
}

void batch_commit(Device&, const vn_batch_commit_params& p) {
  const int64_t max_seqs = p.computed_len.shape[0];
  for (int64_t r = 0; r < p.step_rows.shape[0]; ++r) {
    const int64_t request = int_at(p.step_rows, r, 0), length = int_at(p.step_rows, r, 1);
    if (!in_range(request, max_seqs) || length < 0) continue;
    int32_t& computed = int_at(p.computed_len, request);
    computed = static_cast<int32_t>(std::min<int64_t>(computed + length, kMaxLength));
  }
  if (!p.sample_rows.data) return;
  for (int64_t s = 0; s < p.sample_rows.shape[0]; ++s) {
    const int64_t request = int_at(p.sample_rows, s, 1);
    const int32_t id = int_at(p.sampled_ids, s);
    if (int_at(p.sample_flags, s) != 0 || !in_range(request, max_seqs)) continue;
    int_at(p.last_token, request) = id;
    if (!p.counts.data || !p.sampling) continue;
    const int64_t slot = p.sampling[request].count_slot;
    if (!in_range(slot, p.counts.shape[0]) || !in_range(id, p.counts.shape[1])) continue;
    int32_t& count = int_at(p.counts, slot, id);
    if ((count & INT32_MAX) != INT32_MAX) ++count;  // bit 31 marks the prompt and stays
  }
}

}  // namespace vn::cpu
