// What sampling and log-probabilities share: streaming a row of logits through a team of blocks, and exact selection in it
// without sorting.
//
// A team is a thread block cluster of 1, 2, 4 or 8 blocks (compute capability 9.0 up), else one block. A row is cut into
// granules of four logits; each warp of the team owns a consecutive run of them, so that sums a warp keeps are in id order.
//
// Selection (descend) asks for the smallest distance d below the top at which the weights of all elements no farther than d
// reach a goal. Distances are integers; their digits of 11 bits are decided one after the other, from a histogram of weights
// in shared memory that the team adds up. Only integers are added: the result is exact and depends on no order.
//
// Idea: radix selection by histograms; candidates above a bound that lane maxima give, as native/cpu/sampling_row.cpp.
#pragma once

#include <cooperative_groups.h>

#include <cstdint>

#include "core/fixed_exp.h"
#include "cuda/reduce.cuh"

namespace vn::cuda {

constexpr int kLogitThreads = 512;
constexpr int kLogitWarps = kLogitThreads / kWarpSize;
constexpr int kLogitUnroll = 4;  // granules that a thread has under way
constexpr int kGranule = 4;      // logits: 16 bytes
constexpr int kNoGranule = 1 << 28;  // past the end of every row
constexpr int kLaneMaxima = kLogitThreads * kGranule;  // of a block
constexpr int kDigitBits = 11;
constexpr int kBuckets = 1 << kDigitBits;
constexpr int kListSize = 6144;  // logits that a block keeps aside
constexpr int kShortList = kLogitThreads;  // candidates of a team that one block settles, one a thread (short_list.cuh)
constexpr int kMaxTeam = 8;
constexpr int kBucketsEach = kBuckets / kLogitThreads;
static_assert(kBucketsEach == 4 && kLaneMaxima <= kListSize && kMaxTeam * kLogitWarps <= kLogitThreads);

// The largest logit of a block's part of a row, or of all.
struct Peak {
  float max;
  float lowest;     // the smallest finite lane maximum; +inf = none
  int32_t granule;  // the first that holds max
  int32_t bad;      // a NaN or +inf
};

struct LogitShared {
  uint32_t low[kBuckets];  // sums, their lower halves
  uint32_t high[kBuckets];
  float list[kListSize];
  int32_t list_ids[kShortList];  // of the list's first entries
  float thread_maxima[kLogitThreads];
  uint64_t scratch[kLogitWarps];
  uint64_t warp_sums[kLogitWarps];
  uint64_t list_mass;     // of the list, as far as it is sure to be complete
  uint64_t found_before;  // what the search leaves: weights before the bucket, the bucket, what is left to find
  Peak warp_peaks[kLogitWarps];
  Peak peak;
  uint32_t found_bucket;
  int32_t list_count;  // entries wanted; more than kListSize = the list is of no use
};

// ---- teams ----

__device__ __forceinline__ int team_size() {
#if __CUDA_ARCH__ >= 900
  return static_cast<int>(cooperative_groups::this_cluster().num_blocks());
#else
  return 1;
#endif
}

__device__ __forceinline__ int team_rank() {
#if __CUDA_ARCH__ >= 900
  return static_cast<int>(cooperative_groups::this_cluster().block_rank());
#else
  return 0;
#endif
}

// A barrier of the whole team; what its threads wrote to shared and global memory is visible after it.
__device__ __forceinline__ void team_sync(int team) {
#if __CUDA_ARCH__ >= 900
  if (team > 1) return cooperative_groups::this_cluster().sync();
#endif
  (void)team;
  __syncthreads();
}

// The same shared variable in a block of the team.
template <typename T>
__device__ __forceinline__ const T* team_member(const T* mine, int team, int rank) {
#if __CUDA_ARCH__ >= 900
  if (team > 1) return cooperative_groups::this_cluster().map_shared_rank(const_cast<T*>(mine), static_cast<unsigned>(rank));
#endif
  (void)team, (void)rank;
  return mine;
}

// ---- rows ----

struct LogitRow {
  const float* logits;
  int32_t vocab;  // up to 2^24
  int32_t begin;  // granules of this block
  int32_t end;
  bool wide;  // granules are aligned to 16 bytes
};

__device__ __forceinline__ int32_t share_of(int32_t granules, int32_t parts) {
  const int32_t each = (granules + parts - 1) / parts;
  return (each + 7) & ~7;  // 128 bytes
}

__device__ __forceinline__ LogitRow row_part(const float* logits, int32_t vocab, bool wide, int team, int rank) {
  const int32_t granules = (vocab + kGranule - 1) / kGranule;
  const int32_t each = share_of(granules, team);
  return {logits, vocab, min(rank * each, granules), min((rank + 1) * each, granules), wide};
}

struct GranuleRange {
  int32_t begin;
  int32_t end;
};

__device__ __forceinline__ GranuleRange warp_part(const LogitRow& row, int warp) {
  const int32_t each = share_of(row.end - row.begin, kLogitWarps);
  return {min(row.begin + warp * each, row.end), min(row.begin + (warp + 1) * each, row.end)};
}

// Logits [4 g, 4 g + 4), -inf past the end of the row.
__device__ __forceinline__ float4 load_granule(const LogitRow& row, int32_t g) {
  const int32_t first = g * kGranule;
  if (row.wide && first + kGranule <= row.vocab) return __ldg(reinterpret_cast<const float4*>(row.logits + first));
  const float nothing = -__int_as_float(0x7f800000);
  float4 v = {nothing, nothing, nothing, nothing};
  if (first < row.vocab) v.x = __ldg(row.logits + first);
  if (first + 1 < row.vocab) v.y = __ldg(row.logits + first + 1);
  if (first + 2 < row.vocab) v.z = __ldg(row.logits + first + 2);
  if (first + 3 < row.vocab) v.w = __ldg(row.logits + first + 3);
  return v;
}

// body(logits, granule) for this warp's granules, ascending within a thread. Idle lanes get -inf and kNoGranule; no barriers
// inside.
template <typename Body>
__device__ __forceinline__ void for_each_granule(const LogitRow& row, Body&& body) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const GranuleRange mine = warp_part(row, static_cast<int>(threadIdx.x) / kWarpSize);
  for (int32_t base = mine.begin; base < mine.end; base += kLogitUnroll * kWarpSize) {
    float4 v[kLogitUnroll];
    const auto granule = [&](int u) {
      const int32_t g = base + u * kWarpSize + lane;
      return g < mine.end ? g : kNoGranule;
    };
#pragma unroll
    for (int u = 0; u < kLogitUnroll; ++u) v[u] = load_granule(row, granule(u));
#pragma unroll
    for (int u = 0; u < kLogitUnroll; ++u) body(v[u], granule(u));
  }
}

