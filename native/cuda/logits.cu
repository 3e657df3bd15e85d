// Changes of logits [S, V] F32 before sampling; native/cpu/logits.cpp is the definition, equal to the last bit.
//
// logits_edit: logits[row][id] += value, in the order of the list where one logit has several edits. A block takes one row,
//   each of its warps a range of ids, and reads the whole list: O(edits) reads a warp, no traffic between warps.
// token_counts: counts [slots, V] i32, bit 31 = in the prompt. Block (part of the vocabulary, slot): finds the slot's last
//   clearing, zeroes its part and applies what comes later, which commutes (or, and saturating increments).
// logits_penalties: a thread takes four columns and touches logits only where a count is not 0.
// Shared memory: a word a warp. Bound: bytes (4 V a row of counts), or the length of the lists.
#include <algorithm>

#include "core/penalties.h"
#include "cuda/dispatch.cuh"
#include "cuda/ops.h"
#include "cuda/ordered.cuh"
#include "cuda/reduce.cuh"

namespace vn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kEditUnroll = 4;
constexpr int kPenaltyColumns = 4 * kThreads;
constexpr int32_t kPromptBit = INT32_MIN;
constexpr int64_t kCountBlocks = 512;  // wanted in flight by token_counts

struct EditParams {
  float* logits;
  int64_t stride;
  int64_t rows;
  int64_t vocab;
  const int32_t* positions;  // [edits, 2]
  const float* values;
  int32_t edits;
};

struct CountParams {
  int32_t* counts;
  int64_t stride;
  int64_t slots;
  int64_t vocab;
  int64_t part;            // ids of a block
  const int32_t* updates;  // [num, 4]
  int32_t num;
};

struct PenaltyParams {
  float* logits;
  int64_t stride;
  int64_t vocab;
  const int32_t* sample_rows;  // [rows, 4]
  const int32_t* counts;
  int64_t count_stride;
  int64_t slots;
  const vn_sampling_row* sampling;
  int64_t max_seqs;
};

__global__ void __launch_bounds__(kThreads) logits_edit_kernel(const EditParams p) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int64_t part = (p.vocab + kWarps - 1) / kWarps;
  const int64_t first_id = warp * part, end_id = min(first_id + part, p.vocab);
  float* row = p.logits + static_cast<int64_t>(blockIdx.x) * p.stride;
  for (int64_t begin = 0; begin < p.edits; begin += kEditUnroll * kWarpSize) {
    int64_t id[kEditUnroll];
#pragma unroll
    for (int u = 0; u < kEditUnroll; ++u) {
      const int64_t i = begin + u * kWarpSize + lane;
      id[u] = -1;
      if (i >= p.edits || p.positions[2 * i] != static_cast<int32_t>(blockIdx.x)) continue;
      const int64_t wanted = p.positions[2 * i + 1];
      if (wanted >= first_id && wanted < end_id) id[u] = wanted;
    }
#pragma unroll
    for (int u = 0; u < kEditUnroll; ++u) {
      if (!__any_sync(kAllLanes, id[u] >= 0)) continue;
      in_lane_order(id[u], [&] { row[id[u]] = __fadd_rn(row[id[u]], p.values[begin + u * kWarpSize + lane]); });
    }
  }
}

// The last update that clears the slot; -1 = none. For the whole block.
__device__ __forceinline__ int last_clearing(const CountParams& p, int32_t slot, int* scratch) {
  int last = -1;
  for (int i = static_cast<int>(threadIdx.x); i < p.num; i += kThreads) {
    if (p.updates[4 * static_cast<int64_t>(i)] == slot && p.updates[4 * static_cast<int64_t>(i) + 1] == -1) last = i;
  }
  last = __reduce_max_sync(kAllLanes, last);
  if (threadIdx.x % kWarpSize == 0) scratch[threadIdx.x / kWarpSize] = last;
  __syncthreads();
  for (int warp = 0; warp < kWarps; ++warp) last = max(last, scratch[warp]);
  return last;
}

__global__ void __launch_bounds__(kThreads) token_counts_kernel(const CountParams p) {
  __shared__ int scratch[kWarps];
  const auto slot = static_cast<int32_t>(blockIdx.y);
  const int64_t first_id = blockIdx.x * p.part, end_id = min(first_id + p.part, p.vocab);
  int32_t* row = p.counts + slot * p.stride;
  const int cleared = last_clearing(p, slot, scratch);
  if (cleared >= 0) {
    for (int64_t id = first_id + threadIdx.x; id < end_id; id += kThreads) row[id] = 0;
    __syncthreads();
  }
  for (int i = cleared + 1 + static_cast<int>(threadIdx.x); i < p.num; i += kThreads) {
    const int32_t* update = p.updates + 4 * static_cast<int64_t>(i);
    const int64_t id = update[1];
    if (update[0] != slot || id < first_id || id >= end_id) continue;
    if (update[2] != 0) {
      atomicOr(row + id, kPromptBit);
      continue;
    }
    int32_t seen = row[id];
    while ((seen & INT32_MAX) != INT32_MAX) {  // saturates: a carry would set the prompt bit
      const int32_t found = atomicCAS(row + id, seen, seen + 1);
      if (found == seen) break;
      seen = found;
    }
  }
}

