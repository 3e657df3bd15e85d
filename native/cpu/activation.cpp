// out = activation(x[:, :F]) * x[:, F:], in f32. Work is cut into runs of kRun columns, so that one wide row uses every
// thread; elements do not depend on one another.
#include <algorithm>

#include "cpu/ops.h"
#include "cpu/row_kernels.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

void gated_activation(Device& device, const vn_gated_activation_params& p) {
  const RowKernels& kernels = row_kernels(device.isa);
  const int64_t width = p.out.shape[1];
  const int64_t runs = (width + kRun - 1) / kRun;
  constexpr int64_t kCost = 4;  // an exponential and a division, in plain elements
  device.pool.parallel_for(p.out.shape[0] * runs, grain_for(std::min(kRun, width) * kCost), [&](int64_t begin, int64_t end) {
    alignas(64) float gate[kRun], up[kRun];
    for (int64_t item = begin; item < end; ++item) {
      const int64_t t = item / runs, i = item % runs * kRun;
      const int64_t n = std::min(kRun, width - i);
      kernels.load(gate, element(row_of(p.x, t), p.x.dtype, i), p.x.dtype, n);
      kernels.load(up, element(row_of(p.x, t), p.x.dtype, width + i), p.x.dtype, n);
      kernels.gate(p.activation, gate, up, n);
      kernels.store(element(row_of(p.out, t), p.out.dtype, i), p.out.dtype, gate, n);
    }
  });
}

}  // namespace vn::cpu
