// Writing rows of a GEMM weight: a producer makes pieces of single rows in the weight's dtype, and they are interleaved
// into the panel from a small buffer. Shared by weight_load.cpp and weight_fill.cpp.
#pragma once

#include <algorithm>
#include <cstring>

#include "cpu/weight.h"

namespace vn::cpu {

constexpr int64_t kPackColumns = 64;  // a piece: 16 rows of it lie in L1, and a row's part is whole cache lines

// out[g][row] = piece[row][g] for `groups` items of each row; an item is one element, or a pair of BF16.
template <typename Item>
void interleave_rows(Item* out, const Item* piece, int64_t row_items, int64_t rows, int64_t groups) {
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

// Writes rows [begin, end) of one panel; other rows keep what they hold.
// produce(row, column, count, out) makes `count` elements of one row.
template <typename Produce>
void pack_panel_rows(Weight& weight, int64_t begin, int64_t end, Produce&& produce) {
  const int64_t size = dtype_size(weight.dtype);
  const int64_t item = size * weight.group;
  alignas(64) char piece[kPanelRows * kPackColumns * 4];
  for (int64_t k = 0; k < weight.columns; k += kPackColumns) {
    const int64_t columns = std::min(kPackColumns, weight.columns - k);
    const int64_t groups = (columns + weight.group - 1) / weight.group;
    for (int64_t row = begin; row < end; ++row) {
      char* out = piece + (row - begin) * kPackColumns * size;
      produce(row, k, columns, out);
      std::memset(out + columns * size, 0, static_cast<size_t>(groups * item - columns * size));
    }
    char* out = static_cast<char*>(weight.data) + packed_offset(weight, begin, k) * size;
    if (item == 4) {
      interleave_rows(reinterpret_cast<uint32_t*>(out), reinterpret_cast<const uint32_t*>(piece),
                      kPackColumns / weight.group, end - begin, groups);
    } else {
      interleave_rows(reinterpret_cast<uint16_t*>(out), reinterpret_cast<const uint16_t*>(piece), kPackColumns,
                      end - begin, groups);
    }
  }
}

// Writes rows [first_row, first_row + rows) of a weight of either layout, on all threads.
template <typename Produce>
void write_rows(Weight& weight, int64_t first_row, int64_t rows, Produce&& produce) {
  ThreadPool& pool = weight.device->pool;
  if (weight.packed()) {
    const int64_t first = first_row / kPanelRows;
    const int64_t last = (first_row + rows - 1) / kPanelRows;
    pool.parallel_for(last - first + 1, 4, [&](int64_t begin, int64_t end) {
      for (int64_t panel = first + begin; panel < first + end; ++panel) {
        pack_panel_rows(weight, std::max(panel * kPanelRows, first_row),
                        std::min((panel + 1) * kPanelRows, first_row + rows), produce);
      }
    });
    return;
  }
  const int64_t size = dtype_size(weight.dtype);
  pool.parallel_for(rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = first_row + begin; row < first_row + end; ++row) {
      char* out = static_cast<char*>(weight.data) + row * weight.columns * size;
      for (int64_t k = 0; k < weight.columns; k += kPackColumns) {
        produce(row, k, std::min(kPackColumns, weight.columns - k), out + k * size);
      }
    }
  });
}

}  // namespace vn::cpu