// The counts and penalties of a row; counts null = none.
struct RowPenalties {
  const int32_t* counts;
  Penalties penalties;
};

__device__ __forceinline__ RowPenalties penalties_of(const PenaltyParams& p, int64_t row) {
  RowPenalties none{};
  const int64_t request = p.sample_rows[4 * row + 1];
  if (request < 0 || request >= p.max_seqs) return none;
  const vn_sampling_row& sampling = p.sampling[request];
  const int64_t slot = sampling.count_slot;
  if (slot < 0 || slot >= p.slots) return none;
  const Penalties penalties = {sampling.repetition_penalty == 0.0f ? 1.0f : sampling.repetition_penalty,
                               sampling.frequency_penalty, sampling.presence_penalty};
  if (penalties.repetition == 1.0f && penalties.frequency == 0.0f && penalties.presence == 0.0f) return none;
  return {p.counts + slot * p.count_stride, penalties};
}

__global__ void __launch_bounds__(kThreads) logits_penalties_kernel(const PenaltyParams p) {
  const RowPenalties row = penalties_of(p, blockIdx.x);
  if (!row.counts) return;
  float* logits = p.logits + static_cast<int64_t>(blockIdx.x) * p.stride;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kPenaltyColumns + threadIdx.x;
  int32_t counts[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t id = first + i * kThreads;
    counts[i] = id < p.vocab ? row.counts[id] : 0;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (counts[i] == 0) continue;
    const int64_t id = first + i * kThreads;
    logits[id] = penalised(logits[id], counts[i], row.penalties);
  }
}

}  // namespace

void logits_edit(const Stream& stream, const vn_logits_edit_params& params) {
  EditParams p{};
  p.logits = static_cast<float*>(params.logits.data);
  p.stride = params.logits.stride[0];
  p.rows = params.logits.shape[0];
  p.vocab = params.logits.shape[1];
  p.positions = static_cast<const int32_t*>(params.positions.data);
  p.values = static_cast<const float*>(params.values.data);
  p.edits = params.num_edits;
  if (p.rows == 0 || p.edits == 0) return;
  logits_edit_kernel<<<grid_x("logits_edit", p.rows), kThreads, 0, stream.handle>>>(p);
  check(cudaGetLastError(), "logits_edit: launch");
}

void token_counts(const Stream& stream, const vn_token_counts_params& params) {
  CountParams p{};
  p.counts = static_cast<int32_t*>(params.counts.data);
  p.slots = params.counts.shape[0];
  p.vocab = params.counts.shape[1];
  p.stride = p.vocab;  // dense
  p.updates = static_cast<const int32_t*>(params.updates.data);
  p.num = params.num_updates;
  if (p.slots == 0 || p.vocab == 0 || p.num == 0) return;
  if (p.slots > 65535) fail(VN_UNSUPPORTED, "token_counts: counts has %lld slots, expected up to 65535", static_cast<long long>(p.slots));
  const int64_t parts = std::clamp<int64_t>(kCountBlocks / p.slots, 1, ceil_div(p.vocab, kThreads));
  p.part = ceil_div(p.vocab, parts);
  const dim3 grid(static_cast<unsigned>(parts), static_cast<unsigned>(p.slots));
  token_counts_kernel<<<grid, kThreads, 0, stream.handle>>>(p);
  check(cudaGetLastError(), "token_counts: launch");
}

void logits_penalties(const Stream& stream, const vn_logits_penalties_params& params) {
  PenaltyParams p{};
  p.logits = static_cast<float*>(params.logits.data);
  p.stride = params.logits.stride[0];
  p.vocab = params.logits.shape[1];
  p.sample_rows = static_cast<const int32_t*>(params.sample_rows.data);
  p.counts = static_cast<const int32_t*>(params.counts.data);
  p.count_stride = p.vocab;  // dense
  p.slots = params.counts.shape[0];
  p.sampling = params.sampling;
  p.max_seqs = params.max_seqs;
  const int64_t rows = params.logits.shape[0];
  if (rows == 0) return;
  const dim3 grid(grid_x("logits_penalties", rows), static_cast<unsigned>(ceil_div(p.vocab, kPenaltyColumns)));
  logits_penalties_kernel<<<grid, kThreads, 0, stream.handle>>>(p);
  check(cudaGetLastError(), "logits_penalties: launch");
}

}  // namespace vn::cuda
