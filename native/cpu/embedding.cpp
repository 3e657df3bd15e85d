// out[t] = table[ids[t]] * scale: [T] ids, [vocab, H] table, [T, H] out. The table may be row-major or a GEMM operand
// (tied embeddings), whose rows are gathered out of their panels. An id outside the table reads row 0.
#include <algorithm>

#include "core/handles.h"
#include "cpu/convert.h"
#include "cpu/weight.h"

namespace vn::cpu {

namespace {

template <typename From, typename To>
void read_row(const Weight& table, int64_t row, float scale, To* out) {
  const From* data = static_cast<const From*>(table.data);
  if (!table.packed()) {
    data += row * table.columns;
    for (int64_t k = 0; k < table.columns; ++k) out[k] = from_float<To>(to_float(data[k]) * scale);
    return;
  }
  data += packed_offset(table, row, 0);
  const int64_t group = table.group;
  for (int64_t k = 0; k < table.columns; k += group) {
    const int64_t count = std::min(group, table.columns - k);
    for (int64_t i = 0; i < count; ++i) out[k + i] = from_float<To>(to_float(data[k * kPanelRows + i]) * scale);
  }
}

}  // namespace

void embedding(Device& device, const vn_embedding_params& params) {
  const Weight& table = *static_cast<const Weight*>(params.table->impl);
  const float scale = params.scale == 0.0f ? 1.0f : params.scale;
  const int32_t* ids = static_cast<const int32_t*>(params.ids.data);
  const int64_t id_stride = params.ids.stride[0];
  const int64_t out_stride = params.out.stride[0];
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, table.columns));
  with_float_type(table.dtype, [&](auto from) {
    with_float_type(params.out.dtype, [&](auto to) {
      auto* out = static_cast<decltype(to)*>(params.out.data);
      device.pool.parallel_for(params.ids.shape[0], grain, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          const int32_t id = ids[t * id_stride];
          read_row<decltype(from)>(table, id >= 0 && id < table.rows ? id : 0, scale, out + t * out_stride);
        }
      });
    });
  });
}

}  // namespace vn::cpu
