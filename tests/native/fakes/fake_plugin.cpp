// CUDA plugins that are wrong in one way each, chosen by VN_FAKE_... (plugin_test.cpp).
#include "core/backend.h"

namespace {

const vn::HostTable* g_host = nullptr;

int32_t no_device(int32_t*) {
  g_host->set_error("CUDA driver not found: it is a fake");
  return VN_NO_DEVICE;
}

}  // namespace

#ifdef VN_FAKE_NO_ENTRY
#define vn_cuda_plugin_table vn_another_name
#endif

extern "C" const vn::BackendTable* vn_cuda_plugin_table(const vn::HostTable* host) {
  static vn::BackendTable table{};
  g_host = host;
  table.version = vn::kBackendVersion;
  table.struct_size = sizeof table;
  table.device_count = no_device;
#ifdef VN_FAKE_VERSION
  table.version = 2;
#endif
#ifdef VN_FAKE_SIZE
  table.struct_size = 16;
#endif
#ifdef VN_FAKE_REFUSES
  return nullptr;
#endif
  return &table;
}
