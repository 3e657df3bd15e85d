// The batch's state: vn_batch_prepare, vn_batch_commit.
#include "capi/op.h"

using vn::BackendTable;
using vn::Checker;
using vn::kAny;
using vn::kI32;
using vn::kI64;
using vn::Layout;

int32_t vn_batch_prepare(vn_stream* stream, const vn_batch_prepare_params* params) {
  return vn::run_op("batch_prepare", &BackendTable::batch_prepare, stream, params,
                    [](const Checker& check, vn_batch_prepare_params& p) {
    check.range("num_groups", p.num_groups, 1, VN_MAX_KV_GROUPS);
    check.range("vocab_size", p.vocab_size, 1, INT32_MAX);
    check.range("num_blocks", p.num_blocks, 1, INT32_MAX);
    for (int32_t group = 0; group < p.num_groups; ++group) check.range("block_size", p.block_size[group], 1, 1024);
    check.tensor("step_rows", p.step_rows, kI32, {kAny, 4}, Layout::kDense);
    check.tensor("step_ids", p.step_ids, kI32, {kAny}, Layout::kDense);
    check.tensor("last_token", p.last_token, kI32, {kAny}, Layout::kDense);
    const int64_t max_seqs = p.last_token.shape[0];
    check.tensor("computed_len", p.computed_len, kI32, {max_seqs}, Layout::kDense);
    check.tensor("block_tables", p.block_tables, kI32, {p.num_groups, max_seqs, kAny}, Layout::kDense);
    check.tensor("row_updates", p.row_updates, kI32, {kAny, 4}, Layout::kDense);
    check.range("num_row_updates", p.num_row_updates, 0, p.row_updates.shape[0]);
    check.tensor("table_updates", p.table_updates, kI32, {kAny, 4}, Layout::kDense);
    check.range("num_table_updates", p.num_table_updates, 0, p.table_updates.shape[0]);
    const int64_t rows = p.step_rows.shape[0];
    check.tensor("out_token_ids", p.out_token_ids, kI32, {kAny}, Layout::kDense);
    const int64_t tokens = p.out_token_ids.shape[0];
    check.tensor("out_positions", p.out_positions, kI32, {tokens}, Layout::kDense);
    check.tensor("out_query_start", p.out_query_start, kI32, {rows + 1}, Layout::kDense);
    check.tensor("out_seq_lens", p.out_seq_lens, kI32, {rows}, Layout::kDense);
    check.tensor("out_slot_mapping", p.out_slot_mapping, kI64, {p.num_groups, tokens});
    check.tensor("out_row_flags", p.out_row_flags, kI32, {rows}, Layout::kDense);
  });
}

int32_t vn_batch_commit(vn_stream* stream, const vn_batch_commit_params* params) {
  return vn::run_op("batch_commit", &BackendTable::batch_commit, stream, params,
                    [](const Checker& check, vn_batch_commit_params& p) {
    check.tensor("step_rows", p.step_rows, kI32, {kAny, 4}, Layout::kDense);
    check.tensor("last_token", p.last_token, kI32, {kAny}, Layout::kDense);
    check.tensor("computed_len", p.computed_len, kI32, {p.last_token.shape[0]}, Layout::kDense);
    if (vn::present(p.sample_rows)) {
      check.tensor("sample_rows", p.sample_rows, kI32, {kAny, 4}, Layout::kDense);
      check.tensor("sampled_ids", p.sampled_ids, kI32, {p.sample_rows.shape[0]}, Layout::kDense);
      check.tensor("sample_flags", p.sample_flags, kI32, {p.sample_rows.shape[0]}, Layout::kDense);
    }
    if (vn::present(p.counts)) {
      check.tensor("counts", p.counts, kI32, {kAny, kAny}, Layout::kDense);
      check.pointer("sampling", p.sampling);
    }
  });
}
