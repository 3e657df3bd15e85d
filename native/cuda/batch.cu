// The device-resident batch; native/cpu/batch.cpp is the definition, equal to the last bit and flag.
//
// batch_prepare: state last_token, computed_len [max_seqs], block_tables [groups, max_seqs, max_blocks] i32.
//   rows kernel, one block: row and table updates, of several for one place the last; query_start = running sum of the
//     query lengths, held to T; lengths and first flags of each row. A batch of few tokens is derived there too.
//   tokens kernel, a thread a token: its row by bisection of query_start; id, position, the groups' slots; flags by atomicOr.
// batch_commit: one block; lengths and counts by compare-and-swap (they saturate), last tokens as the list ends.
// Neither is launched with overlap, and prepare fences what it writes: attention reads that early (launch.cuh).
// Shared memory: LastUpdates or SharedRows, 24 KB. Bound: latency, a chain of four or five trips to L2.
#include <algorithm>

#include "cuda/dispatch.cuh"
#include "cuda/ops.h"
#include "cuda/ordered.cuh"
#include "cuda/reduce.cuh"

namespace vn::cuda {
namespace {

constexpr int kRowThreads = 1024;
constexpr int kTokenThreads = 128;
constexpr int64_t kFewTokens = 1024;  // derived by the rows kernel itself
constexpr int64_t kMaxLength = INT32_MAX;

struct PrepareParams {
  const int32_t* row_updates;    // [num_row_updates, 4]
  const int32_t* table_updates;  // [num_table_updates, 4]
  const int32_t* step_rows;      // [rows, 4]
  const int32_t* step_ids;       // [num_ids]
  int32_t* last_token;           // [max_seqs]
  int32_t* computed_len;         // [max_seqs]
  int32_t* block_tables;         // [groups, max_seqs, max_blocks]
  int32_t* token_ids;            // [tokens]
  int32_t* positions;            // [tokens]
  int32_t* query_start;          // [rows + 1]
  int32_t* seq_lens;             // [rows]
  int64_t* slot_mapping;         // [groups, tokens], slot_stride apart
  int32_t* row_flags;            // [rows]
  int64_t slot_stride;
  int64_t rows;
  int64_t tokens;
  int64_t num_ids;
  int64_t max_seqs;
  int64_t max_blocks;
  int64_t num_blocks;
  int64_t longest;  // positions that every group's table can hold
  int32_t num_row_updates;
  int32_t num_table_updates;
  int32_t num_groups;
  int32_t vocab_size;
  int32_t block_size[VN_MAX_KV_GROUPS];
  bool tokens_too;
};

struct CommitParams {
  const int32_t* step_rows;    // [rows, 4]
  const int32_t* sample_rows;  // [samples, 4]
  const int32_t* sampled_ids;
  const int32_t* sample_flags;
  int32_t* last_token;
  int32_t* computed_len;
  int32_t* counts;  // [slots, vocab], null = nobody counts
  const vn_sampling_row* sampling;
  int64_t rows;
  int64_t samples;
  int64_t max_seqs;
  int64_t slots;
  int64_t vocab;
};

__device__ __forceinline__ bool in_range(int64_t x, int64_t end) { return x >= 0 && x < end; }

__device__ __forceinline__ int64_t table_index(const PrepareParams& p, int64_t group, int64_t request, int64_t index) {
  return (group * p.max_seqs + request) * p.max_blocks + index;
}

// Where a table update goes; -1 = outside the state.
__device__ __forceinline__ int64_t update_target(const PrepareParams& p, int64_t i) {
  const int32_t* update = p.table_updates + 4 * i;
  const int64_t group = update[0], request = update[1], index = update[2];
  if (!in_range(group, p.num_groups) || !in_range(request, p.max_seqs) || !in_range(index, p.max_blocks)) return -1;
  return table_index(p, group, request, index);
}

// Both lists as one: first the rows' updates, whose targets are 0 .. max_seqs - 1, then the tables'.
__device__ __forceinline__ void apply_updates(const PrepareParams& p, LastUpdates<kRowThreads>& updates) {
  const int64_t rows = p.num_row_updates;
  apply_last(p.num_row_updates + p.num_table_updates, updates,
             [&](int64_t i) -> int64_t {
               if (i >= rows) {
                 const int64_t target = update_target(p, i - rows);
                 return target < 0 ? -1 : p.max_seqs + target;
               }
               const int64_t request = p.row_updates[4 * i];
               return in_range(request, p.max_seqs) ? request : -1;
             },
             [&](int64_t i) {
               if (i >= rows) {
                 p.block_tables[update_target(p, i - rows)] = p.table_updates[4 * (i - rows) + 3];
                 return;
               }
               const int32_t* update = p.row_updates + 4 * i;
               p.computed_len[update[0]] = update[1];
               p.last_token[update[0]] = update[2];
             });
}

// What a row's tokens are derived from.
struct StepRow {
  int32_t request, wanted, first;  // of step_rows
  int32_t computed, last_token;    // of the request, 0 where there is none
};

__device__ __forceinline__ StepRow read_step_row(const PrepareParams& p, int64_t row) {
  const int32_t* r = p.step_rows + 4 * row;
  return {r[0], r[1], r[2], 0, 0};
}

// Once updates were applied.
__device__ __forceinline__ void read_state(const PrepareParams& p, StepRow& row) {
  if (!in_range(row.request, p.max_seqs)) return;
  row.computed = p.computed_len[row.request];
  row.last_token = p.last_token[row.request];
}

// The rows of a step as its tokens find them: in shared memory where a block has them all, else as they were written.
struct SharedRows {
  int32_t start[kRowThreads + 1];
  StepRow rows[kRowThreads];

