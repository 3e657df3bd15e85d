#include "cpu/sampling_thresholds.h"

#include <algorithm>
#include <functional>

#include "core/fixed_exp.h"

namespace vn::cpu {

namespace {

// A mass's rank key is its bit pattern less that of 1.0: order-preserving, below 39 * 2^23. Three digits: 1/32 octave, then
// twice 9 bits.
constexpr int kHighShift = 18;
constexpr int kMiddleShift = 9;
constexpr uint32_t kHighBuckets = (static_cast<uint32_t>(kMassBits) << (23 - kHighShift)) + 1;
constexpr uint32_t kLowBuckets = 1u << kMiddleShift;
constexpr uint32_t kOneBits = 0x3f800000u;

uint64_t mass_of_key(uint32_t key) { return mass_integer(bits_float(key + kOneBits)); }

// Walks down from the highest bucket to the one in which the running sum reaches target; above = the sum before it.
uint32_t reaching_bucket(const uint64_t* sums, uint32_t buckets, uint64_t target, uint64_t& above) {
  uint32_t bucket = buckets - 1;
  while (bucket > 0 && above + sums[bucket] < target) above += sums[bucket--];
  return bucket;
}

}  // namespace

float kth_largest(float* values, int64_t n, int64_t k) {
  std::nth_element(values, values + (k - 1), values + n, std::greater<float>());
  return values[k - 1];
}

float mass_threshold(const float* masses, int64_t n, uint64_t target, uint32_t* scratch) {
  uint64_t sums[kHighBuckets] = {};
  for (int64_t i = 0; i < n; ++i) {
    if (masses[i] >= 1.0f) sums[(float_bits(masses[i]) - kOneBits) >> kHighShift] += mass_integer(masses[i]);
  }
  uint64_t above = 0;
  const uint32_t high = reaching_bucket(sums, kHighBuckets, target, above);

  std::fill_n(sums, kLowBuckets, uint64_t{0});
  int64_t members = 0;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t key = float_bits(masses[i]) - kOneBits;
    if (key >> kHighShift != high) continue;
    sums[(key >> kMiddleShift) % kLowBuckets] += mass_of_key(key);
    scratch[members++] = key;
  }
  const uint32_t middle = reaching_bucket(sums, kLowBuckets, target, above);

  std::fill_n(sums, kLowBuckets, uint64_t{0});
  for (int64_t i = 0; i < members; ++i) {
    if ((scratch[i] >> kMiddleShift) % kLowBuckets == middle) sums[scratch[i] % kLowBuckets] += mass_of_key(scratch[i]);
  }
  const uint32_t low = reaching_bucket(sums, kLowBuckets, target, above);
  return bits_float(((high << kHighShift) | (middle << kMiddleShift) | low) + kOneBits);
}

}  // namespace vn::cpu
