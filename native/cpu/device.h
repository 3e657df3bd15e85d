// The CPU backend's own objects. Streams compute on the calling thread and the device's pool before they return.
#pragma once

#include <chrono>
#include <cstdint>

#include "cpu/isa.h"
#include "cpu/thread_pool.h"

namespace vn::cpu {

struct Device {
  explicit Device(int threads) : pool(threads), isa(detect_isa()) {}

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
