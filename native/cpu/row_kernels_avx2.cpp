// row_kernels.inl compiled for AVX2; nothing here but the table has external linkage.
#include "cpu/row_kernels.h"

#if defined(__AVX2__)
#include "cpu/simd_avx2.h"
#include "cpu/simd_math.h"

namespace vn::cpu {

namespace {
#include "cpu/row_kernels.inl"
}  // namespace

const RowKernels* row_kernels_avx2() { return &kTable; }

}  // namespace vn::cpu
#else
namespace vn::cpu {
const RowKernels* row_kernels_avx2() { return nullptr; }
}  // namespace vn::cpu
#endif
