// The plugin's only export: the table of the CUDA backend. Thin thunks from C pointers; everything passes through enter().
#include "core/backend.h"
#include "cuda/buffer.h"
#include "cuda/device.h"
#include "cuda/graph.h"
#include "cuda/host.h"
#include "cuda/ops.h"
#include "cuda/stream.h"
#include "cuda/weight.h"

namespace vn::cuda {
namespace {

const Device& device_of(void* device) { return *static_cast<const Device*>(device); }
const Stream& stream_of(void* stream) { return *static_cast<const Stream*>(stream); }
const Event& event_of(void* event) { return *static_cast<const Event*>(event); }
Weight& weight_of(void* weight) { return *static_cast<Weight*>(weight); }

void fill_devices(BackendTable& table) {
  table.device_count = [](int32_t* out) { return enter("device_count", [&] { *out = device_count(); }); };
  table.device_create = [](int32_t ordinal, const vn_device_options* options, void** out) {
    return enter("device_create", [&] { *out = device_create(ordinal, *options); });
  };
  table.device_destroy = destroy<Device, device_destroy>;
  table.device_info = [](void* device, vn_device_info* out) {
    return enter("device_get_info", device_of(device), [&] { device_info(device_of(device), *out); });
  };
}

void fill_streams(BackendTable& table) {
  table.stream_create = [](void* device, int32_t kind, void* foreign, void** out) {
    return enter("stream_create", device_of(device), [&] { *out = stream_create(device_of(device), kind, foreign); });
  };
  table.stream_destroy = destroy<Stream, stream_destroy>;
  table.stream_synchronize = [](void* stream) {
    return wait("stream_synchronize", stream_of(stream).device, [&] { stream_synchronize(stream_of(stream)); });
  };
  table.event_create = [](void* device, void** out) {
    return enter("event_create", device_of(device), [&] { *out = event_create(device_of(device)); });
  };
  table.event_destroy = destroy<Event, event_destroy>;
  table.event_record = [](void* event, void* stream) {
    return enter("event_record", stream_of(stream).device, [&] { event_record(event_of(event), stream_of(stream)); });
  };
  table.event_wait = [](void* event, void* stream) {
    return enter("event_wait", stream_of(stream).device, [&] { event_wait(event_of(event), stream_of(stream)); });
  };
  table.event_synchronize = [](void* event) {
    return wait("event_synchronize", event_of(event).device, [&] { event_synchronize(event_of(event)); });
  };
  table.event_query = [](void* event, int32_t* out) {
    return wait("event_query", event_of(event).device, [&] { *out = event_query(event_of(event)) ? 1 : 0; });
  };
  table.event_elapsed = [](void* start, void* end, float* out) {
    return enter("event_elapsed", event_of(start).device, [&] { *out = event_elapsed(event_of(start), event_of(end)); });
  };
}

void fill_memory(BackendTable& table) {
  table.buffer_create = [](void* device, int32_t memory, int64_t bytes, void** out_buffer, void** out_data) {
    return enter("buffer_create", device_of(device), [&] {
      Buffer* buffer = buffer_create(device_of(device), memory, bytes);
      *out_buffer = buffer;
      *out_data = buffer->data;
    });
  };
  table.buffer_destroy = destroy<Buffer, buffer_destroy>;
  table.buffer_load = [](void* device, void* destination, int32_t dtype, const void* source, int32_t source_dtype,
                         int64_t count) {
    return enter("buffer_load", device_of(device),
                 [&] { buffer_load(destination, dtype, source, source_dtype, count); });
  };
  table.copy = [](void* stream, void* destination, const void* source, int64_t bytes, int32_t direction) {
    return enter("copy", stream_of(stream).device,
                 [&] { copy(stream_of(stream), destination, source, bytes, direction); });
  };
  table.fill_zero = [](void* stream, void* destination, int64_t bytes) {
    return enter("fill_zero", stream_of(stream).device, [&] { fill_zero(stream_of(stream), destination, bytes); });
  };
}

void fill_weights(BackendTable& table) {
  table.weight_create = [](void* device, int32_t use, int32_t dtype, int64_t rows, int64_t columns, void** out) {
    return enter("weight_create", device_of(device),
                 [&] { *out = weight_create(device_of(device), use, dtype, rows, columns); });
  };
  table.weight_destroy = destroy<Weight, weight_destroy>;
  table.weight_load = [](void* weight, int64_t first_row, int64_t rows, const void* source, int32_t source_dtype,
                         int64_t row_stride) {
    return enter("weight_load", weight_of(weight).device,
                 [&] { weight_load(weight_of(weight), first_row, rows, source, source_dtype, row_stride); });
  };
  table.weight_fill = [](void* weight, uint64_t seed, float scale) {
    return enter("weight_fill", weight_of(weight).device, [&] { weight_fill(weight_of(weight), seed, scale); });
  };
  table.weight_bytes = [](void* weight) { return weight_bytes(weight_of(weight)); };
  table.gemm_workspace_size = [](void* weight, int32_t x_dtype, int64_t max_rows) {
    return gemm_workspace_size(weight_of(weight), x_dtype, max_rows);
  };
  table.gemm_tune_workspace_size = [](void* weight, int32_t x_dtype, int32_t y_dtype, int64_t rows) {
    return gemm_tune_workspace_size(weight_of(weight), x_dtype, y_dtype, rows);
  };
  table.attention_workspace_size = [](void* device, int64_t tokens, int32_t heads, int32_t dim, int64_t length) {
    return attention_workspace_size(device_of(device), tokens, heads, dim, length);
  };
  table.sample_workspace_size = [](void* device, int64_t rows, int64_t vocab) {
    return sample_workspace_size(device_of(device), rows, vocab);
  };
}

void fill_graphs(BackendTable& table) {
  table.graph_begin = [](void* stream) {
    return wait("graph_begin", stream_of(stream).device, [&] { graph_begin(stream_of(stream)); });
  };
  table.graph_end = [](void* stream, void** out) {
    const int32_t status = wait("graph_end", stream_of(stream).device, [&] { *out = graph_end(stream_of(stream)); });
    Recording::end();  // whatever became of the graph, or of the device: others wait for this
    return status;
  };
  table.graph_launch = [](void* graph, void* stream) {
    return enter("graph_launch", stream_of(stream).device,
                 [&] { graph_launch(*static_cast<const Graph*>(graph), stream_of(stream)); });
  };
  table.graph_destroy = destroy<Graph, graph_destroy>;
}

template <typename Params, void (*Op)(const Stream&, const Params&)>
int32_t run(const char* name, void* opaque, const Params* params) {
  const Stream& stream = stream_of(opaque);
  return enter(name, stream.device, [&] {
    stream.device.state->last_op.store(name, std::memory_order_relaxed);
    Op(stream, *params);
  });
}

void fill_operations(BackendTable& table) {
#define VN_FILL_ENTRY(name, params_type)                       \
  table.name = [](void* stream, const params_type* params) {   \
    return run<params_type, cuda::name>(#name, stream, params); \
  };
  VN_FOR_EACH_OP(VN_FILL_ENTRY)
#undef VN_FILL_ENTRY
}

BackendTable make_table() {
  BackendTable table{};
  table.version = kBackendVersion;
  table.struct_size = sizeof table;
  fill_devices(table);
  fill_streams(table);
  fill_memory(table);
  fill_weights(table);
  fill_graphs(table);
  fill_operations(table);
  return table;
}

}  // namespace
}  // namespace vn::cuda

extern "C" __attribute__((visibility("default"))) const vn::BackendTable* vn_cuda_plugin_table(
    const vn::HostTable* host) {
  if (host->version != vn::kBackendVersion) return nullptr;
  vn::cuda::g_host = host;
  static const vn::BackendTable table = vn::cuda::make_table();
  return &table;
}
