// GEMM kernels with VDPBF16PS: acc[j] += x[k] * w[k][j] + x[k + 1] * w[k + 1][j] for 16 outputs j, both operands BF16,
// sums in f32. The pair (x[k], x[k + 1]) is one 32-bit broadcast, the pair of each output is how panels are laid out.
// The other families are AVX-512's. See gemm_avx512.cpp on linkage.
#include "cpu/gemm_kernels.h"

// GCC warns inside its own header about the deliberately undefined operand of unmasked intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

namespace vn::cpu {

namespace {

#define VN_INLINE inline __attribute__((always_inline))

// Bytes that a panel is fetched in advance: with more panels at a time each is walked more slowly (measured on Zen 4).
constexpr int64_t ahead(int panels) { return panels == 4 ? 512 : 1536; }

template <int kRows, int kPanels>
VN_INLINE void multiply(const uint32_t* x, const char* w, int64_t stride, int64_t pairs, bool resume, float* tile) {
  __m512 sums[kRows][kPanels];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      sums[r][p] = resume ? _mm512_loadu_ps(tile + r * kTileStride + p * 16) : _mm512_setzero_ps();
    }
  }
  for (int64_t i = 0; i < pairs; ++i) {
    __m512i line[kPanels];
    for (int p = 0; p < kPanels; ++p) {
      line[p] = _mm512_loadu_si512(w + p * stride);
      _mm_prefetch(w + p * stride + ahead(kPanels), _MM_HINT_T0);
    }
    for (int r = 0; r < kRows; ++r) {
      const __m512bh factor = (__m512bh)_mm512_set1_epi32(static_cast<int>(x[r]));
      for (int p = 0; p < kPanels; ++p) sums[r][p] = _mm512_dpbf16_ps(sums[r][p], factor, (__m512bh)line[p]);
    }
    x += kRows;
    w += 64;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) _mm512_storeu_ps(tile + r * kTileStride + p * 16, sums[r][p]);
  }
}

constexpr int best_panels(int rows) { return rows <= 6 ? 4 : 2; }

template <int kRows>
void kernel(const void* packed, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
            float* tile) {
  const uint32_t* x = static_cast<const uint32_t*>(packed);
  const int64_t pairs = (columns + 1) / 2;
  if constexpr (best_panels(kRows) == 4) {
    if (panels == 4) return multiply<kRows, 4>(x, w, stride, pairs, resume, tile);
  }
  for (; panels >= 2; panels -= 2, w += 2 * stride, tile += 32) multiply<kRows, 2>(x, w, stride, pairs, resume, tile);
  if (panels == 1) multiply<kRows, 1>(x, w, stride, pairs, resume, tile);
}

}  // namespace

constinit const GemmFamily kGemmAvx512Bf16{
    2,
    12,
    {kernel<1>, kernel<2>, kernel<3>, kernel<4>, kernel<5>, kernel<6>, kernel<7>, kernel<8>, kernel<9>, kernel<10>,
     kernel<11>, kernel<12>}};

}  // namespace vn::cpu
