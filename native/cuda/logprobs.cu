// vn_logprobs: log p_i = logit_i - max - ln(sum of masses / 2^39); the sum is an integer (core/fixed_exp.h), the rest f64,
// rounded once. rank = 1 + number of larger logits. The N largest, lower ids first among equals.
// logits [S, V] F32; a block of 512 threads takes a row (logit_rows.cuh with teams of one).
//   pass 1  the peak and lane maxima, which bound the N-th largest
//   pass 2  sum of masses, count of larger logits, candidates that reach the bound into shared memory; these are sorted
// Where candidates are more than kPairs (ties, N above the number of lanes) each of the N is found by a pass of its own.
// Shared memory 41 KiB. Bound: bytes, 8 V a row; one row alone takes about 25 us at V = 128256, which is latency.
#include <cmath>

#include "cuda/dispatch.cuh"
#include "cuda/logit_rows.cuh"
#include "cuda/ops.h"

namespace vn::cuda {
namespace {

constexpr int kPairs = 4096;  // candidates that are sorted in shared memory
constexpr uint64_t kLastPair = UINT64_MAX;  // after every real one

struct LogprobParams {
  const float* logits;
  int64_t stride;
  const int32_t* ids;
  float* logprobs;
  int32_t* ranks;
  int32_t* top_ids;  // [S, top]
  float* top_logprobs;
  int32_t top;
  int32_t vocab;
  bool wide;
};

union LogprobShared {
  LogitShared rows;
  uint64_t pairs[kPairs];
};

struct RowSums {
  uint64_t masses;
  uint64_t above;
};

// A token in the order of the answer: larger logits first, then lower ids.
__device__ __forceinline__ uint64_t pair_of(float logit, int32_t id) {
  return static_cast<uint64_t>(~ordered_bits(__fadd_rn(logit, 0.0f))) << 32 | static_cast<uint32_t>(id);
}
__device__ __forceinline__ float logit_of(uint64_t pair) { return from_ordered(~static_cast<uint32_t>(pair >> 32)); }

__device__ __forceinline__ float normalised(float logit, float max, double log_sum) {
  return static_cast<float>((static_cast<double>(logit) - static_cast<double>(max)) - log_sum);
}

// Calls body(logit, id) for the four of a granule.
template <typename Body>
__device__ __forceinline__ void for_each_token(const float4& v, int32_t granule, Body&& body) {
  body(v.x, granule * kGranule);
  body(v.y, granule * kGranule + 1);
  body(v.z, granule * kGranule + 2);
  body(v.w, granule * kGranule + 3);
}

// Second pass. Pairs that reach bound go to shared memory, as far as there is room; count = how many wanted to.
template <typename Collect>
__device__ __forceinline__ RowSums sum_row(const LogitRow& row, float max, float chosen, Collect&& collect) {
  const float scale = mass_scale(1.0f);
  RowSums sums{};
  for_each_granule(row, [&](const float4& v, int32_t granule) {
    for_each_token(v, granule, [&](float logit, int32_t id) {
      const float mass = raw_mass(logit, max, scale);
      sums.masses += mass >= 1.0f ? mass_integer(mass) : 0;
      sums.above += logit > chosen ? 1 : 0;
      collect(logit, id);
    });
  });
  return sums;
}

// Bitonic sort of `size` pairs, a power of two.
__device__ __forceinline__ void sort_pairs(uint64_t* pairs, int size) {
  for (int run = 2; run <= size; run *= 2) {
    for (int step = run / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int i = static_cast<int>(threadIdx.x); i < size; i += kLogitThreads) {
        const int other = i ^ step;
        if (other < i) continue;
        const uint64_t a = pairs[i], b = pairs[other];
        if ((a > b) == ((i & run) == 0)) {
          pairs[i] = b;
          pairs[other] = a;
        }
      }
    }
  }
  __syncthreads();
}

// The first pair of the row after `before`, for the whole block; scratch: a pair for each warp.
__device__ __forceinline__ uint64_t next_pair(const LogitRow& row, bool from_start, uint64_t before, uint64_t* scratch) {
  uint64_t best = kLastPair;
  for_each_granule(row, [&](const float4& v, int32_t granule) {
    for_each_token(v, granule, [&](float logit, int32_t id) {
      const uint64_t pair = pair_of(logit, id);
      if (id < row.vocab && (from_start || pair > before) && pair < best) best = pair;
    });
  });
#pragma unroll
  for (int step = kWarpSize / 2; step > 0; step /= 2) {
    const uint64_t other = __shfl_xor_sync(kAllLanes, best, step);
    best = other < best ? other : best;
  }
  __syncthreads();
  if (threadIdx.x % kWarpSize == 0) scratch[threadIdx.x / kWarpSize] = best;
  __syncthreads();
  for (int warp = 0; warp < kLogitWarps; ++warp) best = scratch[warp] < best ? scratch[warp] : best;
  return best;
}

__device__ __forceinline__ void write_top(const LogprobParams& p, int64_t at, uint64_t pair, float max, double log_sum) {
  p.top_ids[at] = static_cast<int32_t>(pair);
  p.top_logprobs[at] = normalised(logit_of(pair), max, log_sum);
}

__global__ void __launch_bounds__(kLogitThreads, 2) logprobs_kernel(const LogprobParams p) {
  __shared__ __align__(16) LogprobShared s;
  __shared__ uint64_t scratch[kLogitWarps];
  __shared__ int pair_count;
  const float nan = __int_as_float(0x7fc00000), nothing = -__int_as_float(0x7f800000);
  const int64_t r = blockIdx.x;
  const LogitRow row = row_part(p.logits + r * p.stride, p.vocab, p.wide, 1, 0);
  const int32_t id = p.ids[r];
  const bool known = id >= 0 && id < p.vocab;
  const float chosen = known ? row.logits[id] : nan;

  float4 lanes;
  const Peak peak = find_peak(s.rows, row, 1, lanes);
  const bool wants_top = p.top > 0 && !peak.bad;
  const float bound = wants_top ? bound_of(s.rows, 1, p.top, peak, lanes) : nothing;
  const bool gathers = wants_top && (bound > nothing || p.vocab <= kPairs);
  if (threadIdx.x == 0) pair_count = 0;
  __syncthreads();
  // The pairs lie where the selection had its histogram, which is done with.
  const RowSums mine = sum_row(row, peak.max, chosen, [&](float logit, int32_t token) {
    if (!gathers || !(logit >= bound) || token >= p.vocab) return;
    const int at = atomicAdd(&pair_count, 1);
    if (at < kPairs) s.pairs[at] = pair_of(logit, token);
  });
  const uint64_t total = block_scan<kLogitThreads>(mine.masses, scratch).total;
  const uint64_t above = block_scan<kLogitThreads>(mine.above, scratch).total;
  const double log_sum = peak.bad ? 0.0 : log(static_cast<double>(total) / static_cast<double>(kMassOne));
  if (threadIdx.x == 0) {
    p.logprobs[r] = known && !peak.bad ? normalised(chosen, peak.max, log_sum) : nan;
    p.ranks[r] = known ? 1 + static_cast<int32_t>(above) : 0;
  }
  const int64_t first = r * p.top;
  if (p.top > 0 && peak.bad) {  // no order among NaNs: the first ids
    for (int i = static_cast<int>(threadIdx.x); i < p.top; i += kLogitThreads) {
      p.top_ids[first + i] = i;
      p.top_logprobs[first + i] = nan;
    }
  }
  if (!wants_top) return;

  if (gathers && pair_count <= kPairs) {
    int size = 1;
    while (size < pair_count) size *= 2;
    for (int i = pair_count + static_cast<int>(threadIdx.x); i < size; i += kLogitThreads) s.pairs[i] = kLastPair;
    sort_pairs(s.pairs, size);
    for (int i = static_cast<int>(threadIdx.x); i < p.top; i += kLogitThreads) {
      write_top(p, first + i, s.pairs[i], peak.max, log_sum);
    }
    return;
  }
  uint64_t pair = 0;
  for (int i = 0; i < p.top; ++i) {
    pair = next_pair(row, i == 0, pair, scratch);
    if (threadIdx.x == 0) write_top(p, first + i, pair, peak.max, log_sum);
  }
}

}  // namespace

void logprobs(const Stream& stream, const vn_logprobs_params& params) {
  LogprobParams p{};
  p.logits = static_cast<const float*>(params.logits.data);
  p.stride = params.logits.stride[0];
  p.ids = static_cast<const int32_t*>(params.ids.data);
  p.logprobs = static_cast<float*>(params.out_logprob.data);
  p.ranks = static_cast<int32_t*>(params.out_rank.data);
  p.vocab = static_cast<int32_t>(params.logits.shape[1]);
  if (params.out_top_ids.data) {
    p.top = static_cast<int32_t>(params.out_top_ids.shape[1]);
    p.top_ids = static_cast<int32_t*>(params.out_top_ids.data);
    p.top_logprobs = static_cast<float*>(params.out_top_logprobs.data);
  }
  const int64_t rows = params.logits.shape[0];
  if (rows == 0) return;
  p.wide = reinterpret_cast<uintptr_t>(p.logits) % 16 == 0 && (rows == 1 || p.stride % kGranule == 0);
  logprobs_kernel<<<grid_x("logprobs", rows), kLogitThreads, 0, stream.handle>>>(p);
  check(cudaGetLastError(), "logprobs: launch");
}

}  // namespace vn::cuda
