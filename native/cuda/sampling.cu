// vn_sample; native/cpu/sampling_row.cpp defines what is kept and drawn, and the ids here are the same for the same logits.
// logits [S, V] F32; one launch for the batch, greedy rows and all. A row is done by a team of blocks (logit_rows.cuh) of 512
// threads: 8 on a small batch down to 1, so that the batch fills the GPU. No workspace, no host round trip.
//
//   pass 1   peak of the row, maxima of lanes and threads                                greedy rows end here
//   top-k    bound from the maxima; candidates into the list, read again by the threads that saw one; up to 512 of them are
//            settled by one block (short_list.cuh), else the k-th largest of them is found
//   top-p    alone, of a row that seems peaked: a pass for the total, then settled in the same way; else the threshold on
//            masses, over the list or over the row: a pass for the first digit, one for the second
//   draw     pass: sums of kept masses of each warp's run; the run that holds r is walked by its block
//
// Masses are core/fixed_exp.h, literally. Shared memory 45 KiB a block, mostly the histogram and the list; two blocks an SM.
// Bound: bytes, 4 V a row and pass: 1 pass greedy and top-k up to 256, 2 plain and top-p of few tokens, 3 larger top-k, 4 top-p
// of many; masses cost half of that time.
#include "cuda/dispatch.cuh"
#include "cuda/ops.h"
#include "cuda/short_list.cuh"

#include "core/philox.h"

namespace vn::cuda {
namespace {

constexpr float kGreedyBelow = 1e-5f;  // temperatures below are greedy
constexpr int kMassDistanceBits = 29;  // from a mass of 2^39 down to 1: 39 * 2^23 floats
constexpr uint64_t kOverMean = 8;      // by how much the largest of a group is thought to exceed the mean of all

struct SampleParams {
  const float* logits;
  int64_t stride;
  const int32_t* sample_rows;  // [rows, 4]
  const vn_sampling_row* sampling;
  int64_t max_seqs;
  int32_t* ids;
  int32_t* flags;
  int32_t vocab;
  bool wide;
  bool all_greedy;
};

__device__ __forceinline__ uint64_t kept_masses(const Keep& keep, const float4& v) {
  return mass_integer(keep.mass(v.x)) + mass_integer(keep.mass(v.y)) + mass_integer(keep.mass(v.z)) +
         mass_integer(keep.mass(v.w));
}

// The list of logits that reach bound; false where the row itself has to serve.
__device__ __forceinline__ bool collect(LogitShared& s, const LogitRow& row, float bound) {
  const float nothing = -__int_as_float(0x7f800000);
  const bool hopeless = bound == nothing && (row.end - row.begin) * kGranule > kListSize;
  if (threadIdx.x == 0) s.list_count = hopeless ? kListSize + 1 : 0;
  __syncthreads();
  if (hopeless) return false;
  // Few threads saw such a logit in the first pass; the others read nothing.
  const float mine = s.thread_maxima[threadIdx.x];
  if (mine >= bound && mine > nothing) {
    for_each_granule(row, [&](const float4& v, int32_t granule) {
      const float largest = fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w));
      if (!(largest >= bound) || largest == nothing) return;
      const int32_t id = granule * kGranule;
      if (v.x >= bound && v.x > nothing) push(s, v.x, id);
      if (v.y >= bound && v.y > nothing) push(s, v.y, id + 1);
      if (v.z >= bound && v.z > nothing) push(s, v.z, id + 2);
      if (v.w >= bound && v.w > nothing) push(s, v.w, id + 3);
    });
  }
  __syncthreads();
  return s.list_count <= kListSize;
}

// The largest mass t such that the kept masses >= t sum to top_p of all kept masses.
__device__ __noinline__ float mass_threshold(LogitShared& s, LogitSource source, int team, Keep keep, float top_p) {
  const uint32_t top = __float_as_uint(kMassOne);
  const uint32_t distance = descend(
      s, source, team, kMassDistanceBits,
      [&](float logit) {
        const float mass = keep.mass(logit);
        return Weighed{top - __float_as_uint(truncf(mass)), mass_integer(mass)};
      },
      [&](uint64_t total) { return top_p_target(top_p, total); });
  return distance == kNoDistance ? keep.least : __uint_as_float(top - distance);
}

