// RMS norm of one row, for the operations that have one: x / sqrt(mean(x^2) + eps) * (weight + offset), in f32.
// Sums: kRun elements at a time (row_kernels.h), then run after run: the order depends on the width of the row alone.
#pragma once

#include <algorithm>
#include <cmath>

#include "cpu/row_kernels.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

struct RowNorm {
  const RowKernels& kernels;
  int64_t width;
  float eps;
  float offset;
  const vn_tensor& weight;

  // out may be x.
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

}  // namespace vn::cpu
