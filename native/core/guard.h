// The exception firewall of the C boundary: whatever a body throws becomes a status and a message.
#pragma once

#include <exception>
#include <new>

#include "core/error.h"

namespace vn {

template <typename Body>
int32_t guard(Body&& body) noexcept {
  try {
    body();
    return VN_OK;
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

}  // namespace vn