// The granule among [range.begin, range.end) in which the running sum of kept masses exceeds r, by the whole block; the
// thread that finds it writes the id.
__device__ __forceinline__ void walk(LogitShared& s, const LogitRow& row, const GranuleRange& range, const Keep& keep,
                                     uint64_t r, int32_t* id) {
  const int32_t each = (range.end - range.begin + kLogitThreads - 1) / kLogitThreads;
  const int32_t begin = min(range.begin + static_cast<int32_t>(threadIdx.x) * each, range.end);
  const int32_t end = min(begin + each, range.end);
  uint64_t sum = 0;
  for (int32_t g = begin; g < end; ++g) sum += kept_masses(keep, load_granule(row, g));
  uint64_t before = block_scan<kLogitThreads>(sum, s.scratch).before;
  if (before > r || r - before >= sum) return;
  for (int32_t g = begin; g < end; ++g) {
    const float4 v = load_granule(row, g);
    const uint64_t after = before + kept_masses(keep, v);
    if (r < after) {
      const uint64_t x = before + mass_integer(keep.mass(v.x)), y = x + mass_integer(keep.mass(v.y));
      const uint64_t z = y + mass_integer(keep.mass(v.z));
      *id = g * kGranule + (r < x ? 0 : r < y ? 1 : r < z ? 2 : 3);
      return;
    }
    before = after;
  }
}

// Sums of the kept masses: run is that of the team's warp with this thread's number, before and total count runs.
struct RunSums {
  uint64_t run;
  Scan scan;
};

__device__ __forceinline__ RunSums sum_runs(LogitShared& s, const LogitRow& row, int team, const Keep& keep) {
  uint64_t sum = 0;
  for_each_granule(row, [&](const float4& v, int32_t) { sum += kept_masses(keep, v); });
  sum = warp_sum(sum);
  if (threadIdx.x % kWarpSize == 0) s.warp_sums[threadIdx.x / kWarpSize] = sum;
  team_sync(team);
  const int at = static_cast<int>(threadIdx.x);
  uint64_t run = 0;
  if (at < team * kLogitWarps) run = team_member(s.warp_sums, team, at / kLogitWarps)[at % kLogitWarps];
  return {run, block_scan<kLogitThreads>(run, s.scratch)};
}

__device__ __noinline__ void draw(LogitShared& s, LogitRow row, int team, int rank, Keep keep, uint64_t bits, int32_t* id) {
  const auto [run, scan] = sum_runs(s, row, team, keep);
  const uint64_t r = mul_high(bits, scan.total);
  if (scan.before <= r && r - scan.before < run) {
    s.found_bucket = threadIdx.x;
    s.found_before = scan.before;
  }
  __syncthreads();
  const int warp = static_cast<int>(s.found_bucket);
  if (warp / kLogitWarps != rank) return;
  walk(s, row, warp_part(row, warp % kLogitWarps), keep, r - s.found_before, id);
}

// Top-p alone, where the largest of few groups promise to reach it: the total, then a list of the largest logits. False if
// they do not reach it or are too many.
__device__ __noinline__ bool settle_top_p(LogitShared& s, LogitRow row, int team, int rank, Keep keep, float top_p, uint64_t bits,
                                          int32_t* id) {
  const float largest = group_max(s, team), bound = group_bound(largest, kBoundLargest);
  const uint64_t mass = mass_integer(keep.mass(largest));
  const uint64_t listed = block_scan<kLogitThreads>(largest >= bound ? mass : 0, s.scratch).total;
  const uint64_t others = block_scan<kLogitThreads>(largest >= bound ? 0 : mass, s.scratch).total;
  const auto group_size = static_cast<uint64_t>(row.vocab / kBoundGroups);
  if (listed < top_p_target(top_p, listed + others * group_size / kOverMean)) return false;

  const uint64_t target = top_p_target(top_p, sum_runs(s, row, team, keep).scan.total);
  collect(s, row, bound);
  // Masses fall with the logit but for their last bits: what exceeds this by a part in 2^20 is in the list.
  const uint64_t unsure = mass_integer(ieee_mul(raw_mass(bound, keep.max, keep.scale), 1 + 0x1p-20f));
  uint64_t sure = 0;
  for (int i = static_cast<int>(threadIdx.x); i < min(s.list_count, kListSize); i += kLogitThreads) {
    const uint64_t x = mass_integer(keep.mass(s.list[i]));
    sure += x > unsure ? x : 0;
  }
  sure = block_scan<kLogitThreads>(sure, s.scratch).total;
  if (threadIdx.x == 0) s.list_mass = sure;
  const int count = team_list_count(s, team);
  uint64_t reached = 0;
  for (int member = 0; member < team; ++member) reached += *team_member(&s.list_mass, team, member);
  const bool settled = count <= kShortList && reached >= target;
  if (settled && rank == 0) settle(s, team, count, keep, INT32_MAX, top_p, target, bits, id);
  if (!settled) team_sync(team);  // the lists' lengths have been read
  return settled;
}

