// Work on short runs of f32 values, in one table for each instruction set: operations convert a run to f32 on the stack,
// compute there, and convert it back. A run's result depends on its values alone.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace vn::cpu {

// Elements that an operation keeps on its stack at a time. A multiple of every vector width, so that where a row is cut
// into runs decides nothing but the order of sums, which is thereby fixed.
constexpr int64_t kRun = 512;

struct RowKernels {
  // out[i] = in[i], converted; n is unlimited.
  void (*load)(float* out, const void* in, int32_t dtype, int64_t n);
  void (*store)(void* out, int32_t dtype, const float* in, int64_t n);
  // out[i] += in[i]
  void (*add)(float* out, const float* in, int64_t n);
  // sum of x[i]^2: vector lanes, then across them.
  float (*sum_squares)(const float* x, int64_t n);
  // x[i] = x[i] * factor * (weight[i] + offset)
  void (*scale)(float* x, const float* weight, float factor, float offset, int64_t n);
  // (low[i], high[i]) turned by the angle of (cosine[i], sine[i])
  void (*rotate)(float* low, float* high, const float* cosine, const float* sine, int64_t n);
  // The same for neighbours: (x[2i], x[2i + 1])
  void (*rotate_pairs)(float* x, const float* cosine, const float* sine, int64_t pairs);
  // gate[i] = activation(gate[i]) * up[i]
  void (*gate)(int32_t activation, float* gate, const float* up, int64_t n);
};

const RowKernels& row_kernels(Isa isa);

// One table for each instruction set; null where the compiler's target has none.
const RowKernels* row_kernels_portable();
const RowKernels* row_kernels_avx2();
const RowKernels* row_kernels_avx512();

// Items of `work` elements each that are worth a thread: below, waking one costs more than it saves.
inline int64_t grain_for(int64_t work) { return work >= 8192 ? 1 : (8192 + work - 1) / (work > 0 ? work : 1); }

}  // namespace vn::cpu
