// out[i] = x[rows[i]]; an index outside x reads row 0.
#include <cstring>

#include "cpu/ops.h"
#include "cpu/row_kernels.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

void gather_rows(Device& device, const vn_gather_rows_params& p) {
  const int64_t source_rows = p.x.shape[0];
  if (source_rows == 0) return;
  const size_t bytes = static_cast<size_t>(p.x.shape[1] * dtype_size(p.x.dtype));
  device.pool.parallel_for(p.out.shape[0], grain_for(p.x.shape[1] / 2), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = int_at(p.rows, i);
      std::memcpy(row_of(p.out, i), row_of(p.x, in_range(row, source_rows) ? row : 0), bytes);
    }
  });
}

}  // namespace vn::cpu
