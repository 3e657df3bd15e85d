// Row counts that share a choice: the CUDA device times GEMM kernels once for each bucket, and an engine that pads its decode
// batches to buckets computes exactly what was timed. 1, 2, 4, 8, multiples of 8 up to 256, then four between each power of two and
// the next: a step that computes a decode batch and a short prompt has few rows more than 256.
#pragma once

#include <cstdint>

namespace vn {

// The smallest bucket with room for `rows` rows, at least 1.
constexpr int64_t row_bucket(int64_t rows) {
  if (rows <= 1) return 1;
  if (rows == 2) return 2;
  if (rows <= 4) return 4;
  if (rows <= 256) return (rows + 7) / 8 * 8;
  int64_t power = 256;  // < rows <= 2 * power
  while (2 * power < rows) power *= 2;
  return (rows + power / 4 - 1) / (power / 4) * (power / 4);
}

}  // namespace vn
