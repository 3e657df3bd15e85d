// The CPU backend's own objects. Streams compute on the calling thread and the device's pool before they return.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "cpu/isa.h"
#include "cpu/thread_pool.h"

namespace vn::cpu {

struct Device {
  Device(int threads, int32_t isa_limit) : pool(threads), isa(detect_isa()) {
    if (isa_limit != 0) isa = std::min(isa, static_cast<Isa>(isa_limit));
  }

  ThreadPool pool;
  Isa isa;
};

struct Stream {
  Device* device;
};

struct Event {
  std::chrono::steady_clock::time_point at;
};

}  // namespace vn::cpu
