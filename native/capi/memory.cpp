// Buffers, copies and weights.
#include <memory>

#include "capi/checks.h"
#include "capi/faults.h"
#include "core/guard.h"
#include "core/handles.h"

namespace vn {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 46;

void check_float_dtype(const Checker& check, const char* name, int32_t dtype) {
  if (dtype < 1 || dtype > 31 || !(kFloatTypes & dtype_bit(dtype))) {
    fail(VN_UNSUPPORTED, "%s: %s is %s (%d), expected F32, F16 or BF16", check.op(), name, dtype_name(dtype), dtype);
  }
}

void check_bytes(const Checker& check, const void* destination, const void* source, int64_t bytes) {
  check.range("bytes", bytes, 0, kMaxBytes);
  if (bytes > 0) {
    check.pointer("destination", destination);
    check.pointer("source", source);
  }
}

}  // namespace
}  // namespace vn

int32_t vn_buffer_create(vn_device* device, int32_t memory, int64_t bytes, vn_buffer** out_buffer) {
  return vn::guard_status([&]() -> int32_t {
    const vn::Checker check("buffer_create");
    check.pointer("device", device);
    check.pointer("out_buffer", out_buffer);
    check.range("memory", memory, VN_MEMORY_DEVICE, VN_MEMORY_HOST);
    check.range("bytes", bytes, 0, vn::kMaxBytes);
    vn::require_alive(*device, "buffer_create");
    const vn::Strike strike = vn::take_strike(*device, "buffer_create");
    if (strike.kind == vn::Strike::kFail) vn::fail(static_cast<int32_t>(strike.value), "buffer_create: injected failure");
    auto buffer = std::make_unique<vn_buffer>();
    buffer->bytes = bytes;
    buffer->memory = memory;
    const int32_t status = device->table->buffer_create(device->impl, memory, bytes, &buffer->impl, &buffer->data);
    if (status != VN_OK) return vn::note_status(*device, status);
    buffer->device = vn::retain(device);
    *out_buffer = buffer.release();
    return VN_OK;
  });
}

void vn_buffer_destroy(vn_buffer* buffer) {
  if (!buffer) return;
  vn_device* device = buffer->device;
  device->table->buffer_destroy(buffer->impl);
  delete buffer;
  vn::release(device);
}

int32_t vn_buffer_data(vn_buffer* buffer, void** out_data) {
  return vn::guard([&] {
    if (!buffer || !out_data) vn::fail(VN_INVALID_ARGUMENT, "buffer_data: an argument is NULL");
    *out_data = buffer->data;
  });
}

int32_t vn_buffer_load(vn_buffer* buffer, int64_t offset, int32_t dtype, const void* source, int32_t source_dtype,
                       int64_t count) {
  return vn::guard_status([&]() -> int32_t {
    const vn::Checker check("buffer_load");
    check.pointer("buffer", buffer);
    vn::check_float_dtype(check, "dtype", dtype);
    vn::check_float_dtype(check, "source_dtype", source_dtype);
    const int64_t capacity = buffer->bytes / vn::dtype_size(dtype);
    check.range("offset", offset, 0, capacity);
    check.range("count", count, 0, capacity - offset);
    if (count == 0) return VN_OK;
    check.pointer("source", source);
    vn::require_alive(*buffer->device, "buffer_load");
    void* destination = static_cast<char*>(buffer->data) + offset * vn::dtype_size(dtype);
    const auto* table = buffer->device->table;
    return vn::note_status(*buffer->device, table->buffer_load(buffer->device->impl, destination, dtype, source,
                                                               source_dtype, count));
  });
}

int32_t vn_copy(vn_stream* stream, void* destination, const void* source, int64_t bytes, int32_t direction) {
  return vn::guard_status([&]() -> int32_t {
    const vn::Checker check("copy");
    check.pointer("stream", stream);
    check.range("direction", direction, VN_COPY_HOST_TO_DEVICE, VN_COPY_DEVICE_TO_DEVICE);
    vn::check_bytes(check, destination, source, bytes);
    vn::require_alive(*stream->device, "copy");
    if (bytes == 0) return VN_OK;
    return vn::note_status(*stream->device,
                           stream->device->table->copy(stream->impl, destination, source, bytes, direction));
  });
}

