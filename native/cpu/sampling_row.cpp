// One row of vn_sample; what is kept and drawn is defined here, exactly:
//
//   max     largest logit; a NaN or +inf, or no finite logit at all, flags the row
//   mass_i  of core/fixed_exp.h
//   keep    mass_i >= min_p_mass                                          (min-p)
//           and logit_i >= the top_k-th largest logit of the row          (top-k, ties stay)
//           and mass_i >= the largest t with sum{kept so far, mass >= t} >= ceil(top_p * sum{kept so far})    (top-p)
//           the smallest set that reaches top_p, and whoever is as likely as its last: equals are kept or dropped together
//   draw    r = high half of bits(seed, position) * sum{kept}; the first id whose running sum of kept masses exceeds r
//
// Only integers are added, so any order and any cut into threads gives the same id. Without top-k and top-p the row is
// streamed twice; with them the few candidates are collected first: at least k logits reach the k-th largest lane maximum,
// and no token of mass below (1 - top_p) * total / V can be in the top-p set.
#include "cpu/sampling_row.h"

#include <algorithm>
#include <limits>

#include "core/fixed_exp.h"
#include "core/philox.h"
#include "cpu/sampling_thresholds.h"

namespace vn::cpu {

namespace {

constexpr float kGreedyBelow = 1e-5f;  // temperatures below are greedy, as the engine's front end has it
constexpr int64_t kAlign = 64;

int64_t block_count(int64_t vocab) { return (vocab + kLogitBlock - 1) / kLogitBlock; }
int64_t aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
int64_t list_bytes(int64_t vocab) { return aligned((vocab + kLogitSlack) * 4); }

struct Row {
  const LogitKernels& kernels;
  const float* logits;
  int64_t vocab;
  int64_t blocks;
  const SampleScratch& scratch;

  const float* block(int64_t b) const { return logits + b * kLogitBlock; }
  int64_t block_size(int64_t b) const { return std::min(kLogitBlock, vocab - b * kLogitBlock); }
  const float* lanes(int64_t b) const { return scratch.lanes + b * kLogitLanes; }
  float block_max(int64_t b) const { return *std::max_element(lanes(b), lanes(b) + kLogitLanes); }
};

// False when the row cannot be sampled.
bool find_max(const Row& row, float& out_max) {
  bool bad = false;
  for (int64_t b = 0; b < row.blocks; ++b) {
    bad |= row.kernels.lane_maxima(row.block(b), row.block_size(b), row.scratch.lanes + b * kLogitLanes);
  }
  const float max = *std::max_element(row.scratch.lanes, row.scratch.lanes + row.blocks * kLogitLanes);
  out_max = max + 0.0f;  // never -0
  return !bad && max > -std::numeric_limits<float>::infinity();
}

int32_t first_equal(const Row& row, float max) {
  for (int64_t b = 0; b < row.blocks; ++b) {
    if (row.block_max(b) != max) continue;
    const float* begin = row.block(b);
    return static_cast<int32_t>(std::find(begin, begin + row.block_size(b), max) - row.logits);
  }
  return 0;
}

// Sums of kept masses of each block, and of all.
uint64_t sum_masses(const Row& row, float max, float scale, float min_mass) {
  const float skip = skip_below(min_mass, scale);
  uint64_t total = 0;
  for (int64_t b = 0; b < row.blocks; ++b) {
    const bool empty = ieee_sub(row.block_max(b), max) < skip;
    row.scratch.sums[b] = empty ? 0 : row.kernels.mass_sum(row.block(b), row.block_size(b), max, scale, min_mass);
    total += row.scratch.sums[b];
  }
  return total;
}

// Index of the first mass at which the running sum of those >= min_mass exceeds r.
int64_t pick(const float* masses, int64_t n, float min_mass, uint64_t r) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum += masses[i] >= min_mass ? mass_integer(masses[i]) : 0;
    if (sum > r) return i;
  }
  return n - 1;
}

// The draw when all blocks' sums are known.
int32_t draw_from_blocks(const Row& row, float max, float scale, float min_mass, uint64_t r) {
  int64_t b = 0;
  while (b + 1 < row.blocks && r >= row.scratch.sums[b]) r -= row.scratch.sums[b++];
  row.kernels.masses(row.block(b), row.block_size(b), max, scale, row.scratch.masses);
  return static_cast<int32_t>(b * kLogitBlock + pick(row.scratch.masses, row.block_size(b), min_mass, r));
}

// Candidates with logit - subtract >= at_least, ids ascending.
int64_t collect(const Row& row, float subtract, float at_least) {
  int64_t count = 0;
  for (int64_t b = 0; b < row.blocks; ++b) {
    if (ieee_sub(row.block_max(b), subtract) < at_least) continue;
    count += row.kernels.collect(row.block(b), row.block_size(b), subtract, at_least,
                                 static_cast<int32_t>(b * kLogitBlock), row.scratch.values + count,
                                 row.scratch.ids + count);
  }
  return count;
}

