// Rotary position embedding. Angles are f32 products turned into cosine and sine once a step; the rotation is f32 too:
// (a, b) -> (a cos - b sin, b cos + a sin) for pairs (i, i + rot / 2) or (2i, 2i + 1) of the first rot dimensions.
#include <algorithm>
#include <cmath>

#include "cpu/ops.h"
#include "cpu/row_kernels.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

namespace {

void rotate_head(const RowKernels& kernels, int32_t style, char* head, int32_t dtype, const float* cos_sin, int64_t half) {
  alignas(64) float x[2 * kRun];
  for (int64_t i = 0; i < half; i += kRun) {
    const int64_t n = std::min(kRun, half - i);
    const float* cosine = cos_sin + i;
    const float* sine = cos_sin + half + i;
    if (style == VN_ROPE_INTERLEAVED) {
      kernels.load(x, element(head, dtype, 2 * i), dtype, 2 * n);
      kernels.rotate_pairs(x, cosine, sine, n);
      kernels.store(element(head, dtype, 2 * i), dtype, x, 2 * n);
    } else {
      kernels.load(x, element(head, dtype, i), dtype, n);
      kernels.load(x + kRun, element(head, dtype, half + i), dtype, n);
      kernels.rotate(x, x + kRun, cosine, sine, n);
      kernels.store(element(head, dtype, i), dtype, x, n);
      kernels.store(element(head, dtype, half + i), dtype, x + kRun, n);
    }
  }
}

}  // namespace

void rope_cos_sin(Device& device, const vn_rope_cos_sin_params& p) {
  const int64_t half = p.inv_freq.shape[0];
  const float scale = p.scale == 0.0f ? 1.0f : p.scale;
  const auto* inv_freq = static_cast<const float*>(p.inv_freq.data);
  constexpr int64_t kCost = 16;  // a cosine and a sine, in plain elements
  device.pool.parallel_for(p.positions.shape[0], grain_for(half * kCost), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float position = static_cast<float>(int_at(p.positions, t));
      auto* out = reinterpret_cast<float*>(row_of(p.out, t));
      for (int64_t i = 0; i < half; ++i) {
        const float angle = position * inv_freq[i * p.inv_freq.stride[0]];
        out[i] = std::cos(angle) * scale;
        out[half + i] = std::sin(angle) * scale;
      }
    }
  });
}

void rope(Device& device, const vn_rope_params& p) {
  const RowKernels& kernels = row_kernels(device.isa);
  const int64_t q_heads = p.q.shape[1];
  const int64_t heads = q_heads + (p.k.data ? p.k.shape[1] : 0);
  const int64_t half = p.cos_sin.shape[1] / 2;
  device.pool.parallel_for(p.q.shape[0], grain_for(heads * half * 2), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const auto* cos_sin = reinterpret_cast<const float*>(row_of(p.cos_sin, t));
      for (int64_t h = 0; h < heads; ++h) {
        const bool is_q = h < q_heads;
        char* head = is_q ? row_of(p.q, t, h) : row_of(p.k, t, h - q_heads);
        rotate_head(kernels, p.style, head, is_q ? p.q.dtype : p.k.dtype, cos_sin, half);
      }
    }
  });
}

}  // namespace vn::cpu