int32_t vn_fill_zero(vn_stream* stream, void* destination, int64_t bytes) {
  return vn::guard_status([&]() -> int32_t {
    const vn::Checker check("fill_zero");
    check.pointer("stream", stream);
    vn::check_bytes(check, destination, destination, bytes);
    vn::require_alive(*stream->device, "fill_zero");
    if (bytes == 0) return VN_OK;
    return vn::note_status(*stream->device, stream->device->table->fill_zero(stream->impl, destination, bytes));
  });
}

int32_t vn_weight_create(vn_device* device, int32_t use, int32_t dtype, int64_t rows, int64_t columns,
                         vn_weight** out_weight) {
  return vn::guard_status([&]() -> int32_t {
    const vn::Checker check("weight_create");
    check.pointer("device", device);
    check.pointer("out_weight", out_weight);
    check.range("use", use, VN_WEIGHT_GEMM, VN_WEIGHT_LOOKUP);
    vn::check_float_dtype(check, "dtype", dtype);
    check.range("rows", rows, 1, int64_t{1} << 31);
    check.range("columns", columns, 1, int64_t{1} << 31);
    check.range("rows * columns", rows * columns / 4, 0, vn::kMaxBytes / 4);
    vn::require_alive(*device, "weight_create");
    auto weight = std::make_unique<vn_weight>();
    weight->use = use;
    weight->dtype = dtype;
    weight->rows = rows;
    weight->columns = columns;
    const int32_t status = device->table->weight_create(device->impl, use, dtype, rows, columns, &weight->impl);
    if (status != VN_OK) return vn::note_status(*device, status);
    weight->device = vn::retain(device);
    *out_weight = weight.release();
    return VN_OK;
  });
}

void vn_weight_destroy(vn_weight* weight) {
  if (!weight) return;
  vn_device* device = weight->device;
  device->table->weight_destroy(weight->impl);
  delete weight;
  vn::release(device);
}

int32_t vn_weight_load(vn_weight* weight, int64_t first_row, int64_t rows, int64_t columns, const void* source,
                       int32_t source_dtype, int64_t row_stride) {
  return vn::guard_status([&]() -> int32_t {
    const vn::Checker check("weight_load");
    check.pointer("weight", weight);
    check.range("first_row", first_row, 0, weight->rows);
    check.range("rows", rows, 0, weight->rows - first_row);
    if (columns != weight->columns) {
      vn::fail(VN_SHAPE, "weight_load: columns is %lld, expected %lld", static_cast<long long>(columns),
               static_cast<long long>(weight->columns));
    }
    vn::check_float_dtype(check, "source_dtype", source_dtype);
    check.range("row_stride", row_stride, columns, int64_t{1} << 40);
    if (rows == 0) return VN_OK;
    check.pointer("source", source);
    vn::require_alive(*weight->device, "weight_load");
    return vn::note_status(*weight->device, weight->device->table->weight_load(weight->impl, first_row, rows, source,
                                                                               source_dtype, row_stride));
  });
}

int32_t vn_weight_fill(vn_weight* weight, uint64_t seed, float scale) {
  return vn::guard_status([&]() -> int32_t {
    const vn::Checker check("weight_fill");
    check.pointer("weight", weight);
    check.finite("scale", scale);
    vn::require_alive(*weight->device, "weight_fill");
    return vn::note_status(*weight->device, weight->device->table->weight_fill(weight->impl, seed, scale));
  });
}

int32_t vn_weight_bytes(vn_weight* weight, int64_t* out_bytes) {
  return vn::guard([&] {
    if (!weight || !out_bytes) vn::fail(VN_INVALID_ARGUMENT, "weight_bytes: an argument is NULL");
    *out_bytes = weight->device->table->weight_bytes(weight->impl);
  });
}