// ---- the peak ----

__device__ __forceinline__ Peak better(const Peak& a, const Peak& b) {
  const bool first = a.max > b.max || (a.max == b.max && a.granule <= b.granule);
  return {first ? a.max : b.max, fminf(a.lowest, b.lowest), first ? a.granule : b.granule, a.bad | b.bad};
}

// First pass over a row: its peak, for the whole team; lanes receives the four maxima of this thread, thread_maxima the largest
// of each thread's.
__device__ __forceinline__ Peak find_peak(LogitShared& s, const LogitRow& row, int team, float4& lanes) {
  const float infinity = __int_as_float(0x7f800000);
  Peak peak{-infinity, infinity, kNoGranule, 0};
  lanes = {-infinity, -infinity, -infinity, -infinity};
  bool fine = true;
  for_each_granule(row, [&](const float4& v, int32_t g) {
    fine = fine & (v.x < infinity) & (v.y < infinity) & (v.z < infinity) & (v.w < infinity);
    lanes = {fmaxf(lanes.x, v.x), fmaxf(lanes.y, v.y), fmaxf(lanes.z, v.z), fmaxf(lanes.w, v.w)};
    const float largest = fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w));
    if (largest > peak.max) {
      peak.max = largest;
      peak.granule = g;
    }
  });
  peak.bad = !fine;
  const auto finite = [&](float x) { return x > -infinity ? x : infinity; };
  peak.lowest = fminf(fminf(finite(lanes.x), finite(lanes.y)), fminf(finite(lanes.z), finite(lanes.w)));
