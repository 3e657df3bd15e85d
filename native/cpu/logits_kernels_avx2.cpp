// Logit kernels, 8 columns at a time. Same operations in the same order per element as logits_kernels_scalar.h.
#if defined(__x86_64__)
#include <immintrin.h>

#include "cpu/logits_kernels.h"
#include "cpu/logits_kernels_scalar.h"

namespace vn::cpu {

namespace {

constexpr int64_t kWidth = 8;

inline __m256 raw_masses(__m256 logits, __m256 max_logit, __m256 scale) {
  __m256 x = _mm256_mul_ps(_mm256_sub_ps(logits, max_logit), scale);
  x = _mm256_max_ps(x, _mm256_set1_ps(kMassFloor));  // the second operand where x is NaN
  const __m256 magic = _mm256_set1_ps(kRoundMagic);
  const __m256 shifted = _mm256_add_ps(x, magic);
  const __m256 f = _mm256_sub_ps(x, _mm256_sub_ps(shifted, magic));
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(kExpC6), f, _mm256_set1_ps(kExpC5));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExpC4));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExpC3));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExpC2));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExpC1));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
  // The magic number's own bits leave the word in the shift; what stays is n << 23.
  const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  const __m256i exponent = _mm256_add_epi32(n, _mm256_set1_epi32(kMassBits << 23));
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}

// Four floats in [0, 2^39] truncated to 64-bit integers: the 24-bit significand, shifted into place.
inline __m256i truncated(__m128i bits) {
  const __m128i significand = _mm_or_si128(_mm_and_si128(bits, _mm_set1_epi32(0x7fffff)), _mm_set1_epi32(0x800000));
  const __m128i right = _mm_sub_epi32(_mm_set1_epi32(127 + kMassBits), _mm_srli_epi32(bits, 23));
  const __m256i wide = _mm256_slli_epi64(_mm256_cvtepu32_epi64(significand), kMassBits - 23);
  return _mm256_srlv_epi64(wide, _mm256_cvtepu32_epi64(right));  // 0 where the shift is 64 or more: masses below 1
}

// The masses that are at least `least`, as integers, in four sums.
inline __m256i kept_sums(__m256 mass, __m256 least) {
  const __m256i kept = _mm256_castps_si256(_mm256_and_ps(mass, _mm256_cmp_ps(mass, least, _CMP_GE_OQ)));
  return _mm256_add_epi64(truncated(_mm256_castsi256_si128(kept)), truncated(_mm256_extracti128_si256(kept, 1)));
}

inline uint64_t total(__m256i sums) {
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

bool lane_maxima(const float* logits, int64_t n, float* lanes) {
  const __m256 infinity = _mm256_set1_ps(__builtin_inff());
  __m256 max0 = _mm256_set1_ps(-__builtin_inff());
  __m256 max1 = max0;
  __m256 bad = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    const __m256 a = _mm256_loadu_ps(logits + i);
    const __m256 b = _mm256_loadu_ps(logits + i + kWidth);
    bad = _mm256_or_ps(bad, _mm256_or_ps(_mm256_cmp_ps(a, infinity, _CMP_NLT_UQ), _mm256_cmp_ps(b, infinity, _CMP_NLT_UQ)));
    max0 = _mm256_max_ps(max0, a);
    max1 = _mm256_max_ps(max1, b);
  }
  _mm256_storeu_ps(lanes, max0);
  _mm256_storeu_ps(lanes + kWidth, max1);
  bool any = _mm256_movemask_ps(bad) != 0;
  for (; i < n; ++i) any |= lane_maximum(logits[i], lanes[i % kLogitLanes]);
  return any;
}

uint64_t mass_sum(const float* logits, int64_t n, float max_logit, float scale, float min_mass) {
  const __m256 largest = _mm256_set1_ps(max_logit);
  const __m256 factor = _mm256_set1_ps(scale);
  const __m256 least = _mm256_set1_ps(min_mass);
  __m256i sums = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    sums = _mm256_add_epi64(sums, kept_sums(raw_masses(_mm256_loadu_ps(logits + i), largest, factor), least));
  }
  uint64_t sum = total(sums);
  for (; i < n; ++i) sum += kept_mass(logits[i], max_logit, scale, min_mass);
  return sum;
}

void masses(const float* logits, int64_t n, float max_logit, float scale, float* out) {
  const __m256 largest = _mm256_set1_ps(max_logit);
  const __m256 factor = _mm256_set1_ps(scale);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const __m256 mass = raw_masses(_mm256_loadu_ps(logits + i), largest, factor);
    _mm256_storeu_ps(out + i, _mm256_round_ps(mass, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
  }
  for (; i < n; ++i) out[i] = whole_mass(logits[i], max_logit, scale);
}

uint64_t list_sum(const float* masses, int64_t n, float min_mass) {
  const __m256 least = _mm256_set1_ps(min_mass);
  __m256i sums = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) sums = _mm256_add_epi64(sums, kept_sums(_mm256_loadu_ps(masses + i), least));
  uint64_t sum = total(sums);
  for (; i < n; ++i) sum += masses[i] >= min_mass ? mass_integer(masses[i]) : 0;
  return sum;
}

int64_t collect(const float* logits, int64_t n, float subtract, float at_least, int32_t first_id, float* values,
                int32_t* ids) {
  const __m256 minus = _mm256_set1_ps(subtract);
  const __m256 least = _mm256_set1_ps(at_least);
  int64_t count = 0;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const __m256 difference = _mm256_sub_ps(_mm256_loadu_ps(logits + i), minus);
    uint32_t keep = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(difference, least, _CMP_GE_OQ)));
    for (; keep != 0; keep &= keep - 1) {
      const int64_t at = i + __builtin_ctz(keep);
      values[count] = logits[at];
      ids[count++] = first_id + static_cast<int32_t>(at);
    }
  }
  for (; i < n; ++i) {
    values[count] = logits[i];
    ids[count] = first_id + static_cast<int32_t>(i);
    count += ieee_sub(logits[i], subtract) >= at_least;
  }
  return count;
}

int64_t count_above(const float* logits, int64_t n, float value) {
  const __m256 bound = _mm256_set1_ps(value);
  int64_t count = 0;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const __m256 above = _mm256_cmp_ps(_mm256_loadu_ps(logits + i), bound, _CMP_GT_OQ);
    count += __builtin_popcount(static_cast<uint32_t>(_mm256_movemask_ps(above)));
  }
  for (; i < n; ++i) count += logits[i] > value;
  return count;
}

void penalise(float* logits, const int32_t* counts, int64_t n, const Penalties& penalties) {
  const __m256i zero = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    // Seen tokens are few: vectors find them, scalar code changes them.
    const __m256i unseen = _mm256_cmpeq_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(counts + i)), zero);
    uint32_t seen = ~static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(unseen))) & 0xffu;
    for (; seen != 0; seen &= seen - 1) {
      const int64_t at = i + __builtin_ctz(seen);
      logits[at] = penalised(logits[at], counts[at], penalties);
    }
  }
  for (; i < n; ++i) logits[i] = penalised(logits[i], counts[i], penalties);
}

}  // namespace

extern const LogitKernels kLogitKernelsAvx2 = {lane_maxima, mass_sum, masses, list_sum, collect, count_above, penalise};

}  // namespace vn::cpu
#endif
