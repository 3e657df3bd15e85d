// What an instruction set gives to the GEMM driver (gemm.cpp): for each dtype of W a family of kernels.
//
// A kernel multiplies one block of x (1..max_rows rows, packed [columns][rows]) with up to `panels` panels of W and leaves
// f32 sums in a tile, row r at tile + r * kTileStride. Each output has one accumulator, fed in ascending k from zero: the
// sums do not depend on how many rows or panels the kernel was given, and that is what makes results batch-invariant.
//
// Only plain declarations here: files compiled for other instruction sets include it.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace vn::cpu {

constexpr int64_t kTilePanels = 4;
constexpr int64_t kTileStride = kTilePanels * 16;
constexpr int64_t kMaxBlockRows = 14;

// x: packed rows; w: the first panel; stride: bytes from panel to panel; columns: unpadded.
using GemmKernel = void (*)(const void* x, const char* w, int64_t stride, int64_t columns, int64_t panels, float* tile);

struct GemmFamily {
  bool pairs;         // x is packed as BF16, [columns / 2][rows][2]; else as F32, [columns][rows]
  int32_t max_rows;
  int32_t panels[kMaxBlockRows];      // panels that kernel[rows - 1] takes at a time
  GemmKernel kernel[kMaxBlockRows];
};

// y[i] = round(tile[i] + bias[i]) to y's dtype; bias may be null.
using GemmStore = void (*)(const float* tile, const float* bias, int64_t count, void* y, int32_t dtype);

struct GemmKernels {
  GemmFamily f32;        // by dtype of W, x as F32
  GemmFamily f16;
  GemmFamily bf16;
  GemmFamily bf16_pairs;  // both BF16, as BF16; pairs = false where the processor cannot
  GemmStore store;
};

const GemmKernels& gemm_kernels(Isa isa);

extern const GemmKernels kGemmScalar;

}  // namespace vn::cpu