#pragma unroll
  for (int step = kWarpSize / 2; step > 0; step /= 2) {
    const Peak other{__shfl_xor_sync(kAllLanes, peak.max, step), __shfl_xor_sync(kAllLanes, peak.lowest, step),
                     __shfl_xor_sync(kAllLanes, peak.granule, step), __shfl_xor_sync(kAllLanes, peak.bad, step)};
    peak = better(peak, other);
  }
  s.thread_maxima[threadIdx.x] = fmaxf(fmaxf(lanes.x, lanes.y), fmaxf(lanes.z, lanes.w));
  if (threadIdx.x % kWarpSize == 0) s.warp_peaks[threadIdx.x / kWarpSize] = peak;
  __syncthreads();
  for (int warp = 0; warp < kLogitWarps; ++warp) peak = better(peak, s.warp_peaks[warp]);
  if (team > 1) {
    if (threadIdx.x == 0) s.peak = peak;
    team_sync(team);
    for (int rank = 0; rank < team; ++rank) peak = better(peak, *team_member(&s.peak, team, rank));
  }
  peak.bad |= !(peak.max > -infinity);
  peak.max = __fadd_rn(peak.max, 0.0f);  // never -0
  return peak;
}

// The first id with the largest logit.
__device__ __forceinline__ int32_t peak_id(const LogitRow& row, const Peak& peak) {
  const float4 v = load_granule(row, peak.granule);
  return peak.granule * kGranule + (v.x == peak.max ? 0 : v.y == peak.max ? 1 : v.z == peak.max ? 2 : 3);
}

// ---- selection ----

// Where the elements of a selection come from: the block's part of the row, or its list.
struct LogitSource {
  LogitRow row;
  bool listed;
};

// An element's place in a selection. weight 0 = it takes no part.
struct Weighed {
  uint32_t distance;
  uint64_t weight;
};

__device__ __forceinline__ void add_to_bucket(LogitShared& s, uint32_t bucket, uint64_t weight) {
  const auto low = static_cast<uint32_t>(weight);
  auto high = static_cast<uint32_t>(weight >> 32);
  const uint32_t before = atomicAdd(s.low + bucket, low);
  high += before + low < before ? 1u : 0u;
  if (high != 0) atomicAdd(s.high + bucket, high);
}

__device__ __forceinline__ void push(LogitShared& s, float logit, int32_t id) {
  const int at = atomicAdd(&s.list_count, 1);
  if (at < kListSize) s.list[at] = logit;
  if (at < kShortList) s.list_ids[at] = id;
}

// body(logit, id); ids are known in the row alone.
template <typename Body>
__device__ __forceinline__ void for_each_logit(const LogitShared& s, const LogitSource& source, Body&& body) {
  if (source.listed) {
    for (int i = static_cast<int>(threadIdx.x); i < s.list_count; i += kLogitThreads) body(s.list[i], -1);
    return;
  }
  for_each_granule(source.row, [&](const float4& v, int32_t granule) {
    body(v.x, granule * kGranule);
    body(v.y, granule * kGranule + 1);
    body(v.z, granule * kGranule + 2);
    body(v.w, granule * kGranule + 3);
  });
}

// Adds up the team's histograms and finds the bucket in which the running sum reaches goal(total of all buckets).
// Leaves bucket, sum before it and goal in shared memory; before == goal == 0 where the goal was not reached.
template <typename Goal>
__device__ __forceinline__ uint64_t find_bucket(LogitShared& s, int team, Goal&& goal) {
  const int first = static_cast<int>(threadIdx.x) * kBucketsEach;
  uint64_t sums[kBucketsEach] = {};
  uint64_t sum = 0;
  for (int rank = 0; rank < team; ++rank) {
    const uint4 low = *reinterpret_cast<const uint4*>(team_member(s.low, team, rank) + first);
    const uint4 high = *reinterpret_cast<const uint4*>(team_member(s.high, team, rank) + first);
    sums[0] += static_cast<uint64_t>(high.x) << 32 | low.x;
    sums[1] += static_cast<uint64_t>(high.y) << 32 | low.y;
    sums[2] += static_cast<uint64_t>(high.z) << 32 | low.z;
    sums[3] += static_cast<uint64_t>(high.w) << 32 | low.w;
  }
  for (const uint64_t part : sums) sum += part;
  const Scan scan = block_scan<kLogitThreads>(sum, s.scratch);
  const uint64_t target = goal(scan.total);
  uint64_t before = scan.before;
  if (before < target && target <= before + sum) {
    int at = 0;
#pragma unroll
    for (int i = 0; i < kBucketsEach - 1; ++i) {
      if (at == i && before + sums[i] < target) {
        before += sums[i];
        ++at;
      }
    }
    s.found_bucket = static_cast<uint32_t>(first + at);
    s.found_before = before;
  }
  return target;
}

constexpr uint32_t kNoDistance = UINT32_MAX;

