// The exception firewall of the C boundary: whatever a body throws becomes a status and a message.
#pragma once

#include <exception>
#include <new>

#include "core/error.h"

namespace vn {

// The body returns a status of its own.
template <typename Body>
int32_t guard_status(Body&& body) noexcept {
  try {
    return body();
  } catch (const Error& error) {
    set_last_error(error.what());
    return error.status();
  } catch (const std::bad_alloc&) {
    set_last_error("the system refused host memory");
    return VN_OUT_OF_HOST_MEMORY;
  } catch (const std::exception& error) {
    set_last_error(error.what());
    return VN_INTERNAL;
  } catch (...) {
    set_last_error("unknown exception");
    return VN_INTERNAL;
  }
}

// The body succeeds by returning.
template <typename Body>
int32_t guard(Body&& body) noexcept {
  return guard_status([&]() -> int32_t {
    body();
    return VN_OK;
  });
}

}  // namespace vn
