// The choice of a table, and the portable one.
#include "cpu/row_kernels.h"

#include "cpu/simd_portable.h"
#include "cpu/simd_math.h"

namespace vn::cpu {

namespace {
#include "cpu/row_kernels.inl"
}  // namespace

const RowKernels* row_kernels_portable() { return &kTable; }

const RowKernels& row_kernels(Isa isa) {
  const RowKernels* table = nullptr;
  if (isa >= Isa::kAvx512) table = row_kernels_avx512();
  if (!table && isa >= Isa::kAvx2) table = row_kernels_avx2();
  return table ? *table : *row_kernels_portable();
}

}  // namespace vn::cpu
