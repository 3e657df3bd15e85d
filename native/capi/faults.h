// Planned misbehaviour for tests (vn_debug_inject), and the state of a lost device.
#pragma once

#include <cstdint>

#include "core/handles.h"

namespace vn {

// Library options set by vn_library_init.
const vn_library_options& library_options();
// From the first device on, options are fixed.
void freeze_library_options();

struct Strike {
  enum Kind { kNone, kFail, kNanRow, kPending } kind = kNone;
  int64_t value = 0;
};

// Counts a call of op on the device; sleeps for delay_ms, marks the device lost for lost, and returns what the caller must
// do. Cheap when nothing is planned.
Strike take_strike(vn_device& device, const char* op);

// Throws VN_DEVICE_LOST when the device is lost.
void require_alive(const vn_device& device, const char* op);

// Passes a backend's status on, remembering a lost device.
int32_t note_status(vn_device& device, int32_t status);

}  // namespace vn
