// out = x / sqrt(mean(x^2) + eps) * (weight + offset) over the last dimension, in f32.
// Sums: kRun elements at a time (row_kernels.h), then run after run: the order depends on the width of the row alone.
// With a residual the sum x + residual is rounded to the residual's dtype first and what was stored is normalised, so that
// the result does not depend on whether the next operation reads it back.
#include <algorithm>
#include <cmath>

#include "cpu/ops.h"
#include "cpu/row_kernels.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

namespace {

struct Norm {
  const RowKernels& kernels;
  int64_t width;
  float eps;
  float offset;
  const vn_tensor& weight;

  // Where the values to normalise lie: in x, or in the residual after it took x in.
  void add_residual(const char* x, int32_t x_dtype, char* residual, int32_t dtype) const {
    alignas(64) float sum[kRun], other[kRun];
    for (int64_t i = 0; i < width; i += kRun) {
      const int64_t n = std::min(kRun, width - i);
      kernels.load(sum, element(x, x_dtype, i), x_dtype, n);
      kernels.load(other, element(residual, dtype, i), dtype, n);
      kernels.add(sum, other, n);
      kernels.store(element(residual, dtype, i), dtype, sum, n);
    }
  }

  void normalise(const char* x, int32_t x_dtype, char* out, int32_t out_dtype) const {
    alignas(64) float values[kRun], weights[kRun];
    float sum = 0.0f;
    for (int64_t i = 0; i < width; i += kRun) {
      const int64_t n = std::min(kRun, width - i);
      kernels.load(values, element(x, x_dtype, i), x_dtype, n);
      sum += kernels.sum_squares(values, n);
    }
    const float factor = 1.0f / std::sqrt(sum / static_cast<float>(width) + eps);
    for (int64_t i = 0; i < width; i += kRun) {
      const int64_t n = std::min(kRun, width - i);
      if (width > kRun) kernels.load(values, element(x, x_dtype, i), x_dtype, n);  // else still there
      kernels.load(weights, element(static_cast<const char*>(weight.data), weight.dtype, i), weight.dtype, n);
      kernels.scale(values, weights, factor, offset, n);
      kernels.store(element(out, out_dtype, i), out_dtype, values, n);
    }
  }
};

}  // namespace

void rms_norm(Device& device, const vn_rms_norm_params& p) {
  const bool per_head = p.x.rank == 3;
  const int64_t heads = per_head ? p.x.shape[1] : 1;
  const int64_t width = p.x.shape[per_head ? 2 : 1];
  const Norm norm{row_kernels(device.isa), width, p.eps, p.weight_offset, p.weight};
  device.pool.parallel_for(p.x.shape[0] * heads, grain_for(width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t t = i / heads, h = i % heads;
      const char* x = per_head ? row_of(p.x, t, h) : row_of(p.x, t);
      char* out = per_head ? row_of(p.out, t, h) : row_of(p.out, t);
      if (p.residual.data) {
        char* residual = row_of(p.residual, t);
        norm.add_residual(x, p.x.dtype, residual, p.residual.dtype);
        norm.normalise(residual, p.residual.dtype, out, p.out.dtype);
      } else {
        norm.normalise(x, p.x.dtype, out, p.out.dtype);
      }
    }
  });
}

}  // namespace vn::cpu
