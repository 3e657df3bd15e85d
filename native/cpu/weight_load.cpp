// Packs a host matrix into a weight, converting on the way, straight from its source: no second copy of the model
// exists at any time, and a memory-mapped checkpoint is read once, front to back.
#include "cpu/convert_span.h"
#include "cpu/weight_pack.h"

namespace vn::cpu {

void weight_load(Weight& weight, int64_t first_row, int64_t rows, const void* source, int32_t source_dtype,
                 int64_t row_stride) {
  if (rows <= 0) return;
  const int64_t element = dtype_size(source_dtype);
  const Isa isa = weight.device->isa;
  write_rows(weight, first_row, rows, [=, &weight](int64_t row, int64_t column, int64_t count, char* out) {
    const char* from = static_cast<const char*>(source) + ((row - first_row) * row_stride + column) * element;
    convert_span(isa, out, weight.dtype, from, source_dtype, count);
  });
}

}  // namespace vn::cpu
