// weight_fill's hash, eight columns at a time. Internal linkage only, see gemm_avx512.cpp.
#include "cpu/weight_draw.h"

#include <immintrin.h>

namespace vn::cpu {

namespace {

inline __attribute__((always_inline)) __m256i constant(uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }

inline __attribute__((always_inline)) __m256 draw_eight(const RowDraw& row, __m256i column) {
  __m256i h = _mm256_add_epi32(_mm256_mullo_epi32(column, constant(0x9e3779b9u)), constant(row.low));
  h = _mm256_mullo_epi32(_mm256_xor_si256(h, _mm256_srli_epi32(h, 16)), constant(0x21f0aaadu));
  h = _mm256_add_epi32(h, constant(row.high));
  h = _mm256_mullo_epi32(_mm256_xor_si256(h, _mm256_srli_epi32(h, 15)), constant(0x735a2d97u));
  h = _mm256_xor_si256(h, _mm256_srli_epi32(h, 15));
  __m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(h, 9)), _mm256_set1_ps(0x1p-22f));
  x = _mm256_mul_ps(_mm256_sub_ps(x, _mm256_set1_ps(1.0f - 0x1p-23f)), _mm256_set1_ps(row.scale));
  return _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-row.limit)), _mm256_set1_ps(row.limit));
}

}  // namespace

void draw_span_avx2(const RowDraw& row, uint32_t column, int64_t count, float* out) {
  __m256i columns = _mm256_add_epi32(constant(column), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  for (int64_t i = 0; i < count; i += 8, columns = _mm256_add_epi32(columns, constant(8))) {
    const __m256 x = draw_eight(row, columns);
    if (count - i >= 8) {
      _mm256_storeu_ps(out + i, x);
    } else {
      float rest[8];
      _mm256_storeu_ps(rest, x);
      __builtin_memcpy(out + i, rest, static_cast<size_t>(count - i) * sizeof(float));
    }
  }
}

}  // namespace vn::cpu
