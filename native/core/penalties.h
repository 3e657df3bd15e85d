// What a request's penalties do to one logit, the same bits on every device.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace vn {

struct Penalties {
  float repetition;
  float frequency;
  float presence;
};

// count: bit 31 = in the prompt, the rest = how often generated (vn_token_counts).
VN_HOST_DEVICE float penalised(float logit, int32_t count, const Penalties& penalties) {
  if (count == 0) return logit;
  logit = logit > 0.0f ? ieee_div(logit, penalties.repetition) : ieee_mul(logit, penalties.repetition);
  const int32_t generated = count & 0x7fffffff;
  if (generated == 0) return logit;
  logit = ieee_sub(logit, ieee_mul(penalties.frequency, static_cast<float>(generated)));
  return ieee_sub(logit, penalties.presence);
}

}  // namespace vn
