#include "capi/faults.h"

#include <chrono>
#include <cstring>
#include <thread>

#include "core/error.h"
#include "core/guard.h"

namespace vn {

namespace {
bool known_action(const char* action) {
  for (const char* name : {"fail", "nan_row", "pending", "delay_ms", "lost"}) {
    if (std::strcmp(action, name) == 0) return true;
  }
  return false;
}
}  // namespace

Strike take_strike(vn_device& device, const char* op) {
  if (!device.has_faults.load(std::memory_order_acquire)) return {};
  Fault struck{};
  {
    const std::lock_guard lock(device.fault_mutex);
    for (auto fault = device.faults.begin(); fault != device.faults.end(); ++fault) {
      if (fault->op != op || --fault->remaining > 0) continue;
      struck = *fault;
      device.faults.erase(fault);
      device.has_faults.store(!device.faults.empty(), std::memory_order_release);
      break;
    }
  }
  if (struck.action == "fail") return {Strike::kFail, struck.value};
  if (struck.action == "nan_row") return {Strike::kNanRow, struck.value};
  if (struck.action == "pending") return {Strike::kPending, 0};
  if (struck.action == "delay_ms") std::this_thread::sleep_for(std::chrono::milliseconds(struck.value));
  if (struck.action == "lost") device.lost.store(true);
  return {};
}

void require_alive(const vn_device& device, const char* op) {
  if (device.lost.load(std::memory_order_relaxed)) fail(VN_DEVICE_LOST, "%s: the device is lost", op);
}

int32_t note_status(vn_device& device, int32_t status) {
  if (status == VN_DEVICE_LOST) device.lost.store(true);
  return status;
}

}  // namespace vn

int32_t vn_debug_inject(vn_device* device, const char* op, int64_t nth, const char* action, int64_t value) {
  return vn::guard([&] {
    if (!device || !op || !action) vn::fail(VN_INVALID_ARGUMENT, "debug_inject: an argument is NULL");
    if (!vn::library_options().allow_faults) {
      vn::fail(VN_UNSUPPORTED, "debug_inject: the library was not initialised with allow_faults");
    }
    if (nth < 1) vn::fail(VN_INVALID_ARGUMENT, "debug_inject: nth is %lld, expected 1 or more", static_cast<long long>(nth));
    if (!vn::known_action(action)) {
      vn::fail(VN_INVALID_ARGUMENT, "debug_inject: action is \"%s\", expected fail, nan_row, pending, delay_ms or lost", action);
    }
    const std::lock_guard lock(device->fault_mutex);
    device->faults.push_back({op, action, nth, value});
    device->has_faults.store(true, std::memory_order_release);
  });
}
