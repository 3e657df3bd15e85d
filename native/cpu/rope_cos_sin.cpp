// The table of rotary position embedding: angles are f32 products, turned into cosine and sine once a step.
#include <cmath>

#include "cpu/ops.h"
#include "cpu/row_kernels.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

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

}  // namespace vn::cpu
