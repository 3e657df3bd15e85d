// attention_kernels.inl compiled for AVX512; nothing here but the table has external linkage.
#include "cpu/attention_kernels.h"

#if defined(__AVX512F__)
#include "cpu/simd_avx512.h"
#include "cpu/simd_math.h"

namespace vn::cpu {

namespace {
#include "cpu/attention_tiles.inl"
#include "cpu/attention_kernels.inl"
}  // namespace

const AttentionKernels* attention_kernels_avx512() { return &kTable; }

}  // namespace vn::cpu
#else
namespace vn::cpu {
const AttentionKernels* attention_kernels_avx512() { return nullptr; }
}  // namespace vn::cpu
#endif