// Thresholds of a row that samples, then its draw. By value, as all functions here that are not inlined: through references the
// loops would read their limits from local memory.
__device__ __noinline__ void sample_row(LogitShared& s, LogitRow row, int team, int rank, Peak peak, float4 lanes,
                                        const vn_sampling_row& sampling, int32_t position, int32_t* id) {
  const uint64_t bits = draw_bits(sampling.seed, position);
  const bool top_p = sampling.top_p > 0.0f && sampling.top_p < 1.0f;
  Keep keep{peak.max, mass_scale(sampling.temperature), -__int_as_float(0x7f800000), min_p_mass(sampling.min_p)};
  LogitSource source{row, false};
  if (sampling.top_k > 0 && sampling.top_k < row.vocab) {
    const float bound = sampling.top_k <= kBoundLargest ? group_bound(group_max(s, team), sampling.top_k)
                                                        : bound_of(s, team, sampling.top_k, peak, lanes);
    source.listed = collect(s, row, bound);
    const int count = team_list_count(s, team);
    if (count <= kShortList) {
      if (rank == 0) settle(s, team, count, keep, sampling.top_k, sampling.top_p, top_p ? 0 : UINT64_MAX, bits, id);
      return;
    }
    team_sync(team);  // the lists' lengths have been read
    keep.kth = kth_largest(s, source, team, sampling.top_k, peak.max, bound);
  } else if (top_p && settle_top_p(s, row, team, rank, keep, sampling.top_p, bits, id)) {
    return;
  }
  if (top_p) keep.least = mass_threshold(s, source, team, keep, sampling.top_p);
  draw(s, row, team, rank, keep, bits, id);
}

// Batches of greedy rows alone have a kernel without what draws: there is less code to fetch, and they take 4% less.
template <bool kAllGreedy>
__global__ void __launch_bounds__(kLogitThreads, 2) sample_kernel(const SampleParams p) {
  __shared__ __align__(16) LogitShared s;
  const int team = team_size(), rank = team_rank();
  const int64_t r = blockIdx.x / static_cast<unsigned>(team);
  const int64_t request = kAllGreedy ? 0 : p.sample_rows[4 * r + 1];
  const bool writes = rank == 0 && threadIdx.x == 0;
  if (!kAllGreedy && (request < 0 || request >= p.max_seqs)) {
    if (writes) {
      p.ids[r] = 0;
      p.flags[r] = VN_ROW_NAN;
    }
    return;
  }
  const LogitRow row = row_part(p.logits + r * p.stride, p.vocab, p.wide, team, rank);
  float4 lanes;
  const Peak peak = find_peak(s, row, team, lanes);
  const bool greedy = kAllGreedy || !(p.sampling[request].temperature >= kGreedyBelow);
  if (writes) p.flags[r] = peak.bad ? VN_ROW_NAN : 0;
  if (peak.bad || greedy) {
    if (writes) p.ids[r] = peak.bad ? 0 : peak_id(row, peak);
  } else if constexpr (!kAllGreedy) {
    sample_row(s, row, team, rank, peak, lanes, p.sampling[request], p.sample_rows[4 * r + 2], p.ids + r);
  }
  if (team > 1) team_sync(team);  // no block leaves while others read its shared memory
}

// Blocks for a row: as many as fill the GPU twice.
int team_for(const Device& device, int64_t rows) {
  if (device_attribute(device.ordinal, cudaDevAttrComputeCapabilityMajor) < 9) return 1;
  const int64_t places = 2 * device_attribute(device.ordinal, cudaDevAttrMultiProcessorCount);
  int team = kMaxTeam;
  while (team > 1 && rows * team > places) team /= 2;
  return team;
}

void launch_sample(const SampleParams& p, int64_t rows, int team, cudaStream_t stream) {
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = static_cast<unsigned>(team);
  cluster.val.clusterDim.y = 1;
  cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(grid_x("sample", rows * team));
  config.blockDim = dim3(kLogitThreads);
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = team > 1 ? 1 : 0;
  check(cudaLaunchKernelEx(&config, p.all_greedy ? sample_kernel<true> : sample_kernel<false>, p), "sample: launch");
}

}  // namespace

int64_t sample_workspace_size(const Device&, int64_t, int64_t) { return 0; }

void sample(const Stream& stream, const vn_sample_params& params) {
  SampleParams p{};
  p.logits = static_cast<const float*>(params.logits.data);
  p.stride = params.logits.stride[0];
  p.sample_rows = static_cast<const int32_t*>(params.sample_rows.data);
  p.sampling = params.sampling;
  p.max_seqs = params.max_seqs;
  p.ids = static_cast<int32_t*>(params.out_ids.data);
  p.flags = static_cast<int32_t*>(params.out_flags.data);
  p.vocab = static_cast<int32_t>(params.logits.shape[1]);
  p.all_greedy = params.all_greedy != 0;
  const int64_t rows = params.logits.shape[0];
  if (rows == 0) return;
  p.wide = reinterpret_cast<uintptr_t>(p.logits) % 16 == 0 && (rows == 1 || p.stride % kGranule == 0);
  launch_sample(p, rows, team_for(stream.device, rows), stream.handle);
}

}  // namespace vn::cuda
