// Changes of logits [S, V] before sampling: edits, the record of seen tokens, penalties.
#include <algorithm>
#include <cstring>

#include "cpu/logits_kernels.h"
#include "cpu/ops.h"

namespace vn::cpu {

namespace {

constexpr int64_t kPenaltyGrain = int64_t{1} << 18;  // logits that one thread takes: about 16 us, a pool's wake-up is not less
constexpr int32_t kPromptBit = INT32_MIN;
constexpr int32_t kGeneratedMask = INT32_MAX;

bool inside(int64_t index, int64_t count) { return index >= 0 && index < count; }

}  // namespace

void logits_edit(Device&, const vn_logits_edit_params& params) {
  auto* logits = static_cast<float*>(params.logits.data);
  const auto* positions = static_cast<const int32_t*>(params.positions.data);
  const auto* values = static_cast<const float*>(params.values.data);
  // In order: several edits of one logit must round alike every time.
  for (int64_t i = 0; i < params.num_edits; ++i) {
    const int64_t row = positions[2 * i];
    const int64_t id = positions[2 * i + 1];
    if (!inside(row, params.logits.shape[0]) || !inside(id, params.logits.shape[1])) continue;
    logits[row * params.logits.stride[0] + id] += values[i];
  }
}

void token_counts(Device&, const vn_token_counts_params& params) {
  auto* counts = static_cast<int32_t*>(params.counts.data);
  const auto* updates = static_cast<const int32_t*>(params.updates.data);
  const int64_t vocab = params.counts.shape[1];
  for (int64_t i = 0; i < params.num_updates; ++i) {
    const int64_t slot = updates[4 * i];
    const int64_t id = updates[4 * i + 1];
    if (!inside(slot, params.counts.shape[0])) continue;
    int32_t* row = counts + slot * params.counts.stride[0];
    if (id == -1) {
      std::memset(row, 0, static_cast<size_t>(vocab) * sizeof *row);
    } else if (!inside(id, vocab)) {
      continue;
    } else if (updates[4 * i + 2] != 0) {
      row[id] |= kPromptBit;
    } else if ((row[id] & kGeneratedMask) != kGeneratedMask) {  // saturates: a carry would set the prompt bit
      ++row[id];
    }
  }
}

void logits_penalties(Device& device, const vn_logits_penalties_params& params) {
  auto* logits = static_cast<float*>(params.logits.data);
  const auto* sample_rows = static_cast<const int32_t*>(params.sample_rows.data);
  const auto* counts = static_cast<const int32_t*>(params.counts.data);
  const int64_t rows = params.logits.shape[0];
  const int64_t vocab = params.logits.shape[1];
  const LogitKernels& kernels = logit_kernels(device.isa);

  device.pool.parallel_for(rows, std::max<int64_t>(1, kPenaltyGrain / vocab), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t request = sample_rows[4 * row + 1];
      if (!inside(request, params.max_seqs)) continue;
      const vn_sampling_row& sampling = params.sampling[request];
      if (!inside(sampling.count_slot, params.counts.shape[0])) continue;
      const Penalties penalties = {sampling.repetition_penalty == 0.0f ? 1.0f : sampling.repetition_penalty,
                                   sampling.frequency_penalty, sampling.presence_penalty};
      if (penalties.repetition == 1.0f && penalties.frequency == 0.0f && penalties.presence == 0.0f) continue;
      kernels.penalise(logits + row * params.logits.stride[0], counts + sampling.count_slot * params.counts.stride[0], vocab,
                       penalties);
    }
  });
}

}  // namespace vn::cpu
