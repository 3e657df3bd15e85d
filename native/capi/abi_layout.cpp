// The layout table of the C ABI's structs, as this compiler lays them out. Callers compare it with their own.
#include <cstddef>

#include "core/guard.h"

namespace {

struct Entry {
  const char* name;
  int64_t bytes;
};

constexpr Entry kEntries[] = {
#include "capi/abi_layout.inc"
};
constexpr int32_t kCount = sizeof kEntries / sizeof kEntries[0];

}  // namespace

extern "C" int32_t vn_abi_layout(int32_t index, const char** out_name, int64_t* out_bytes) {
  return vn::guard([&] {
    if (out_name == nullptr || out_bytes == nullptr) {
      vn::fail(VN_INVALID_ARGUMENT, "abi_layout: %s: got null, expected an address", out_name == nullptr ? "out_name" : "out_bytes");
    }
    if (index < 0 || index >= kCount) {
      vn::fail(VN_INVALID_ARGUMENT, "abi_layout: index: got %d, expected 0..%d", index, kCount - 1);
    }
    *out_name = kEntries[index].name;
    *out_bytes = kEntries[index].bytes;
  });
}
