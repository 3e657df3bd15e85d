// Masses: unnormalised probabilities as integers, so that their sums depend on no order, thread count, batch or device.
//
//   scale = (1 / temperature) * log2(e)          two roundings
//   x     = max((logit - max_logit) * scale, -64) two roundings; NaN (inf * 0) becomes -64
//   n     = round(x), f = x - n                  n by adding 1.5 * 2^23, f exact
//   p     = 1 + f * q(f)                         Horner, six fused multiply-adds, relative error < 1e-7
//   mass  = trunc(p * 2^(n + 39))                exact; the largest logit has mass 2^39, -inf has 0
//
// What is lost: a token less than 2^-39 times as likely as the most likely one has mass 0 and is never drawn, one of 2^-30
// times is drawn up to a part in 2^9 too seldom. With 128256 tokens all that is a 4 millionth of the most likely one's mass.
//
// A mass has at most 24 significant bits, hence is exact as a float, and 2^24 of them (the largest vocabulary) sum to 2^63.
// Every step is one IEEE operation: vector code and CUDA repeat it literally. Thresholds are integers stored as floats, so
// "trunc(m) >= threshold" may be tested as "m >= threshold" before truncating. Among all floats x in [-41, 0] the mass falls
// with rising x 83025 times, each time by its last bit: so top-k compares logits, min-p and top-p compare masses, and nothing
// may assume that the two orders agree to the last bit.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace vn {

constexpr int kMassBits = 39;
constexpr float kMassOne = 0x1p39f;   // mass of the most likely token
constexpr float kMassFloor = -64.0f;  // 2^-64 has mass 0
constexpr float kLog2E = 0x1.715476p+0f;
constexpr float kRoundMagic = 0x1.8p23f;

// 2^f = 1 + f * (c1 + f * (c2 + ...)) on [-1/2, 1/2]; minimax fit of the relative error (2e-9 before rounding).
constexpr float kExpC1 = 0x1.62e43p-1f;
constexpr float kExpC2 = 0x1.ebfbdcp-3f;
constexpr float kExpC3 = 0x1.c6aee8p-5f;
constexpr float kExpC4 = 0x1.3b2d4cp-7f;
constexpr float kExpC5 = 0x1.5f3e52p-10f;
constexpr float kExpC6 = 0x1.41fbbcp-13f;

VN_HOST_DEVICE float mass_scale(float temperature) { return ieee_mul(ieee_div(1.0f, temperature), kLog2E); }

// The mass before truncation: 2^39 * 2^x.
VN_HOST_DEVICE float raw_mass(float logit, float max_logit, float scale) {
  float x = ieee_mul(ieee_sub(logit, max_logit), scale);
  x = x > kMassFloor ? x : kMassFloor;
  const float shifted = ieee_add(x, kRoundMagic);
  const float f = ieee_sub(x, ieee_sub(shifted, kRoundMagic));
  float p = ieee_fma(kExpC6, f, kExpC5);
  p = ieee_fma(p, f, kExpC4);
  p = ieee_fma(p, f, kExpC3);
  p = ieee_fma(p, f, kExpC2);
  p = ieee_fma(p, f, kExpC1);
  p = ieee_fma(p, f, 1.0f);
  const uint32_t n = float_bits(shifted) - float_bits(kRoundMagic) + static_cast<uint32_t>(kMassBits);
  return bits_float(float_bits(p) + (n << 23));
}

// By way of int64: on x86 a direct conversion to uint64 costs a branch.
VN_HOST_DEVICE uint64_t mass_integer(float raw) { return static_cast<uint64_t>(static_cast<int64_t>(raw)); }

// Smallest mass that min-p keeps: ceil(min_p * 2^39), at least 1. Off (<= 0 or NaN) = 1: a token of mass 0 is never drawn.
VN_HOST_DEVICE float min_p_mass(float min_p) {
  if (!(min_p > 0.0f)) return 1.0f;
  if (min_p >= 1.0f) return kMassOne;
  const float bound = ieee_mul(min_p, kMassOne);
  const uint64_t whole = static_cast<uint64_t>(bound);
  const float rounded = static_cast<float>(whole + (static_cast<float>(whole) < bound ? 1u : 0u));
  return rounded < 1.0f ? 1.0f : rounded;
}

// The cumulative mass that top-p asks for: ceil(top_p * total), at least 1; 0 < top_p < 1.
VN_HOST_DEVICE uint64_t top_p_target(float top_p, uint64_t total) {
  const uint64_t fraction = static_cast<uint64_t>(ieee_mul(top_p, 0x1p64f));  // exact for top_p >= 2^-40
  const uint64_t target = mul_high(fraction, total) + (fraction * total != 0 ? 1u : 0u);
  return target == 0 ? 1 : target;
}

// Below this difference to the largest logit, every mass is less than min_mass (a whole octave of slack, so that
// rounding cannot matter). Only ever skips work; never decides what is kept.
VN_HOST_DEVICE float skip_below(float min_mass, float scale) {
  const int exponent = static_cast<int>(float_bits(min_mass) >> 23) - 127;
  return ieee_div(static_cast<float>(exponent - kMassBits - 1), scale);
}

}  // namespace vn
