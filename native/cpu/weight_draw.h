// Pieces of the random rows of weight_fill.cpp.
#pragma once

#include <cstdint>

namespace vn::cpu {

// The key of one row, and what its values are scaled with and cut off at.
struct RowDraw {
  uint32_t low;
  uint32_t high;
  float scale;
  float limit;
};

#if defined(__x86_64__)
// out[i] = value(column + i); the same bits as draw_value in weight_fill.cpp.
void draw_span_avx2(const RowDraw& row, uint32_t column, int64_t count, float* out);
#endif

}  // namespace vn::cpu
