// Exact selections without sorting the vocabulary.
#pragma once

#include <cstdint>

namespace vn::cpu {

// The k-th largest of n values, 1 <= k <= n, no NaN. Reorders the values.
float kth_largest(float* values, int64_t n, int64_t k);

// The largest mass t with sum of {masses >= t} >= target. masses: whole numbers in [0, 2^39]; their sum is >= target >= 1.
// scratch: n words.
float mass_threshold(const float* masses, int64_t n, uint64_t target, uint32_t* scratch);

}  // namespace vn::cpu