  __device__ __forceinline__ int64_t start_of(const PrepareParams&, int64_t row) const { return start[row]; }
  __device__ __forceinline__ StepRow row(const PrepareParams&, int64_t row) const { return rows[row]; }
};

struct WrittenRows {
  __device__ __forceinline__ int64_t start_of(const PrepareParams& p, int64_t row) const { return p.query_start[row]; }
  __device__ __forceinline__ StepRow row(const PrepareParams& p, int64_t row) const {
    StepRow r = read_step_row(p, row);
    read_state(p, r);
    return r;
  }
};

// Writes what belongs to a row, but for the flags of its tokens.
__device__ __forceinline__ void derive_row(const PrepareParams& p, const StepRow& r, int64_t row, int64_t begin, int64_t end) {
  const int64_t wanted = r.wanted;
  const bool known = in_range(r.request, p.max_seqs);
  const int32_t stored = r.computed;
  const int64_t computed = stored < 0 ? 0 : stored, length = end - begin;
  p.query_start[row] = static_cast<int32_t>(begin);
  // A flagged row's length stays inside its table, so that attention's loops stay bounded.
  p.seq_lens[row] = known ? static_cast<int32_t>(min(computed + length, p.longest)) : 0;
  p.row_flags[row] = (stored < 0 ? VN_ROW_BAD_BLOCK : 0) | (wanted != length ? VN_ROW_BAD_TOKEN : 0);
}

__device__ __forceinline__ int64_t slot_of(const PrepareParams& p, int group, int64_t request, uint32_t position, int& flags) {
  const auto block_size = static_cast<uint32_t>(p.block_size[group]);
  const uint32_t index = position / block_size;
  if (in_range(request, p.max_seqs) && index < p.max_blocks) {
    const int64_t block = p.block_tables[table_index(p, group, request, index)];
    if (in_range(block, p.num_blocks)) return block * block_size + position % block_size;
  }
  flags |= VN_ROW_BAD_BLOCK;
  return -1;
}

// The row of a token: the last one that begins at or before it.
template <typename StepRows>
__device__ __forceinline__ int row_of_token(const PrepareParams& p, const StepRows& rows, int64_t token) {
  int low = 0, high = static_cast<int>(p.rows);  // start_of(low) <= token < start_of(high)
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (rows.start_of(p, middle) <= token ? low : high) = middle;
  }
  return low;
}

template <typename StepRows>
__device__ __forceinline__ void derive_token(const PrepareParams& p, const StepRows& rows, int64_t token) {
  if (p.rows == 0 || token >= rows.start_of(p, p.rows)) {
    p.token_ids[token] = 0;
    p.positions[token] = 0;
    for (int g = 0; g < p.num_groups; ++g) p.slot_mapping[g * p.slot_stride + token] = -1;
    return;
  }
  const int64_t row = row_of_token(p, rows, token);
  const int64_t i = token - rows.start_of(p, row);
  const StepRow r = rows.row(p, row);
  const int64_t request = r.request, first = r.first;
  const bool known = in_range(request, p.max_seqs);
  int flags = 0;
  int64_t id = -1;
  if (first == VN_LAST_TOKEN) {
    if (i == 0 && known) id = r.last_token;
  } else if (first >= 0 && first + i < p.num_ids) {
    id = p.step_ids[first + i];
  }
  if (!in_range(id, p.vocab_size)) {
    id = 0;
    flags |= VN_ROW_BAD_TOKEN;
  }
  const int64_t position = max(0, r.computed) + i;
  p.token_ids[token] = static_cast<int32_t>(id);
  p.positions[token] = static_cast<int32_t>(min(position, kMaxLength));
  for (int g = 0; g < p.num_groups; ++g) {
    p.slot_mapping[g * p.slot_stride + token] = slot_of(p, g, request, static_cast<uint32_t>(position), flags);
  }
  if (flags != 0) atomicOr(p.row_flags + row, flags);
}

// What this thread wrote is visible once its block has ended.
__device__ __forceinline__ void publish() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

__global__ void __launch_bounds__(kRowThreads, 1) batch_prepare_rows_kernel(const PrepareParams p) {
  __shared__ uint64_t scratch[kRowThreads / kWarpSize];
  __shared__ union {
    LastUpdates<kRowThreads> updates;  // until they are applied
    SharedRows rows;
  } shared;
  const bool few_rows = p.rows <= kRowThreads;
  StepRow mine{};  // asked for before the updates are waited for
  if (threadIdx.x < p.rows) mine = read_step_row(p, threadIdx.x);
  apply_updates(p, shared.updates);
  uint64_t begin = 0;  // not held to T yet
  for (int64_t first = 0; first < p.rows; first += kRowThreads) {
    const int64_t row = first + threadIdx.x;
    if (first > 0) mine = row < p.rows ? read_step_row(p, row) : StepRow{};
    if (row < p.rows) read_state(p, mine);
    const auto length = static_cast<uint64_t>(mine.wanted < 0 ? 0 : mine.wanted);
    const Scan scan = block_scan<kRowThreads>(length, scratch);
    const auto tokens = static_cast<uint64_t>(p.tokens);
    if (row < p.rows) {
      const uint64_t at = begin + scan.before;
      const auto start = static_cast<int64_t>(min(at, tokens));
      derive_row(p, mine, row, start, static_cast<int64_t>(min(at + length, tokens)));
      if (few_rows) {
        shared.rows.start[row] = static_cast<int32_t>(start);
        shared.rows.rows[row] = mine;
      }
    }
    begin += scan.total;
  }
  if (threadIdx.x == 0) {
    const auto end = static_cast<int32_t>(min(static_cast<int64_t>(begin), p.tokens));
    p.query_start[p.rows] = end;
    if (few_rows) shared.rows.start[p.rows] = end;
  }
  if (p.tokens_too) {
    __syncthreads();
    for (int64_t token = threadIdx.x; token < p.tokens; token += kRowThreads) {
      few_rows ? derive_token(p, shared.rows, token) : derive_token(p, WrittenRows(), token);
    }
  }
  publish();
}

__global__ void __launch_bounds__(kTokenThreads) batch_prepare_tokens_kernel(const PrepareParams p) {
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kTokenThreads + threadIdx.x;
  if (token < p.tokens) derive_token(p, WrittenRows(), token);
  publish();
}

__device__ __forceinline__ void advance(int32_t* computed, int32_t length) {
  int32_t seen = *computed;
  for (;;) {
    const auto next = static_cast<int32_t>(min(static_cast<int64_t>(seen) + length, kMaxLength));
    const int32_t found = atomicCAS(computed, seen, next);
    if (found == seen) return;
    seen = found;
  }
}

// Bit 31 marks the prompt and stays; the rest saturates.
__device__ __forceinline__ void count_once(int32_t* count) {
  int32_t seen = *count;
  while ((seen & INT32_MAX) != INT32_MAX) {
    const int32_t found = atomicCAS(count, seen, seen + 1);
    if (found == seen) return;
    seen = found;
  }
}

__device__ __forceinline__ void count_sample(const CommitParams& p, int64_t request, int32_t id) {
  const int64_t slot = p.sampling[request].count_slot;
  if (in_range(slot, p.slots) && in_range(id, p.vocab)) count_once(p.counts + slot * p.vocab + id);
}

__global__ void __launch_bounds__(kRowThreads, 1) batch_commit_kernel(const CommitParams p) {
  __shared__ LastUpdates<kRowThreads> updates;
  // Rows from the last thread on, samples from the first: their trips to memory pass at the same time.
  for (int64_t row = kRowThreads - 1 - static_cast<int>(threadIdx.x); row < p.rows; row += kRowThreads) {
    const int64_t request = p.step_rows[4 * row];
    const int32_t length = p.step_rows[4 * row + 1];
    if (in_range(request, p.max_seqs) && length >= 0) advance(p.computed_len + request, length);
  }
  apply_last(static_cast<int32_t>(p.samples), updates,
             [&](int64_t s) -> int64_t {
               const int64_t request = p.sample_rows[4 * s + 1];
               if (p.sample_flags[s] != 0 || !in_range(request, p.max_seqs)) return -1;
               if (p.counts) count_sample(p, request, p.sampled_ids[s]);
               return request;
             },
             [&](int64_t s) { p.last_token[p.sample_rows[4 * s + 1]] = p.sampled_ids[s]; });
}

int32_t* ints(const vn_tensor& t) { return static_cast<int32_t*>(t.data); }

PrepareParams prepare_params(const vn_batch_prepare_params& source) {
  PrepareParams p{};
  p.row_updates = ints(source.row_updates);
  p.table_updates = ints(source.table_updates);
  p.step_rows = ints(source.step_rows);
  p.step_ids = ints(source.step_ids);
  p.last_token = ints(source.last_token);
  p.computed_len = ints(source.computed_len);
  p.block_tables = ints(source.block_tables);
  p.token_ids = ints(source.out_token_ids);
  p.positions = ints(source.out_positions);
  p.query_start = ints(source.out_query_start);
  p.seq_lens = ints(source.out_seq_lens);
  p.slot_mapping = static_cast<int64_t*>(source.out_slot_mapping.data);
  p.row_flags = ints(source.out_row_flags);
  p.slot_stride = source.out_slot_mapping.stride[0];
  p.rows = source.step_rows.shape[0];
  p.tokens = source.out_token_ids.shape[0];
  p.num_ids = source.step_ids.shape[0];
  p.max_seqs = source.computed_len.shape[0];
  p.max_blocks = source.block_tables.shape[2];
  p.num_blocks = source.num_blocks;
  p.num_row_updates = source.num_row_updates;
  p.num_table_updates = source.num_table_updates;
  p.num_groups = source.num_groups;
  p.vocab_size = source.vocab_size;
  p.longest = kMaxLength;
  for (int32_t g = 0; g < source.num_groups; ++g) {
    p.block_size[g] = source.block_size[g];
    p.longest = std::min(p.longest, p.max_blocks * source.block_size[g]);
  }
  p.tokens_too = p.tokens <= kFewTokens;
  return p;
}

}  // namespace

