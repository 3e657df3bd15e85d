// The inner loops over logits, one table for each instruction set. Sums are integers and every floating operation is
// spelled out (core/fixed_exp.h), so all tables return the same bits.
#pragma once

#include <cstdint>

#include "core/penalties.h"
#include "cpu/isa.h"

namespace vn::cpu {

constexpr int64_t kLogitBlock = 1024;  // columns that one kernel call covers at most, where a call works on a block
constexpr int64_t kLogitLanes = 16;    // maxima kept for each block: lane i covers columns i, i + 16, ...
constexpr int64_t kLogitSlack = 16;    // elements that collect may write past the last one it reports

struct LogitKernels {
  // Maxima of the lanes of one block, -inf in empty ones. Returns whether a NaN or +inf is among the n logits.
  bool (*lane_maxima)(const float* logits, int64_t n, float* lanes);
  // Sum of the masses that are at least min_mass.
  uint64_t (*mass_sum)(const float* logits, int64_t n, float max_logit, float scale, float min_mass);
  // The masses as (exact) floats.
  void (*masses)(const float* logits, int64_t n, float max_logit, float scale, float* out);
  // Sum of those masses (as masses returns them) that are at least min_mass.
  uint64_t (*list_sum)(const float* masses, int64_t n, float min_mass);
  // Appends the logits with logit - subtract >= at_least, in order, and first_id + their index. Returns how many.
  int64_t (*collect)(const float* logits, int64_t n, float subtract, float at_least, int32_t first_id, float* values,
                     int32_t* ids);
  int64_t (*count_above)(const float* logits, int64_t n, float value);
  void (*penalise)(float* logits, const int32_t* counts, int64_t n, const Penalties& penalties);
};

extern const LogitKernels kLogitKernelsScalar;
#if defined(__x86_64__)
extern const LogitKernels kLogitKernelsAvx2;
extern const LogitKernels kLogitKernelsAvx512;
#endif

const LogitKernels& logit_kernels(Isa isa);

}  // namespace vn::cpu
