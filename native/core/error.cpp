#include "core/error.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace vn {

namespace {
constexpr size_t kMessageBytes = 1024;
thread_local char t_message[kMessageBytes] = "";
}  // namespace

void set_last_error(const char* message) noexcept {
  std::snprintf(t_message, kMessageBytes, "%s", message);
}

const char* last_error() noexcept { return t_message; }

void fail(int32_t status, const char* format, ...) {
  char text[kMessageBytes];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw Error(status, text);
}

}  // namespace vn
