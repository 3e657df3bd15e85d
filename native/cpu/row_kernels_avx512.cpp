// row_kernels.inl compiled for AVX512; nothing here but the table has external linkage.
#include "cpu/row_kernels.h"

#if defined(__AVX512F__)
#include "cpu/simd_avx512.h"
#include "cpu/simd_math.h"

namespace vn::cpu {

namespace {
#include "cpu/row_kernels.inl"
}  // namespace

const RowKernels* row_kernels_avx512() { return &kTable; }

}  // namespace vn::cpu
#else
namespace vn::cpu {
const RowKernels* row_kernels_avx512() { return nullptr; }
}  // namespace vn::cpu
#endif
