// vn_sample over rows: one thread does one row (sampling_row.cpp). A row takes 10 to 50 us at V = 128256, so that waking the
// pool would cost more than it saves for a row or two.
#include <algorithm>
#include <atomic>

#include "cpu/ops.h"
#include "cpu/sampling_row.h"

namespace vn::cpu {

namespace {
constexpr int64_t kParallelFrom = int64_t{1} << 18;  // logits
}

int64_t sample_workspace_size(Device& device, int64_t max_rows, int64_t vocab_size) {
  return std::min<int64_t>(max_rows, device.pool.size()) * sample_scratch_bytes(vocab_size);
}

void sample(Device& device, const vn_sample_params& params) {
  const auto* logits = static_cast<const float*>(params.logits.data);
  const auto* sample_rows = static_cast<const int32_t*>(params.sample_rows.data);
  auto* ids = static_cast<int32_t*>(params.out_ids.data);
  auto* flags = static_cast<int32_t*>(params.out_flags.data);
  const int64_t rows = params.logits.shape[0];
  const int64_t vocab = params.logits.shape[1];
  const LogitKernels& kernels = logit_kernels(device.isa);

  const auto one = [&](int64_t row, int64_t slot) {
    SampledToken token = {0, VN_ROW_NAN};
    const int64_t request = sample_rows[4 * row + 1];
    if (params.all_greedy || (request >= 0 && request < params.max_seqs)) {
      void* memory = static_cast<char*>(params.workspace) + slot * sample_scratch_bytes(vocab);
      token = sample_row(kernels, logits + row * params.logits.stride[0], vocab,
                         params.all_greedy ? nullptr : params.sampling + request, sample_rows[4 * row + 2],
                         carve_sample_scratch(memory, vocab));
    }
    ids[row] = token.id;
    flags[row] = token.flags;
  };

  const int64_t threads = rows * vocab < kParallelFrom ? 1 : std::min<int64_t>(rows, device.pool.size());
  // Each slot owns a piece of the workspace and takes rows until none is left.
  std::atomic<int64_t> next{0};
  device.pool.parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      for (int64_t row = next.fetch_add(1); row < rows; row = next.fetch_add(1)) one(row, slot);
    }
  });
}

}  // namespace vn::cpu