void batch_prepare(const Stream& stream, const vn_batch_prepare_params& params) {
  const PrepareParams p = prepare_params(params);
  batch_prepare_rows_kernel<<<1, kRowThreads, 0, stream.handle>>>(p);
  check(cudaGetLastError(), "batch_prepare: launch of the rows");
  if (p.tokens_too) return;
  const unsigned blocks = grid_x("batch_prepare", ceil_div(p.tokens, kTokenThreads));
  batch_prepare_tokens_kernel<<<blocks, kTokenThreads, 0, stream.handle>>>(p);
  check(cudaGetLastError(), "batch_prepare: launch of the tokens");
}

void batch_commit(const Stream& stream, const vn_batch_commit_params& params) {
  CommitParams p{};
  p.step_rows = ints(params.step_rows);
  p.last_token = ints(params.last_token);
  p.computed_len = ints(params.computed_len);
  p.rows = params.step_rows.shape[0];
  p.max_seqs = params.computed_len.shape[0];
  if (params.sample_rows.data) {
    p.sample_rows = ints(params.sample_rows);
    p.sampled_ids = ints(params.sampled_ids);
    p.sample_flags = ints(params.sample_flags);
    p.samples = params.sample_rows.shape[0];
  }
  if (params.counts.data && params.sampling) {
    p.counts = ints(params.counts);
    p.sampling = params.sampling;
    p.slots = params.counts.shape[0];
    p.vocab = params.counts.shape[1];
  }
  if (p.rows == 0 && p.samples == 0) return;
  batch_commit_kernel<<<1, kRowThreads, 0, stream.handle>>>(p);
  check(cudaGetLastError(), "batch_commit: launch");
}

}  // namespace vn::cuda
