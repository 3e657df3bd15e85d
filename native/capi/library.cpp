// Version, last error, options of the whole process.
#include <atomic>
#include <mutex>

#include "capi/checks.h"
#include "capi/faults.h"
#include "core/error.h"
#include "core/guard.h"

namespace vn {

namespace {
std::mutex g_mutex;
vn_library_options g_options{};
std::atomic<bool> g_frozen{false};
}  // namespace

const vn_library_options& library_options() { return g_options; }

void freeze_library_options() { g_frozen.store(true); }

}  // namespace vn

int32_t vn_abi_version(void) { return VN_ABI_VERSION; }

const char* vn_last_error(void) { return vn::last_error(); }

int32_t vn_library_init(const vn_library_options* options) {
  return vn::guard([&] {
    const std::lock_guard lock(vn::g_mutex);
    if (vn::g_frozen.load()) vn::fail(VN_INVALID_ARGUMENT, "library_init: a device was already created");
    vn::g_options = options ? vn::read_struct("library_init", options) : vn_library_options{};
  });
}
