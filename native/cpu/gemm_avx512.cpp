// GEMM kernels for AVX-512 without BF16 products: W is widened to f32 in registers, acc = fma(x[k][r], w[k][0..15],
// acc). A BF16 line holds pairs (k, k + 1): the even k is the low half shifted up, the odd k the high half as it
// stands; the even one is added first, so that k ascends as in every other family.
//
// Everything here has internal linkage and no header brings inline functions in: this file's instructions must not
// reach a processor that lacks them.
#include "cpu/gemm_kernels.h"

// GCC warns inside its own header about the deliberately undefined operand of unmasked intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

namespace vn::cpu {

namespace {

#define VN_INLINE inline __attribute__((always_inline))

// One step of each family: kSteps k from one line of kBytes.
struct F32 {
  static constexpr int kSteps = 1;
  static constexpr int kBytes = 64;
  static VN_INLINE __m512 line(const char* w) { return _mm512_loadu_ps(w); }
  static VN_INLINE __m512 widen(__m512 line, int) { return line; }
};

struct F16 {
  static constexpr int kSteps = 1;
  static constexpr int kBytes = 32;
  static VN_INLINE __m256i line(const char* w) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)); }
  static VN_INLINE __m512 widen(__m256i line, int) { return _mm512_cvtph_ps(line); }
};

struct Bf16 {
  static constexpr int kSteps = 2;
  static constexpr int kBytes = 64;
  static VN_INLINE __m512i line(const char* w) { return _mm512_loadu_si512(w); }
  static VN_INLINE __m512 widen(__m512i line, int step) {
    return _mm512_castsi512_ps(step == 0 ? _mm512_slli_epi32(line, 16)
                                         : _mm512_and_si512(line, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  }
};

constexpr int64_t kAhead = 1024;  // bytes that a panel is fetched in advance

template <typename W, int kRows, int kPanels>
VN_INLINE void multiply(const float* x, const char* w, int64_t stride, int64_t columns, bool resume,
                         float* tile) {
  __m512 sums[kRows][kPanels];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      sums[r][p] = resume ? _mm512_loadu_ps(tile + r * kTileStride + p * 16) : _mm512_setzero_ps();
    }
  }
  const int64_t lines = (columns + W::kSteps - 1) / W::kSteps;
  for (int64_t i = 0; i < lines; ++i) {
    decltype(W::line(w)) line[kPanels];
    for (int p = 0; p < kPanels; ++p) {
      line[p] = W::line(w + p * stride);
      _mm_prefetch(w + p * stride + kAhead, _MM_HINT_T0);
    }
    for (int step = 0; step < W::kSteps; ++step) {
      __m512 values[kPanels];
      for (int p = 0; p < kPanels; ++p) values[p] = W::widen(line[p], step);
      for (int r = 0; r < kRows; ++r) {
        const __m512 factor = _mm512_set1_ps(x[step * kRows + r]);
        for (int p = 0; p < kPanels; ++p) sums[r][p] = _mm512_fmadd_ps(factor, values[p], sums[r][p]);
      }
    }
    x += W::kSteps * kRows;
    w += W::kBytes;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) _mm512_storeu_ps(tile + r * kTileStride + p * 16, sums[r][p]);
  }
}

constexpr int best_panels(int rows) { return rows <= 6 ? 4 : 2; }

template <typename W, int kRows>
void kernel(const void* packed, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
            float* tile) {
  const float* x = static_cast<const float*>(packed);
  if constexpr (best_panels(kRows) == 4) {
    if (panels == 4) return multiply<W, kRows, 4>(x, w, stride, columns, resume, tile);
  }
  for (; panels >= 2; panels -= 2, w += 2 * stride, tile += 32) {
    multiply<W, kRows, 2>(x, w, stride, columns, resume, tile);
  }
  if (panels == 1) multiply<W, kRows, 1>(x, w, stride, columns, resume, tile);
}

template <typename W>
constexpr GemmFamily kFamily{
    1,
    12,
    {kernel<W, 1>, kernel<W, 2>, kernel<W, 3>, kernel<W, 4>, kernel<W, 5>, kernel<W, 6>, kernel<W, 7>, kernel<W, 8>,
     kernel<W, 9>, kernel<W, 10>, kernel<W, 11>, kernel<W, 12>}};

// f32 to BF16, to nearest even, in integers: the conversion instruction would flush subnormals.
VN_INLINE __m256i round_bf16(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __m512i rounded = _mm512_srli_epi32(sum, 16);
  const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
  return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), quiet));
}

void store(const float* tile, const float* bias, int64_t count, void* y, int32_t dtype) {
  for (int64_t i = 0; i < count; i += 16) {
    const int64_t left = count - i;
    const __mmask16 mask = left >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << left) - 1);
    __m512 value = _mm512_loadu_ps(tile + i);
    if (bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, bias + i));
    if (dtype == VN_DTYPE_F32) {
      _mm512_mask_storeu_ps(static_cast<float*>(y) + i, mask, value);
    } else {
      const __m256i halves = dtype == VN_DTYPE_BF16
                                 ? round_bf16(value)
                                 : _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      _mm256_mask_storeu_epi16(static_cast<uint16_t*>(y) + i, mask, halves);
    }
  }
}

}  // namespace

constinit const GemmKernels kGemmAvx512{&kFamily<F32>, &kFamily<F16>, &kFamily<Bf16>, store};

}  // namespace vn::cpu
