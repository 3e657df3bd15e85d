// What an instruction set gives to the GEMM driver (gemm.cpp): for each dtype of W a family of kernels.
//
// A kernel multiplies one block of x (1..max_rows rows, packed [columns / group][rows][group]) with up to kTilePanels
// panels of W and leaves f32 sums in a tile, row r at tile + r * kTileStride. Each output has one accumulator, fed in ascending k from
// zero, or from what the tile holds already: the sums do not depend on how many rows or panels the kernel was given,
// nor on where K was cut (between groups), and that is what makes results batch-invariant.
//
// Only plain declarations here: files compiled for other instruction sets include it.
#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "vllm_native.h"

namespace vn::cpu {

constexpr int64_t kTilePanels = 4;
constexpr int64_t kTileStride = kTilePanels * 16;
constexpr int64_t kMaxBlockRows = 32;

// x and w: packed, at the first k; stride: bytes from panel to panel; columns: of this call, unpadded; resume: go on
// from the tile's sums.
using GemmKernel = void (*)(const void* x, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
                            float* tile);

struct GemmFamily {
  int32_t group;  // columns of a row of x side by side: 1 of F32, or more of BF16, the last ones padded with zeros
  int32_t max_rows;
  GemmKernel kernel[kMaxBlockRows];  // by rows - 1
};

// y[i] = round(tile[i] + bias[i]) to y's dtype; bias may be null.
using GemmStore = void (*)(const float* tile, const float* bias, int64_t count, void* y, int32_t dtype);

struct GemmKernels {
  const GemmFamily* f32;  // by dtype of W, x as F32
  const GemmFamily* f16;
  const GemmFamily* bf16;
  GemmStore store;
};

// What multiplies these dtypes best. The answer must not depend on anything else: batch invariance rests on it.
const GemmFamily& gemm_family(Isa isa, int32_t w_dtype, int32_t x_dtype);
GemmStore gemm_store(Isa isa);

extern const GemmKernels kGemmScalar;
#if defined(__x86_64__)
extern const GemmKernels kGemmAvx2;
extern const GemmKernels kGemmAvx512;
extern const GemmFamily kGemmAvx512Bf16;  // both operands BF16
extern const GemmFamily kGemmAmx;

// The sums of kGemmAmx for so many rows, without tiles. Functions, so that the family is a constant: code that would
// make it one at load could hold instructions that the processor lacks.
void gemm_few_1(const void* x, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
                float* tile);
void gemm_few_2(const void* x, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
                float* tile);
#endif

}  // namespace vn::cpu
