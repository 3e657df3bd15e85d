// Weights as the CPU's GEMM reads them.
//
// VN_WEIGHT_LOOKUP is row-major. VN_WEIGHT_GEMM is cut into panels of 16 output rows, each panel contiguous, so that
// one 64-byte line holds what 16 neighbouring outputs need next:
//   BF16      [rows / 16][columns / 2][16][2]   a pair of k for each output: one operand of VDPBF16PS, 16 lines one of TDPBF16PS
//   F32, F16  [rows / 16][columns][16]
// Rows are padded with zeros to whole panels, columns of BF16 to whole pairs. One layout serves every instruction set,
// so a weight never has to know who will read it.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "cpu/device.h"
#include "cpu/ops.h"

namespace vn::cpu {

constexpr int64_t kPanelRows = 16;

struct Weight {
  Device* device;
  int32_t use;
  int32_t dtype;
  int64_t rows;
  int64_t columns;
  int64_t group;         // neighbouring columns of one row that lie side by side: 2 for BF16 panels, else 1
  int64_t panels;        // 0 for LOOKUP
  int64_t panel_stride;  // elements from one panel to the next
  int64_t bytes;         // mapped
  void* data;

  bool packed() const { return use == VN_WEIGHT_GEMM; }
  const char* panel(int64_t index) const {
    return static_cast<const char*>(data) + index * panel_stride * dtype_size(dtype);
  }
};

// Where (row, column) of a packed weight lies, in elements.
inline int64_t packed_offset(const Weight& weight, int64_t row, int64_t column) {
  const int64_t group = weight.group;
  return row / kPanelRows * weight.panel_stride + column / group * (kPanelRows * group) + row % kPanelRows * group +
         column % group;
}

}  // namespace vn::cpu
