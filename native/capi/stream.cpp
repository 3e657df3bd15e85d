// Streams, events and graphs: the order of work on a device.
#include <memory>

#include "capi/checks.h"
#include "capi/faults.h"
#include "core/guard.h"
#include "core/handles.h"

namespace vn {
namespace {

// Makes a child handle of the device and lets the backend fill it.
template <typename Handle, typename Create>
int32_t create_child(const char* op, vn_device* device, Handle** out_handle, Create&& create, bool even_if_lost = false) {
  return guard_status([&]() -> int32_t {
    const Checker check(op);
    check.pointer("device", device);
    check.pointer("out handle", out_handle);
    if (!even_if_lost) require_alive(*device, op);
    auto handle = std::make_unique<Handle>();
    const int32_t status = note_status(*device, create(&handle->impl));
    if (status != VN_OK) return status;
    handle->device = retain(device);
    *out_handle = handle.release();
    return VN_OK;
  });
}

template <typename Handle, typename Destroy>
void destroy_child(Handle* handle, Destroy&& destroy) {
  if (!handle) return;
  vn_device* device = handle->device;
  destroy(device->table, handle->impl);
  delete handle;
  release(device);
}

// Calls a backend function that works on an event, a stream or both; at least one is given and names the device.
template <typename Call>
int32_t order(const char* op, vn_device* device, Call&& call) {
  return guard_status([&]() -> int32_t {
    require_alive(*device, op);
    return note_status(*device, call(*device->table));
  });
}

// A call that waits for the device, or asks how far it is: where tests plan that it is stuck or lost.
template <typename Call>
int32_t await(const char* op, vn_device* device, Call&& call) {
  return order(op, device, [&](const BackendTable& table) {
    const Strike strike = take_strike(*device, op);
    if (strike.kind == Strike::kFail) fail(static_cast<int32_t>(strike.value), "%s: injected failure", op);
    require_alive(*device, op);
    return call(table, strike);
  });
}

int32_t null_handle(const char* op) {
  return guard([&] { fail(VN_INVALID_ARGUMENT, "%s: a handle is NULL", op); });
}

}  // namespace
}  // namespace vn

int32_t vn_stream_create(vn_device* device, int32_t kind, void* foreign, vn_stream** out_stream) {
  return vn::create_child("stream_create", device, out_stream, [&](void** impl) {
    vn::Checker("stream_create").range("kind", kind, VN_STREAM_COMPUTE, VN_STREAM_COPY);
    return device->table->stream_create(device->impl, kind, foreign, impl);
  });
}

void vn_stream_destroy(vn_stream* stream) {
  vn::destroy_child(stream, [](const vn::BackendTable* table, void* impl) { table->stream_destroy(impl); });
}

int32_t vn_stream_synchronize(vn_stream* stream) {
  if (!stream) return vn::null_handle("stream_synchronize");
  return vn::await("stream_synchronize", stream->device,
                   [&](const vn::BackendTable& table, const vn::Strike&) { return table.stream_synchronize(stream->impl); });
}

int32_t vn_event_create(vn_device* device, vn_event** out_event) {
  return vn::create_child("event_create", device, out_event,
                          [&](void** impl) { return device->table->event_create(device->impl, impl); });
}

void vn_event_destroy(vn_event* event) {
  vn::destroy_child(event, [](const vn::BackendTable* table, void* impl) { table->event_destroy(impl); });
}

int32_t vn_event_record(vn_event* event, vn_stream* stream) {
  if (!event || !stream) return vn::null_handle("event_record");
  return vn::order("event_record", stream->device,
                   [&](const vn::BackendTable& table) { return table.event_record(event->impl, stream->impl); });
}

int32_t vn_event_wait(vn_event* event, vn_stream* stream) {
  if (!event || !stream) return vn::null_handle("event_wait");
  return vn::order("event_wait", stream->device,
                   [&](const vn::BackendTable& table) { return table.event_wait(event->impl, stream->impl); });
}

int32_t vn_event_synchronize(vn_event* event) {
  if (!event) return vn::null_handle("event_synchronize");
  return vn::await("event_synchronize", event->device,
                   [&](const vn::BackendTable& table, const vn::Strike&) { return table.event_synchronize(event->impl); });
}

int32_t vn_event_query(vn_event* event, int32_t* out_happened) {
  if (!event || !out_happened) return vn::null_handle("event_query");
  return vn::await("event_query", event->device, [&](const vn::BackendTable& table, const vn::Strike& strike) {
    const int32_t status = table.event_query(event->impl, out_happened);
    if (status == VN_OK && strike.kind == vn::Strike::kPending) *out_happened = 0;
    return status;
  });
}

int32_t vn_event_elapsed(vn_event* start, vn_event* end, float* out_milliseconds) {
  if (!start || !end || !out_milliseconds) return vn::null_handle("event_elapsed");
  return vn::order("event_elapsed", start->device, [&](const vn::BackendTable& table) {
    return table.event_elapsed(start->impl, end->impl, out_milliseconds);
  });
}

int32_t vn_graph_begin(vn_stream* stream) {
  if (!stream) return vn::null_handle("graph_begin");
  return vn::order("graph_begin", stream->device,
                   [&](const vn::BackendTable& table) { return table.graph_begin(stream->impl); });
}

int32_t vn_graph_end(vn_stream* stream, vn_graph** out_graph) {
  if (!stream) return vn::null_handle("graph_end");
  // A device that was lost meanwhile must hear of the end too: a recording keeps others waiting.
  return vn::create_child(
      "graph_end", stream->device, out_graph,
      [&](void** impl) { return stream->device->table->graph_end(stream->impl, impl); }, true);
}

int32_t vn_graph_launch(vn_graph* graph, vn_stream* stream) {
  if (!graph || !stream) return vn::null_handle("graph_launch");
  return vn::order("graph_launch", stream->device,
                   [&](const vn::BackendTable& table) { return table.graph_launch(graph->impl, stream->impl); });
}

void vn_graph_destroy(vn_graph* graph) {
  vn::destroy_child(graph, [](const vn::BackendTable* table, void* impl) { table->graph_destroy(impl); });
}
