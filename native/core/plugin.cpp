// Opens libvllm_native_cuda.so from the folder that this library lies in, by absolute path, once. It stays open: device
// handles hold pointers into it.
#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include "capi/faults.h"
#include "core/backend.h"
#include "core/error.h"

namespace vn {
namespace {

constexpr const char* kPluginFile = "libvllm_native_cuda.so";

struct Plugin {
  const BackendTable* table = nullptr;
  std::string reason;  // why there is no table
};

Plugin refused(std::string reason) { return {nullptr, std::move(reason)}; }

void log_to_library(int32_t level, const char* message) {
  const vn_library_options& options = library_options();
  if (options.log) options.log(options.log_user, level, message);
}

constexpr HostTable kHost = {kBackendVersion, set_last_error, log_to_library};

std::string path_beside_this_library() {
  Dl_info info{};
  if (!dladdr(&kHost, &info) || !info.dli_fname) return "";
  return (std::filesystem::absolute(info.dli_fname).parent_path() / kPluginFile).string();
}

Plugin load() {
  const std::string path = path_beside_this_library();
  if (path.empty()) return refused("no CUDA plugin: the loader does not know where libvllm_native.so lies");
  if (access(path.c_str(), R_OK) != 0) return refused("no CUDA plugin at " + path + ": " + std::strerror(errno));
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return refused("the CUDA plugin cannot be opened: " + std::string(dlerror()));
  const auto entry = reinterpret_cast<PluginEntry>(dlsym(library, kPluginEntry));
  if (!entry) return refused("the CUDA plugin at " + path + " does not export " + kPluginEntry);

  const BackendTable* table = entry(&kHost);
  if (!table)
    return refused(path + " does not speak this library's backend version " + std::to_string(kBackendVersion));
  if (table->version != kBackendVersion) {
    return refused(path + " speaks backend version " + std::to_string(table->version) + ", this library " +
                   std::to_string(kBackendVersion));
  }
  if (table->struct_size != sizeof(BackendTable)) {
    return refused(path + " has a backend table of " + std::to_string(table->struct_size) +
                   " bytes, this library one of " + std::to_string(sizeof(BackendTable)));
  }
  int32_t count = 0;
  set_last_error("");
  if (table->device_count(&count) != VN_OK) return refused(last_error());
  if (count == 0) return refused("the CUDA plugin at " + path + " found no device");
  return {table, ""};
}

}  // namespace

const BackendTable* cuda_backend(const char** out_reason) {
  static const Plugin plugin = load();
  if (!plugin.table) *out_reason = plugin.reason.c_str();
  return plugin.table;
}

}  // namespace vn
