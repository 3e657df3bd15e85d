// Devices: which backend computes, and its lifetime.
#include <memory>

#include "capi/checks.h"
#include "capi/faults.h"
#include "core/guard.h"
#include "core/handles.h"

namespace vn {
namespace {

const BackendTable* backend_of(const char* op, int32_t kind, const char** out_reason) {
  if (kind == VN_DEVICE_CPU) return cpu_backend();
  if (kind == VN_DEVICE_CUDA) return cuda_backend(out_reason);
  fail(VN_INVALID_ARGUMENT, "%s: kind is %d, expected %d (CPU) or %d (CUDA)", op, kind, VN_DEVICE_CPU, VN_DEVICE_CUDA);
}

}  // namespace
}  // namespace vn

int32_t vn_device_count(int32_t kind, int32_t* out_count) {
  return vn::guard([&] {
    if (!out_count) vn::fail(VN_INVALID_ARGUMENT, "device_count: out_count is NULL");
    const char* reason = "";
    const vn::BackendTable* table = vn::backend_of("device_count", kind, &reason);
    int32_t count = 0;
    if (!table) {
      vn::set_last_error(reason);
    } else if (table->device_count(&count) != VN_OK) {
      count = 0;  // the backend has said why
    }
    *out_count = count;
  });
}

int32_t vn_device_create(int32_t kind, int32_t ordinal, const vn_device_options* options, vn_device** out_device) {
  return vn::guard_status([&]() -> int32_t {
    const vn::Checker check("device_create");
    check.pointer("out_device", out_device);
    vn_device_options known{};
    if (options) known = vn::read_struct("device_create", options);
    check.range("options.num_threads", known.num_threads, 0, 1024);
    check.range("options.isa_limit", known.isa_limit, 0, VN_ISA_AMX);
    check.range("options.deterministic", known.deterministic, 0, 1);
    check.range("options.serial_kernels", known.serial_kernels, 0, 1);
    const char* reason = "";
    const vn::BackendTable* table = vn::backend_of("device_create", kind, &reason);
    if (!table) vn::fail(VN_NO_DEVICE, "device_create: %s", reason);
    vn::freeze_library_options();
    auto device = std::make_unique<vn_device>();
    device->table = table;
    device->kind = kind;
    const int32_t status = table->device_create(ordinal, &known, &device->impl);
    if (status == VN_OK) *out_device = device.release();
    return status;
  });
}

void vn_device_destroy(vn_device* device) {
  if (device) vn::release(device);
}

int32_t vn_device_get_info(vn_device* device, vn_device_info* out_info) {
  return vn::guard_status([&]() -> int32_t {
    const vn::Checker check("device_get_info");
    check.pointer("device", device);
    vn::require_alive(*device, "device_get_info");
    const vn_device_info caller = vn::read_struct("device_get_info", out_info);
    vn_device_info info{};
    info.kind = device->kind;
    const int32_t status = vn::note_status(*device, device->table->device_info(device->impl, &info));
    if (status != VN_OK) return status;
    info.struct_size = caller.struct_size;
    std::memcpy(out_info, &info, caller.struct_size < sizeof info ? caller.struct_size : sizeof info);
    return VN_OK;
  });
}
