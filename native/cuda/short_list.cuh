// Rows of which few tokens can be kept: a bound that costs no pass, and the thresholds and the draw settled by one block, every
// candidate in a thread that compares it with all others. Exact: ties, limits and the order of the draw are those of
// native/cpu/sampling_row.cpp. A large top-k or a flat row does not come here.
#pragma once

#include "cuda/logit_rows.cuh"

namespace vn::cuda {

// Which tokens are kept: mass >= least and logit >= kth.
struct Keep {
  float max;
  float scale;
  float kth;
  float least;

  // The mass before truncation, 0 if the token is not kept.
  __device__ __forceinline__ float mass(float logit) const {
    const float mass = raw_mass(logit, max, scale);
    return mass >= least && logit >= kth ? mass : 0.0f;
  }
};

constexpr int kBoundGroups = kLogitThreads;
constexpr int kBoundLargest = kBoundGroups / 2;  // beyond, groups hold several of the k largest and the bound gets loose
constexpr int kBoundBits = 18;                   // sign, exponent and 9 bits of the fraction

// The largest logit of this thread's group: the threads of its number in all blocks of the team. After find_peak.
__device__ __forceinline__ float group_max(const LogitShared& s, int team) {
  float max = s.thread_maxima[threadIdx.x];
  for (int rank = 0; rank < team; ++rank) max = fmaxf(max, team_member(s.thread_maxima, team, rank)[threadIdx.x]);
  return max;
}

// A bound that at least k logits of the row reach, or every finite one, k <= kBoundLargest: the k-th largest of the groups'
// maxima, rounded down.
__device__ __forceinline__ float group_bound(float largest, int32_t k) {
  const uint32_t mine = ordered_bits(largest);
  uint32_t bound = 0;
  for (int bit = kWarpSize - 1; bit >= kWarpSize - kBoundBits; --bit) {
    const uint32_t trial = bound | 1u << bit;
    if (__syncthreads_count(mine >= trial) >= k) bound = trial;
  }
  constexpr uint32_t kLowestFinite = 0x00800000u;  // ordered_bits
  return from_ordered(max(bound, kLowestFinite));
}

// Entries that the team's lists were meant to get; up to kShortList of them all are there, with their ids. For the whole team.
__device__ __forceinline__ int team_list_count(const LogitShared& s, int team) {
  team_sync(team);
  int count = 0;
  for (int rank = 0; rank < team; ++rank) count += *team_member(&s.list_count, team, rank);
  return count;
}

// Takes the place of the histogram.
struct Candidates {
  float logits[kShortList];
  int32_t ids[kShortList];
  uint64_t masses[kShortList];  // by id, as the next
  int32_t sorted_ids[kShortList];
};
static_assert(sizeof(Candidates) <= sizeof(LogitShared::low) + sizeof(LogitShared::high));

// Draws among the team's listed tokens, 1 to kShortList of them; no other token may be one to keep. keep has the limit of
// min-p, top_k of them stay (and the last one's equals), target is the mass that top-p asks for, 0 = top_p of what is left.
// By one block while the others wait; the thread that finds the token writes its id.
static __device__ __noinline__ void settle(LogitShared& s, int team, int count, Keep keep, int32_t top_k, float top_p,
                                           uint64_t target, uint64_t bits, int32_t* out_id) {
  auto& all = *reinterpret_cast<Candidates*>(s.low);
  const int mine = static_cast<int>(threadIdx.x);
  float logit = -__int_as_float(0x7f800000);
  int32_t id = INT32_MAX;
  for (int rank = 0, at = mine; rank < team; ++rank) {
    const int listed = *team_member(&s.list_count, team, rank);
    if (at >= 0 && at < listed) {
      logit = team_member(s.list, team, rank)[at];
      id = team_member(s.list_ids, team, rank)[at];
    }
    at -= listed;
  }
  all.logits[mine] = logit;
  all.ids[mine] = id;
  all.masses[mine] = 0;
  __syncthreads();
  if (mine < count) {
    int larger = 0, place = 0;
    for (int i = 0; i < count; i += 4) {  // past the end: no logit, no id
      const float4 x = *reinterpret_cast<const float4*>(all.logits + i);
      const int4 y = *reinterpret_cast<const int4*>(all.ids + i);
      larger += (x.x > logit) + (x.y > logit) + (x.z > logit) + (x.w > logit);
      place += (y.x < id) + (y.y < id) + (y.z < id) + (y.w < id);
    }
    all.masses[place] = larger < top_k ? mass_integer(keep.mass(logit)) : 0;
    all.sorted_ids[place] = id;
  }
  __syncthreads();
  uint64_t mass = all.masses[mine];
  if (target == 0) target = top_p_target(top_p, block_scan<kLogitThreads>(mass, s.scratch).total);
  // A token is in the smallest set that reaches the target unless those before it reach it without it and its equals.
  uint64_t above = 0;
  for (int i = 0; i < count; i += 2) {
    const ulonglong2 x = *reinterpret_cast<const ulonglong2*>(all.masses + i);
    above += (x.x > mass ? x.x : 0) + (x.y > mass ? x.y : 0);
  }
  mass = above < target ? mass : 0;
  const Scan scan = block_scan<kLogitThreads>(mass, s.scratch);
  const uint64_t r = mul_high(bits, scan.total);
  if (scan.before <= r && r - scan.before < mass) *out_id = all.sorted_ids[mine];
}

}  // namespace vn::cuda