// The smallest distance (< 2^bits, bits > 0) within which the weights reach goal(total); kNoDistance if they do not, or the
// goal is 0. weigh(logit) gives an element's place. A block whose elements come from the row keeps those that share the
// digits found so far in its list, as soon as there are few. For the whole team, which must agree on everything but source.
template <typename Weigh, typename Goal>
__device__ __forceinline__ uint32_t descend(LogitShared& s, LogitSource source, int team, int bits, Weigh&& weigh,
                                            Goal&& goal) {
  uint32_t found = 0;
  uint64_t target = 0;
  bool first_round = true;
  for (int high = bits; high > 0;) {
    const int shift = high > kDigitBits ? high - kDigitBits : 0;
    const bool collecting = !first_round && !source.listed;
    for (int i = static_cast<int>(threadIdx.x); i < kBuckets; i += kLogitThreads) s.low[i] = s.high[i] = 0;
    if (threadIdx.x == 0) {
      s.found_bucket = 0;
      s.found_before = 0;
      if (collecting) s.list_count = 0;
    }
    __syncthreads();
    // Neighbours often share a bucket: their weights are added up before they go there.
    uint32_t pending_bucket = 0;
    uint64_t pending = 0;
    for_each_logit(s, source, [&](float logit, int32_t id) {
      const Weighed element = weigh(logit);
      if (element.weight == 0 || static_cast<uint32_t>(static_cast<uint64_t>(element.distance) >> high) != found) return;
      if (collecting) push(s, logit, id);
      const uint32_t bucket = element.distance >> shift & ((1u << (high - shift)) - 1);
      if (bucket != pending_bucket && pending != 0) {
        add_to_bucket(s, pending_bucket, pending);
        pending = 0;
      }
      pending_bucket = bucket;
      pending += element.weight;
    });
    if (pending != 0) add_to_bucket(s, pending_bucket, pending);
    team_sync(team);
    const uint64_t wanted = find_bucket(s, team, [&](uint64_t total) { return first_round ? goal(total) : target; });
    team_sync(team);  // the histograms have been read
    if (wanted == 0) return kNoDistance;
    if (first_round) target = wanted;
    target -= s.found_before;
    found = found << (high - shift) | s.found_bucket;
    if (collecting && s.list_count <= kListSize) source.listed = true;
    first_round = false;
    high = shift;
    __syncthreads();  // found_* and list_count have been read
  }
  return found;
}

// Float bits in the order of the numbers, -0 below 0.
__device__ __forceinline__ uint32_t ordered_bits(float x) {
  const uint32_t bits = __float_as_uint(x);
  return bits ^ (static_cast<int32_t>(bits) < 0 ? 0xffffffffu : 0x80000000u);
}

__device__ __forceinline__ float from_ordered(uint32_t ordered) {
  return __uint_as_float(ordered ^ (static_cast<int32_t>(ordered) < 0 ? 0x80000000u : 0xffffffffu));
}

// The k-th largest logit of the sources, -inf if fewer than k are finite. No logit above max counts, none below floor
// matters; floor = -inf where nothing is known.
static __device__ __noinline__ float kth_largest(LogitShared& s, LogitSource source, int team, int32_t k, float max,
                                                 float floor) {
  const float nothing = -__int_as_float(0x7f800000);
  const uint32_t top = ordered_bits(max);
  const uint32_t span = floor > nothing ? top - ordered_bits(floor) : UINT32_MAX;
  const int bits = span == 0 ? 1 : kWarpSize - __clz(static_cast<int>(span));
  const uint32_t distance = descend(
      s, source, team, bits,
      [&](float logit) { return Weighed{top - ordered_bits(logit), logit > nothing ? uint64_t{1} : 0}; },
      [&](uint64_t total) { return total >= static_cast<uint64_t>(k) ? static_cast<uint64_t>(k) : 0; });
  return distance == kNoDistance ? nothing : from_ordered(top - distance);
}

// A bound that at least k logits of the row reach, from the lane maxima: -inf where there are too few lanes.
__device__ __forceinline__ float bound_of(LogitShared& s, int team, int32_t k, const Peak& peak, const float4& lanes) {
  if (k > kLaneMaxima * team) return -__int_as_float(0x7f800000);
  reinterpret_cast<float4*>(s.list)[threadIdx.x] = lanes;
  if (threadIdx.x == 0) s.list_count = kLaneMaxima;
  __syncthreads();
  return kth_largest(s, {{}, true}, team, k, peak.max, peak.lowest);
}

}  // namespace vn::cuda
