// What gemm_amx.cpp computes, bit for bit, with AVX-512: for the few rows of a decode, which wait for memory alone, and
// tiles load a fifth less of it in a second (measured on Sapphire Rapids). Sums over 32 k of even and of odd k, each a
// chain of fused additions from zero, are added to each other and then to the output's sum; subnormals count as zero.
// See gemm_avx512.cpp on linkage.
#include "cpu/gemm_kernels.h"

// GCC warns inside its own header about the deliberately undefined operand of unmasked intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

namespace vn::cpu {

namespace {

#define VN_INLINE inline __attribute__((always_inline))

constexpr int64_t kLines = 16;   // of a panel in 32 k
constexpr int64_t kLine = 64;    // bytes
constexpr int64_t kAhead = 512;  // bytes that a panel is fetched in advance

// Rounding to nearest, subnormals read and written as zero, as tiles have it.
class TileArithmetic {
 public:
  TileArithmetic() : saved_(_mm_getcsr()) { _mm_setcsr((saved_ | kZeros) & ~kRounding); }
  ~TileArithmetic() { _mm_setcsr(saved_); }
  TileArithmetic(const TileArithmetic&) = delete;
  TileArithmetic& operator=(const TileArithmetic&) = delete;

 private:
  static constexpr unsigned kZeros = 0x8040;
  static constexpr unsigned kRounding = 0x6000;
  unsigned saved_;
};

VN_INLINE __m512 even(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }

VN_INLINE __m512 odd(__m512i pairs) {
  return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}

// Adds up to 32 k of each row: x as [row][16] pairs.
template <int kRows, int kPanels>
VN_INLINE void add_lines(const uint32_t* x, const char* w, int64_t stride, int64_t lines,
                         __m512 (&sums)[kRows][kPanels]) {
  __m512 evens[kRows][kPanels], odds[kRows][kPanels];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) evens[r][p] = odds[r][p] = _mm512_setzero_ps();
  }
  for (int64_t i = 0; i < lines; ++i, w += kLine) {
    __m512i line[kPanels];
    for (int p = 0; p < kPanels; ++p) {
      line[p] = _mm512_loadu_si512(w + p * stride);
      _mm_prefetch(w + p * stride + kAhead, _MM_HINT_T0);
    }
    for (int r = 0; r < kRows; ++r) {
      const __m512i pair = _mm512_set1_epi32(static_cast<int>(x[r * kLines + i]));
      for (int p = 0; p < kPanels; ++p) {
        evens[r][p] = _mm512_fmadd_ps(even(pair), even(line[p]), evens[r][p]);
        odds[r][p] = _mm512_fmadd_ps(odd(pair), odd(line[p]), odds[r][p]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      sums[r][p] = _mm512_add_ps(sums[r][p], _mm512_add_ps(evens[r][p], odds[r][p]));
    }
  }
}

template <int kRows, int kPanels>
VN_INLINE void multiply(const uint32_t* x, const char* w, int64_t stride, int64_t lines, bool resume, float* tile) {
  __m512 sums[kRows][kPanels];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      sums[r][p] = resume ? _mm512_loadu_ps(tile + r * kTileStride + p * 16) : _mm512_setzero_ps();
    }
  }
  for (; lines >= kLines; lines -= kLines, x += kRows * kLines, w += kLines * kLine) {
    add_lines<kRows, kPanels>(x, w, stride, kLines, sums);
  }
  if (lines > 0) add_lines<kRows, kPanels>(x, w, stride, lines, sums);
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) _mm512_storeu_ps(tile + r * kTileStride + p * 16, sums[r][p]);
  }
}

template <int kRows>
void kernel(const void* packed, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
            float* tile) {
  const TileArithmetic arithmetic;
  const uint32_t* x = static_cast<const uint32_t*>(packed);
  const int64_t lines = (columns + 1) / 2;
  if (panels == 4) return multiply<kRows, 4>(x, w, stride, lines, resume, tile);
  for (; panels >= 2; panels -= 2, w += 2 * stride, tile += 32) multiply<kRows, 2>(x, w, stride, lines, resume, tile);
  if (panels == 1) multiply<kRows, 1>(x, w, stride, lines, resume, tile);
}

}  // namespace

void gemm_few_1(const void* x, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
                float* tile) {
  kernel<1>(x, w, stride, columns, panels, resume, tile);
}

void gemm_few_2(const void* x, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
                float* tile) {
  kernel<2>(x, w, stride, columns, panels, resume, tile);
}

}  // namespace vn::cpu
