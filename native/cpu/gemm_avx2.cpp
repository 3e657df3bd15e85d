// GEMM kernels for AVX2, FMA and F16C: as gemm_avx512.cpp, a panel of 16 outputs being two registers of 8. See there on
// the order of k and on linkage.
#include "cpu/gemm_kernels.h"

#include <immintrin.h>

namespace vn::cpu {

namespace {

#define VN_INLINE inline __attribute__((always_inline))

// Eight outputs of one line, widened: `half` 0 or 1, step 0 or 1 of a BF16 pair.
struct F32 {
  static constexpr int kSteps = 1;
  static constexpr int kBytes = 64;
  static VN_INLINE __m256 widen(const char* w, int half, int) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(w) + half * 8);
  }
};

struct F16 {
  static constexpr int kSteps = 1;
  static constexpr int kBytes = 32;
  static VN_INLINE __m256 widen(const char* w, int half, int) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w) + half));
  }
};

struct Bf16 {
  static constexpr int kSteps = 2;
  static constexpr int kBytes = 64;
  static VN_INLINE __m256 widen(const char* w, int half, int step) {
    const __m256i line = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w) + half);
    return _mm256_castsi256_ps(step == 0 ? _mm256_slli_epi32(line, 16)
                                         : _mm256_and_si256(line, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }
};

constexpr int64_t kAhead = 1024;  // bytes that a panel is fetched in advance

template <typename W, int kRows, int kPanels>
VN_INLINE void multiply(const float* x, const char* w, int64_t stride, int64_t columns, bool resume,
                         float* tile) {
  __m256 sums[kRows][kPanels * 2];
  for (int r = 0; r < kRows; ++r) {
    for (int h = 0; h < kPanels * 2; ++h) {
      sums[r][h] = resume ? _mm256_loadu_ps(tile + r * kTileStride + h * 8) : _mm256_setzero_ps();
    }
  }
  const int64_t lines = (columns + W::kSteps - 1) / W::kSteps;
  for (int64_t i = 0; i < lines; ++i) {
    for (int p = 0; p < kPanels; ++p) _mm_prefetch(w + p * stride + kAhead, _MM_HINT_T0);
    for (int step = 0; step < W::kSteps; ++step) {
      __m256 values[kPanels * 2];
      for (int h = 0; h < kPanels * 2; ++h) values[h] = W::widen(w + h / 2 * stride, h % 2, step);
      for (int r = 0; r < kRows; ++r) {
        const __m256 factor = _mm256_broadcast_ss(x + step * kRows + r);
        for (int h = 0; h < kPanels * 2; ++h) sums[r][h] = _mm256_fmadd_ps(factor, values[h], sums[r][h]);
      }
    }
    x += W::kSteps * kRows;
    w += W::kBytes;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int h = 0; h < kPanels * 2; ++h) _mm256_storeu_ps(tile + r * kTileStride + h * 8, sums[r][h]);
  }
}

// Sixteen registers: sums, the values of a line and one factor.
constexpr int best_panels(int rows) { return rows == 1 ? 4 : rows <= 3 ? 2 : 1; }

template <typename W, int kRows>
void kernel(const void* packed, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
            float* tile) {
  const float* x = static_cast<const float*>(packed);
  if constexpr (best_panels(kRows) == 4) {
    if (panels == 4) return multiply<W, kRows, 4>(x, w, stride, columns, resume, tile);
  }
  if constexpr (best_panels(kRows) >= 2) {
    for (; panels >= 2; panels -= 2, w += 2 * stride, tile += 32) {
      multiply<W, kRows, 2>(x, w, stride, columns, resume, tile);
    }
  }
  for (; panels >= 1; --panels, w += stride, tile += 16) multiply<W, kRows, 1>(x, w, stride, columns, resume, tile);
}

template <typename W>
constexpr GemmFamily kFamily{
    1,
    6,
    {kernel<W, 1>, kernel<W, 2>, kernel<W, 3>, kernel<W, 4>, kernel<W, 5>, kernel<W, 6>}};

// f32 to BF16, to nearest even, in integers.
VN_INLINE __m128i round_bf16(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i rounded = _mm256_srli_epi32(sum, 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i chosen = _mm256_blendv_epi8(rounded, quiet, nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(chosen), _mm256_extracti128_si256(chosen, 1));
}

// Eight results, or the first `count` of them.
VN_INLINE void store_eight(__m256 value, int64_t count, char* y, int32_t dtype) {
  const int64_t bytes = count * (dtype == VN_DTYPE_F32 ? 4 : 2);
  alignas(32) char buffer[32];
  char* out = count == 8 ? y : buffer;
  if (dtype == VN_DTYPE_F32) {
    _mm256_storeu_ps(reinterpret_cast<float*>(out), value);
  } else {
    const __m128i halves =
        dtype == VN_DTYPE_BF16 ? round_bf16(value) : _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), halves);
  }
  if (count != 8) __builtin_memcpy(y, buffer, static_cast<size_t>(bytes));
}

// bias reads may pass count: the driver's array is a whole tile.
void store(const float* tile, const float* bias, int64_t count, void* y, int32_t dtype) {
  for (int64_t i = 0; i < count; i += 8) {
    __m256 value = _mm256_loadu_ps(tile + i);
    if (bias) value = _mm256_add_ps(value, _mm256_loadu_ps(bias + i));
    char* out = static_cast<char*>(y) + i * (dtype == VN_DTYPE_F32 ? 4 : 2);
    store_eight(value, count - i < 8 ? count - i : 8, out, dtype);
  }
}

}  // namespace

constinit const GemmKernels kGemmAvx2{&kFamily<F32>, &kFamily<F16>, &kFamily<Bf16>, store};

}  // namespace vn::cpu
