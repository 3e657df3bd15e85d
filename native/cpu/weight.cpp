// Memory of weights: one anonymous mapping each, in huge pages where the system has them, because a decode step streams
// all of it and would otherwise spend its time in the TLB. Fresh pages are zero, which is what the padding needs.
#include "cpu/weight.h"

#include <sys/mman.h>

#include "core/error.h"

namespace vn::cpu {

namespace {

// Bytes of [rows, columns] with padding; false when they do not fit in 63 bits.
bool lay_out(Weight& weight) {
  const int64_t size = dtype_size(weight.dtype);
  if (!weight.packed()) {
    return !__builtin_mul_overflow(weight.rows, weight.columns, &weight.bytes) &&
           !__builtin_mul_overflow(weight.bytes, size, &weight.bytes);
  }
  weight.group = weight.dtype == VN_DTYPE_BF16 ? 2 : 1;
  int64_t columns;
  if (__builtin_add_overflow(weight.columns, weight.group - 1, &columns)) return false;
  columns = columns / weight.group * weight.group;
  weight.panels = weight.rows / kPanelRows + (weight.rows % kPanelRows != 0);
  return !__builtin_mul_overflow(columns, kPanelRows, &weight.panel_stride) &&
         !__builtin_mul_overflow(weight.panels, weight.panel_stride, &weight.bytes) &&
         !__builtin_mul_overflow(weight.bytes, size, &weight.bytes);
}

}  // namespace

Weight* weight_create(Device& device, int32_t use, int32_t dtype, int64_t rows, int64_t columns) {
  Weight weight{&device, use, dtype, rows, columns, 1, 0, 0, 0, nullptr};
  const bool fits = lay_out(weight);
  if (fits && weight.bytes > 0) {
    void* data = mmap(nullptr, static_cast<size_t>(weight.bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);
    if (data != MAP_FAILED) weight.data = data;
  }
  if (!fits || (weight.bytes > 0 && !weight.data)) {
    fail(VN_OUT_OF_HOST_MEMORY, "weight_create: the system refused memory for %lld x %lld of %s",
         static_cast<long long>(rows), static_cast<long long>(columns), dtype_name(dtype));
  }
  if (weight.data) madvise(weight.data, static_cast<size_t>(weight.bytes), MADV_HUGEPAGE);
  return new Weight(weight);
}

void weight_destroy(Weight* weight) {
  if (!weight) return;
  if (weight->data) munmap(weight->data, static_cast<size_t>(weight->bytes));
  delete weight;
}

int64_t weight_bytes(const Weight& weight) { return weight.bytes; }

}  // namespace vn::cpu
