// Packs a host matrix into a weight, straight from its source: no second copy of the model exists at any time.
// Threads take panels; inside a panel, pieces of 16 rows x kPiece columns are converted to the weight's dtype in a small
// buffer and interleaved from there.
#include <algorithm>
#include <cstring>

#include "cpu/convert_span.h"
#include "cpu/weight.h"

namespace vn::cpu {

namespace {

constexpr int64_t kPiece = 64;

struct Source {
  const char* data;
  int32_t dtype;
  int64_t element;     // bytes
  int64_t row_stride;  // bytes
  int64_t first_row;   // of the weight
  int64_t rows;
};

// Interleaves `rows` rows of `groups` items each; an item is one element, or a pair of BF16. Rows of the piece are kPiece
// elements apart. An absent row keeps what the weight has.
template <typename Item>
void interleave(Item* out, const Item* piece, int64_t row_items, int64_t rows, int64_t groups) {
  if (rows == kPanelRows) {
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t r = 0; r < kPanelRows; ++r) out[g * kPanelRows + r] = piece[r * row_items + g];
    }
    return;
  }
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < rows; ++r) out[g * kPanelRows + r] = piece[r * row_items + g];
  }
}

void load_panel(Weight& weight, const Source& source, int64_t panel) {
  const int64_t size = dtype_size(weight.dtype);
  const int64_t begin = std::max(panel * kPanelRows, source.first_row);
  const int64_t end = std::min((panel + 1) * kPanelRows, source.first_row + source.rows);
  alignas(64) char piece[kPanelRows * kPiece * 4];
  for (int64_t k = 0; k < weight.columns; k += kPiece) {
    const int64_t columns = std::min(kPiece, weight.columns - k);
    const int64_t groups = (columns + weight.group - 1) / weight.group;
    for (int64_t row = begin; row < end; ++row) {
      char* out = piece + (row - begin) * kPiece * size;
      convert_span(weight.device->isa, out, weight.dtype,
                   source.data + (row - source.first_row) * source.row_stride + k * source.element, source.dtype, columns);
      if (columns % weight.group != 0) std::memset(out + columns * size, 0, static_cast<size_t>(size));
    }
    char* out = static_cast<char*>(weight.data) + packed_offset(weight, begin, k) * size;
    if (size * weight.group == 4) {
      interleave(reinterpret_cast<uint32_t*>(out), reinterpret_cast<const uint32_t*>(piece), kPiece / weight.group,
                 end - begin, groups);
    } else {
      interleave(reinterpret_cast<uint16_t*>(out), reinterpret_cast<const uint16_t*>(piece), kPiece, end - begin, groups);
    }
  }
}

}  // namespace

void weight_load(Weight& weight, int64_t first_row, int64_t rows, const void* data, int32_t source_dtype,
                 int64_t row_stride) {
  if (rows <= 0) return;
  const int64_t element = dtype_size(source_dtype);
  const Source source{static_cast<const char*>(data), source_dtype, element, row_stride * element, first_row, rows};
  ThreadPool& pool = weight.device->pool;
  if (weight.packed()) {
    const int64_t first = first_row / kPanelRows;
    const int64_t last = (first_row + rows - 1) / kPanelRows;
    pool.parallel_for(last - first + 1, 4, [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel) load_panel(weight, source, first + panel);
    });
    return;
  }
  const int64_t out_stride = weight.columns * dtype_size(weight.dtype);
  char* out = static_cast<char*>(weight.data) + first_row * out_stride;
  pool.parallel_for(rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      convert_span(weight.device->isa, out + row * out_stride, weight.dtype, source.data + row * source.row_stride,
                   source_dtype, weight.columns);
    }
  });
}

}  // namespace vn::cpu
