// Logit kernels, 16 columns at a time. Same operations in the same order per element as logits_kernels_scalar.h.
#if defined(__x86_64__)
// GCC 12 reports its own intrinsics headers (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "cpu/logits_kernels.h"
#include "cpu/logits_kernels_scalar.h"

namespace vn::cpu {

namespace {

constexpr int64_t kWidth = 16;

inline __m512 raw_masses(__m512 logits, __m512 max_logit, __m512 scale) {
  __m512 x = _mm512_mul_ps(_mm512_sub_ps(logits, max_logit), scale);
  x = _mm512_max_ps(x, _mm512_set1_ps(kMassFloor));  // the second operand where x is NaN
  const __m512 magic = _mm512_set1_ps(kRoundMagic);
  const __m512 shifted = _mm512_add_ps(x, magic);
  const __m512 f = _mm512_sub_ps(x, _mm512_sub_ps(shifted, magic));
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(kExpC6), f, _mm512_set1_ps(kExpC5));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExpC4));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExpC3));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExpC2));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExpC1));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  // The magic number's own bits leave the word in the shift; what stays is n << 23.
  const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  const __m512i exponent = _mm512_add_epi32(n, _mm512_set1_epi32(kMassBits << 23));
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
}

bool lane_maxima(const float* logits, int64_t n, float* lanes) {
  const __m512 infinity = _mm512_set1_ps(__builtin_inff());
  __m512 max0 = _mm512_set1_ps(-__builtin_inff());
  __m512 max1 = max0;
  __mmask16 bad = 0;
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    const __m512 a = _mm512_loadu_ps(logits + i);
    const __m512 b = _mm512_loadu_ps(logits + i + kWidth);
    bad = static_cast<__mmask16>(bad | _mm512_cmp_ps_mask(a, infinity, _CMP_NLT_UQ) |
                                 _mm512_cmp_ps_mask(b, infinity, _CMP_NLT_UQ));
    max0 = _mm512_max_ps(max0, a);
    max1 = _mm512_max_ps(max1, b);
  }
  _mm512_storeu_ps(lanes, _mm512_max_ps(max0, max1));
  bool any = bad != 0;
  for (; i < n; ++i) any |= lane_maximum(logits[i], lanes[i % kLogitLanes]);
  return any;
}

// Adds the masses that are at least `least`, as integers, to 16 sums.
inline void add_kept(__m512 mass, __m512 least, __m512i& low, __m512i& high) {
  mass = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(mass, least, _CMP_GE_OQ), mass);
  low = _mm512_add_epi64(low, _mm512_cvttps_epi64(_mm512_castps512_ps256(mass)));
  high = _mm512_add_epi64(high, _mm512_cvttps_epi64(_mm512_extractf32x8_ps(mass, 1)));
}

uint64_t mass_sum(const float* logits, int64_t n, float max_logit, float scale, float min_mass) {
  const __m512 largest = _mm512_set1_ps(max_logit);
  const __m512 factor = _mm512_set1_ps(scale);
  const __m512 least = _mm512_set1_ps(min_mass);
  __m512i low = _mm512_setzero_si512();
  __m512i high = low;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    add_kept(raw_masses(_mm512_loadu_ps(logits + i), largest, factor), least, low, high);
  }
  uint64_t sum = static_cast<uint64_t>(_mm512_reduce_add_epi64(_mm512_add_epi64(low, high)));
  for (; i < n; ++i) sum += kept_mass(logits[i], max_logit, scale, min_mass);
  return sum;
}

void masses(const float* logits, int64_t n, float max_logit, float scale, float* out) {
  const __m512 largest = _mm512_set1_ps(max_logit);
  const __m512 factor = _mm512_set1_ps(scale);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const __m512 mass = raw_masses(_mm512_loadu_ps(logits + i), largest, factor);
    _mm512_storeu_ps(out + i, _mm512_roundscale_ps(mass, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
  }
  for (; i < n; ++i) out[i] = whole_mass(logits[i], max_logit, scale);
}

uint64_t list_sum(const float* masses, int64_t n, float min_mass) {
  const __m512 least = _mm512_set1_ps(min_mass);
  __m512i low = _mm512_setzero_si512();
  __m512i high = low;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) add_kept(_mm512_loadu_ps(masses + i), least, low, high);
  uint64_t sum = static_cast<uint64_t>(_mm512_reduce_add_epi64(_mm512_add_epi64(low, high)));
  for (; i < n; ++i) sum += masses[i] >= min_mass ? mass_integer(masses[i]) : 0;
  return sum;
}

int64_t collect(const float* logits, int64_t n, float subtract, float at_least, int32_t first_id, float* values,
                int32_t* ids) {
  const __m512 minus = _mm512_set1_ps(subtract);
  const __m512 least = _mm512_set1_ps(at_least);
  const __m512i step = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kWidth) {
    const __mmask16 inside = n - i >= kWidth ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << (n - i)) - 1);
    const __m512 x = _mm512_maskz_loadu_ps(inside, logits + i);
    const __mmask16 keep = _mm512_mask_cmp_ps_mask(inside, _mm512_sub_ps(x, minus), least, _CMP_GE_OQ);
    if (keep == 0) continue;
    // Compressed in a register and stored whole (hence the slack): compressing stores are slow on some processors.
    const __m512i id = _mm512_add_epi32(_mm512_set1_epi32(first_id + static_cast<int32_t>(i)), step);
    _mm512_storeu_ps(values + count, _mm512_maskz_compress_ps(keep, x));
    _mm512_storeu_si512(ids + count, _mm512_maskz_compress_epi32(keep, id));
    count += __builtin_popcount(keep);
  }
  return count;
}

int64_t count_above(const float* logits, int64_t n, float value) {
  const __m512 bound = _mm512_set1_ps(value);
  int64_t count = 0;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    count += __builtin_popcount(_mm512_cmp_ps_mask(_mm512_loadu_ps(logits + i), bound, _CMP_GT_OQ));
  }
  for (; i < n; ++i) count += logits[i] > value;
  return count;
}

void penalise(float* logits, const int32_t* counts, int64_t n, const Penalties& penalties) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    // Seen tokens are few: vectors find them, scalar code changes them.
    const __m512i count = _mm512_loadu_si512(counts + i);
    for (uint32_t seen = _mm512_test_epi32_mask(count, count); seen != 0; seen &= seen - 1) {
      const int64_t at = i + __builtin_ctz(seen);
      logits[at] = penalised(logits[at], counts[at], penalties);
    }
  }
  for (; i < n; ++i) logits[i] = penalised(logits[i], counts[i], penalties);
}

}  // namespace

extern const LogitKernels kLogitKernelsAvx512 = {lane_maxima, mass_sum, masses, list_sum, collect, count_above, penalise};

}  // namespace vn::cpu
#endif
