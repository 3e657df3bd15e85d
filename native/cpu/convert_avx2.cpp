// convert_span with AVX2 and F16C, sixteen elements at a time. Internal linkage only, see gemm_avx512.cpp.
#include "cpu/convert_span.h"

#include <immintrin.h>

#include "vllm_native.h"

namespace vn::cpu {

namespace {

#define VN_INLINE inline __attribute__((always_inline))

struct F32 {
  using Item = float;
  static VN_INLINE __m256 load(const float* in) { return _mm256_loadu_ps(in); }
  static VN_INLINE void store(float* out, __m256 x) { _mm256_storeu_ps(out, x); }
};

struct F16 {
  using Item = uint16_t;
  static VN_INLINE __m256 load(const uint16_t* in) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in)));
  }
  static VN_INLINE void store(uint16_t* out, __m256 x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
};

struct Bf16 {
  using Item = uint16_t;
  static VN_INLINE __m256 load(const uint16_t* in) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static VN_INLINE void store(uint16_t* out, __m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i high = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    const __m256i chosen = _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), quiet, nan);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                     _mm_packus_epi32(_mm256_castsi256_si128(chosen), _mm256_extracti128_si256(chosen, 1)));
  }
};

template <typename From, typename To>
void convert(void* destination, const void* source, int64_t count) {
  auto* out = static_cast<typename To::Item*>(destination);
  const auto* in = static_cast<const typename From::Item*>(source);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    To::store(out + i, From::load(in + i));
    To::store(out + i + 8, From::load(in + i + 8));
  }
  for (; i < count; i += 8) {
    const int64_t left = count - i < 8 ? count - i : 8;
    typename From::Item from[8] = {};
    typename To::Item to[8];
    __builtin_memcpy(from, in + i, static_cast<size_t>(left) * sizeof from[0]);
    To::store(to, From::load(from));
    __builtin_memcpy(out + i, to, static_cast<size_t>(left) * sizeof to[0]);
  }
}

template <typename To>
void convert_to(void* destination, const void* source, int32_t source_dtype, int64_t count) {
  switch (source_dtype) {
    case VN_DTYPE_F16: return convert<F16, To>(destination, source, count);
    case VN_DTYPE_BF16: return convert<Bf16, To>(destination, source, count);
    default: return convert<F32, To>(destination, source, count);
  }
}

}  // namespace

void convert_span_avx2(void* destination, int32_t dtype, const void* source, int32_t source_dtype, int64_t count) {
  switch (dtype) {
    case VN_DTYPE_F16: return convert_to<F16>(destination, source, source_dtype, count);
    case VN_DTYPE_BF16: return convert_to<Bf16>(destination, source, source_dtype, count);
    default: return convert_to<F32>(destination, source, source_dtype, count);
  }
}

}  // namespace vn::cpu
