// attention_kernels.inl compiled for AVX2; nothing here but the table has external linkage.
#include "cpu/attention_kernels.h"

#if defined(__AVX2__)
#include "cpu/simd_avx2.h"
#include "cpu/simd_math.h"

namespace vn::cpu {

namespace {
#include "cpu/attention_tiles.inl"
#include "cpu/attention_kernels.inl"
}  // namespace

const AttentionKernels* attention_kernels_avx2() { return &kTable; }

}  // namespace vn::cpu
#else
namespace vn::cpu {
const AttentionKernels* attention_kernels_avx2() { return nullptr; }
}  // namespace vn::cpu
#endif
