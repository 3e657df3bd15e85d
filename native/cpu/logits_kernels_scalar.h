// One element of each logit kernel: the scalar table is made of these, and vector code uses them for its tails.
// Internal linkage: each file has copies for its own instruction set.
#pragma once

#include <cstdint>

#include "core/fixed_exp.h"
#include "cpu/logits_kernels.h"

namespace vn::cpu {

VN_HOST_DEVICE bool lane_maximum(float logit, float& lane) {
  lane = logit > lane ? logit : lane;
  return !(logit < __builtin_inff());
}

VN_HOST_DEVICE uint64_t kept_mass(float logit, float max_logit, float scale, float min_mass) {
  const float mass = raw_mass(logit, max_logit, scale);
  return mass >= min_mass ? mass_integer(mass) : 0;
}

VN_HOST_DEVICE float whole_mass(float logit, float max_logit, float scale) {
  return static_cast<float>(mass_integer(raw_mass(logit, max_logit, scale)));
}

}  // namespace vn::cpu