// Candidates of top-k with their masses; those below the k-th largest logit get mass 0.
int64_t collect_top_k(const Row& row, int64_t k, float max, float scale) {
  const int64_t lanes = row.blocks * kLogitLanes;
  float bound = -std::numeric_limits<float>::infinity();
  if (k <= lanes) {
    std::copy_n(row.scratch.lanes, lanes, row.scratch.masses);
    bound = kth_largest(row.scratch.masses, lanes, k);
  }
  const int64_t n = collect(row, 0.0f, bound);
  std::copy_n(row.scratch.values, n, row.scratch.masses);
  const float kth = kth_largest(row.scratch.masses, n, k);
  row.kernels.masses(row.scratch.values, n, max, scale, row.scratch.masses);
  for (int64_t i = 0; i < n; ++i) row.scratch.masses[i] = row.scratch.values[i] >= kth ? row.scratch.masses[i] : 0.0f;
  return n;
}

// Candidates of top-p alone.
int64_t collect_top_p(const Row& row, uint64_t rest, float max, float scale) {
  const uint64_t least = std::max<uint64_t>(rest / static_cast<uint64_t>(row.vocab), 1);
  const int64_t n = collect(row, max, skip_below(static_cast<float>(least), scale));
  row.kernels.masses(row.scratch.values, n, max, scale, row.scratch.masses);
  return n;
}

// The draw among n candidates.
int32_t draw_from_list(const Row& row, int64_t n, float min_mass, uint64_t r) {
  const float* masses = row.scratch.masses;
  int64_t at = 0;
  for (; at + kLogitBlock < n; at += kLogitBlock) {
    const uint64_t sum = row.kernels.list_sum(masses + at, kLogitBlock, min_mass);
    if (sum > r) break;
    r -= sum;
  }
  return row.scratch.ids[at + pick(masses + at, std::min(kLogitBlock, n - at), min_mass, r)];
}

}  // namespace

int64_t sample_scratch_bytes(int64_t vocab) {
  const int64_t blocks = block_count(vocab);
  return aligned(blocks * kLogitLanes * 4) + aligned(blocks * 8) + 3 * list_bytes(vocab);
}

SampleScratch carve_sample_scratch(void* memory, int64_t vocab) {
  const int64_t blocks = block_count(vocab);
  auto* next = static_cast<char*>(memory);
  const auto take = [&](int64_t bytes) {
    char* at = next;
    next += bytes;
    return static_cast<void*>(at);
  };
  SampleScratch scratch;
  scratch.lanes = static_cast<float*>(take(aligned(blocks * kLogitLanes * 4)));
  scratch.sums = static_cast<uint64_t*>(take(aligned(blocks * 8)));
  scratch.values = static_cast<float*>(take(list_bytes(vocab)));
  scratch.masses = static_cast<float*>(take(list_bytes(vocab)));
  scratch.ids = static_cast<int32_t*>(take(list_bytes(vocab)));
  return scratch;
}

SampledToken sample_row(const LogitKernels& kernels, const float* logits, int64_t vocab, const vn_sampling_row* sampling,
                        int32_t position, const SampleScratch& scratch) {
  const Row row{kernels, logits, vocab, block_count(vocab), scratch};
  float max;
  if (!find_max(row, max)) return {0, VN_ROW_NAN};
  if (!sampling || !(sampling->temperature >= kGreedyBelow)) return {first_equal(row, max), 0};

  const float scale = mass_scale(sampling->temperature);
  const float min_mass = min_p_mass(sampling->min_p);
  const uint64_t bits = draw_bits(sampling->seed, position);
  const bool top_k = sampling->top_k > 0 && sampling->top_k < vocab;
  const bool top_p = sampling->top_p > 0.0f && sampling->top_p < 1.0f;

  if (!top_k && !top_p) {
    const uint64_t total = sum_masses(row, max, scale, min_mass);
    return {draw_from_blocks(row, max, scale, min_mass, mul_high(bits, total)), 0};
  }

  int64_t n;
  uint64_t total;
  uint64_t target = 0;
  if (top_k) {
    n = collect_top_k(row, sampling->top_k, max, scale);
    total = kernels.list_sum(scratch.masses, n, min_mass);
    if (top_p) target = top_p_target(sampling->top_p, total);
  } else {
    total = sum_masses(row, max, scale, min_mass);
    target = top_p_target(sampling->top_p, total);
    n = collect_top_p(row, total - target, max, scale);
  }
  float least = min_mass;
  if (top_p) {
    // Nothing below min_mass counts towards total, so the threshold cannot fall below it. values is free by now.
    least = mass_threshold(scratch.masses, n, target, reinterpret_cast<uint32_t*>(scratch.values));
    total = kernels.list_sum(scratch.masses, n, least);
  }
  return {draw_from_list(row, n, least, mul_high(bits, total)), 0};
}

}  // namespace vn::cpu
