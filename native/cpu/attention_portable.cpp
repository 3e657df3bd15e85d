// The choice of a table, and the portable one.
#include "cpu/attention_kernels.h"

#include "cpu/simd_portable.h"
#include "cpu/simd_math.h"

namespace vn::cpu {

namespace {
#include "cpu/attention_tiles.inl"
#include "cpu/attention_kernels.inl"
}  // namespace

const AttentionKernels* attention_kernels_portable() { return &kTable; }

const AttentionKernels& attention_kernels(Isa isa) {
  const AttentionKernels* table = nullptr;
  if (isa >= Isa::kAvx512) table = attention_kernels_avx512();
  if (!table && isa >= Isa::kAvx2) table = attention_kernels_avx2();
  return table ? *table : *attention_kernels_portable();
}

}  // namespace vn::cpu
