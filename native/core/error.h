// The one exception type inside the native library, and the thread's last message.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "vllm_native.h"

namespace vn {

// Carries a status to the guard at the C boundary. The message is one line: operation, argument, got, expected.
class Error : public std::runtime_error {
 public:
  Error(int32_t status, const std::string& message) : std::runtime_error(message), status_(status) {}
  int32_t status() const { return status_; }

 private:
  int32_t status_;
};

// Sets what vn_last_error() returns on this thread, cut at 1 KiB.
void set_last_error(const char* message) noexcept;
const char* last_error() noexcept;

// printf-style throw.
[[noreturn]] __attribute__((format(printf, 2, 3))) void fail(int32_t status, const char* format, ...);

}  // namespace vn
