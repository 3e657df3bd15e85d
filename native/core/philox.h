// Philox4x32-10: a counter-based generator, so that a draw is a pure function of (seed, position) on any device and in any
// batch. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace vn {

struct Philox4 {
  uint32_t v[4];
};

VN_HOST_DEVICE Philox4 philox4x32_10(Philox4 counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = static_cast<uint64_t>(0xD2511F53u) * counter.v[0];
    const uint64_t b = static_cast<uint64_t>(0xCD9E8D57u) * counter.v[2];
    counter = {{static_cast<uint32_t>(b >> 32) ^ counter.v[1] ^ key0, static_cast<uint32_t>(b),
                static_cast<uint32_t>(a >> 32) ^ counter.v[3] ^ key1, static_cast<uint32_t>(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The 64 random bits of one sampled token: key = seed, counter = (position, 0, 0, 0), words 0 (low) and 1 (high).
VN_HOST_DEVICE uint64_t draw_bits(uint64_t seed, int32_t position) {
  const Philox4 out = philox4x32_10({{static_cast<uint32_t>(position), 0u, 0u, 0u}}, static_cast<uint32_t>(seed),
                                    static_cast<uint32_t>(seed >> 32));
  return (static_cast<uint64_t>(out.v[1]) << 32) | out.v[0];
}

}  // namespace vn
