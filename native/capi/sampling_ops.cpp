// The operations on logits [S, V].
#include "capi/op.h"

#include <algorithm>

using vn::BackendTable;
using vn::Checker;
using vn::kAny;
using vn::kF32;
using vn::kI32;
using vn::Layout;

namespace {
void check_logits(const Checker& check, const vn_tensor& logits) {
  check.tensor("logits", logits, kF32, {kAny, kAny});
  check.range("vocabulary", logits.shape[1], 1, 1 << 24);
}
}  // namespace

int32_t vn_logits_edit(vn_stream* stream, const vn_logits_edit_params* params) {
  return vn::run_op("logits_edit", &BackendTable::logits_edit, stream, params,
                    [](const Checker& check, vn_logits_edit_params& p) {
    check_logits(check, p.logits);
    check.tensor("positions", p.positions, kI32, {kAny, 2}, Layout::kDense);
    check.tensor("values", p.values, kF32, {kAny}, Layout::kDense);
    check.range("num_edits", p.num_edits, 0, std::min(p.positions.shape[0], p.values.shape[0]));
  });
}

int32_t vn_logits_mask(vn_stream* stream, const vn_logits_mask_params* params) {
  return vn::run_op("logits_mask", &BackendTable::logits_mask, stream, params,
                    [](const Checker& check, vn_logits_mask_params& p) {
    check_logits(check, p.logits);
    check.tensor("rows", p.rows, kI32, {kAny}, Layout::kDense);
    check.tensor("bits", p.bits, kI32, {kAny, (p.logits.shape[1] + 31) / 32}, Layout::kDense);
    check.range("num_masks", p.num_masks, 0, std::min(p.rows.shape[0], p.bits.shape[0]));
  });
}

int32_t vn_token_counts(vn_stream* stream, const vn_token_counts_params* params) {
  return vn::run_op("token_counts", &BackendTable::token_counts, stream, params,
                    [](const Checker& check, vn_token_counts_params& p) {
    check.tensor("counts", p.counts, kI32, {kAny, kAny}, Layout::kDense);
    check.tensor("updates", p.updates, kI32, {kAny, 4}, Layout::kDense);
    check.range("num_updates", p.num_updates, 0, p.updates.shape[0]);
  });
}

int32_t vn_logits_penalties(vn_stream* stream, const vn_logits_penalties_params* params) {
  return vn::run_op("logits_penalties", &BackendTable::logits_penalties, stream, params,
                    [](const Checker& check, vn_logits_penalties_params& p) {
    check_logits(check, p.logits);
    check.tensor("sample_rows", p.sample_rows, kI32, {p.logits.shape[0], 4}, Layout::kDense);
    check.tensor("counts", p.counts, kI32, {kAny, p.logits.shape[1]}, Layout::kDense);
    check.pointer("sampling", p.sampling);
    check.range("max_seqs", p.max_seqs, 1, INT32_MAX);
  });
}

int32_t vn_sample(vn_stream* stream, const vn_sample_params* params) {
  return vn::run_op("sample", &BackendTable::sample, stream, params, [&](const Checker& check, vn_sample_params& p) {
    check_logits(check, p.logits);
    const int64_t rows = p.logits.shape[0];
    check.tensor("sample_rows", p.sample_rows, kI32, {rows, 4}, Layout::kDense);
    check.tensor("out_ids", p.out_ids, kI32, {rows}, Layout::kDense);
    check.tensor("out_flags", p.out_flags, kI32, {rows}, Layout::kDense);
    if (!p.all_greedy) {
      check.pointer("sampling", p.sampling);
      check.range("max_seqs", p.max_seqs, 1, INT32_MAX);
    }
    const vn_device& device = *stream->device;
    check.workspace(p.workspace, p.workspace_bytes,
                    device.table->sample_workspace_size(device.impl, rows, p.logits.shape[1]));
  });
}

int32_t vn_sample_workspace_size(vn_device* device, int64_t max_rows, int64_t vocab_size, int64_t* out_bytes) {
  return vn::guard([&] {
    const Checker check("sample_workspace_size");
    check.pointer("device", device);
    check.pointer("out_bytes", out_bytes);
    check.range("max_rows", max_rows, 0, int64_t{1} << 24);
    check.range("vocab_size", vocab_size, 1, 1 << 24);
    *out_bytes = device->table->sample_workspace_size(device->impl, max_rows, vocab_size);
  });
}

int32_t vn_logprobs(vn_stream* stream, const vn_logprobs_params* params) {
  return vn::run_op("logprobs", &BackendTable::logprobs, stream, params,
                    [](const Checker& check, vn_logprobs_params& p) {
    check_logits(check, p.logits);
    const int64_t rows = p.logits.shape[0];
    check.tensor("ids", p.ids, kI32, {rows}, Layout::kDense);
    check.tensor("out_logprob", p.out_logprob, kF32, {rows}, Layout::kDense);
    check.tensor("out_rank", p.out_rank, kI32, {rows}, Layout::kDense);
    if (vn::present(p.out_top_ids)) {
      check.tensor("out_top_ids", p.out_top_ids, kI32, {rows, kAny}, Layout::kDense);
      const int64_t top = p.out_top_ids.shape[1];
      check.range("N", top, 0, p.logits.shape[1]);
      check.tensor("out_top_logprobs", p.out_top_logprobs, kF32, {rows, top}, Layout::kDense);
    }
  });
}
