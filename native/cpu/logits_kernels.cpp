#include "cpu/logits_kernels.h"

#include "cpu/logits_kernels_scalar.h"

namespace vn::cpu {

namespace {

bool lane_maxima(const float* logits, int64_t n, float* lanes) {
  for (int64_t i = 0; i < kLogitLanes; ++i) lanes[i] = -__builtin_inff();
  bool bad = false;
  for (int64_t i = 0; i < n; ++i) bad |= lane_maximum(logits[i], lanes[i % kLogitLanes]);
  return bad;
}

uint64_t mass_sum(const float* logits, int64_t n, float max_logit, float scale, float min_mass) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += kept_mass(logits[i], max_logit, scale, min_mass);
  return sum;
}

void masses(const float* logits, int64_t n, float max_logit, float scale, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = whole_mass(logits[i], max_logit, scale);
}

uint64_t list_sum(const float* masses, int64_t n, float min_mass) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += masses[i] >= min_mass ? mass_integer(masses[i]) : 0;
  return sum;
}

int64_t collect(const float* logits, int64_t n, float subtract, float at_least, int32_t first_id, float* values,
                int32_t* ids) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    values[count] = logits[i];
    ids[count] = first_id + static_cast<int32_t>(i);
    count += ieee_sub(logits[i], subtract) >= at_least;
  }
  return count;
}

int64_t count_above(const float* logits, int64_t n, float value) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) count += logits[i] > value;
  return count;
}

void penalise(float* logits, const int32_t* counts, int64_t n, const Penalties& penalties) {
  for (int64_t i = 0; i < n; ++i) {
    if (counts[i] != 0) logits[i] = penalised(logits[i], counts[i], penalties);
  }
}

}  // namespace

extern const LogitKernels kLogitKernelsScalar = {lane_maxima, mass_sum, masses, list_sum, collect, count_above, penalise};

const LogitKernels& logit_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx512) return kLogitKernelsAvx512;
  if (isa >= Isa::kAvx2) return kLogitKernelsAvx2;
#endif
  (void)isa;
  return kLogitKernelsScalar;
}

}  // namespace vn::cpu
