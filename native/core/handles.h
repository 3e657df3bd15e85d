// What the opaque handles of the C ABI point to. A child holds a reference to its device, so that handles may be
// destroyed in any order and on any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "core/backend.h"

namespace vn {

// A planned misbehaviour of one operation (vn_debug_inject).
struct Fault {
  std::string op;
  std::string action;
  int64_t remaining;  // calls until it strikes
  int64_t value;
};

}  // namespace vn

struct vn_device {
  std::atomic<int32_t> references{1};
  const vn::BackendTable* table = nullptr;
  void* impl = nullptr;
  int32_t kind = 0;
  std::atomic<bool> lost{false};
  std::atomic<bool> has_faults{false};  // read on every call; the list below only when set
  std::mutex fault_mutex;
  std::vector<vn::Fault> faults;
};

struct vn_stream {
  vn_device* device = nullptr;
  void* impl = nullptr;
};

struct vn_event {
  vn_device* device = nullptr;
  void* impl = nullptr;
};

struct vn_buffer {
  vn_device* device = nullptr;
  void* impl = nullptr;
  void* data = nullptr;
  int64_t bytes = 0;
  int32_t memory = 0;
};

struct vn_weight {
  vn_device* device = nullptr;
  void* impl = nullptr;
  int32_t use = 0;
  int32_t dtype = 0;
  int64_t rows = 0;
  int64_t columns = 0;
};

struct vn_graph {
  vn_device* device = nullptr;
  void* impl = nullptr;
};

namespace vn {

inline vn_device* retain(vn_device* device) {
  device->references.fetch_add(1, std::memory_order_relaxed);
  return device;
}

inline void release(vn_device* device) {
  if (device->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    device->table->device_destroy(device->impl);
    delete device;
  }
}

}  // namespace vn
