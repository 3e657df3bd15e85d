// RMS norm over the rows of a matrix (row_norm.h), alone or after adding to a residual.
// With a residual the sum x + residual is rounded to the residual's dtype first and what was stored is normalised, so that
// the result does not depend on whether the next operation reads it back.
#include <algorithm>

#include "cpu/ops.h"
#include "cpu/row_kernels.h"
#include "cpu/row_norm.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

namespace {

// residual += x
void add_row(const RowKernels& kernels, int64_t width, const char* x, int32_t x_dtype, char* residual, int32_t dtype) {
  alignas(64) float sum[kRun], other[kRun];
  for (int64_t i = 0; i < width; i += kRun) {
    const int64_t n = std::min(kRun, width - i);
    kernels.load(sum, element(x, x_dtype, i), x_dtype, n);
    kernels.load(other, element(residual, dtype, i), dtype, n);
    kernels.add(sum, other, n);
    kernels.store(element(residual, dtype, i), dtype, sum, n);
  }
}

}  // namespace

void rms_norm(Device& device, const vn_rms_norm_params& p) {
  const RowKernels& kernels = row_kernels(device.isa);
  const int64_t width = p.x.shape[1];
  const RowNorm norm{kernels, width, p.eps, p.weight_offset, p.weight};
  device.pool.parallel_for(p.x.shape[0], grain_for(width), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const char* x = row_of(p.x, t);
      char* out = row_of(p.out, t);
      if (p.residual.data) {
        char* residual = row_of(p.residual, t);
        add_row(kernels, width, x, p.x.dtype, residual, p.residual.dtype);
        norm.normalise(residual, p.residual.dtype, out, p.out.dtype);
      } else {
        norm.normalise(x, p.x.dtype, out, p.out.dtype);
      }
    }
  });
}

}  // namespace vn::cpu
