// The CPU backend's table: thin thunks from C pointers to the functions of ops.h. Memory comes from the C library.
#include "core/backend.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "core/guard.h"
#include "cpu/device.h"
#include "cpu/ops.h"

namespace vn {
namespace {

using cpu::Device;
using cpu::Event;
using cpu::Stream;
using cpu::Weight;

Device& device_of(void* device) { return *static_cast<Device*>(device); }

int32_t device_count(int32_t* out_count) {
  *out_count = 1;
  return VN_OK;
}

int32_t device_create(int32_t ordinal, const vn_device_options* options, void** out_device) {
  return guard([&] {
    if (ordinal != 0) fail(VN_NO_DEVICE, "device_create: ordinal is %d, there is one CPU device, 0", ordinal);
    if (options->foreign_context) {
      fail(VN_UNSUPPORTED, "device_create: options.foreign_context was given, the CPU device has none");
    }
    *out_device = new Device(options->num_threads, options->isa_limit);
  });
}

// "model name" of the first processor.
std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) {
      const size_t colon = line.find(':');
      if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
    }
  }
  return "CPU";
}

int32_t device_info(void* device, vn_device_info* out) {
  return guard([&] {
    const Device& self = device_of(device);
    out->num_threads = self.pool.size();
    out->flags = VN_DEVICE_BATCH_INVARIANT | VN_DEVICE_HAS_FP8;
    out->capability = static_cast<int32_t>(self.isa);
    const int64_t page = sysconf(_SC_PAGESIZE);
    out->total_memory = sysconf(_SC_PHYS_PAGES) * page;
    out->free_memory = sysconf(_SC_AVPHYS_PAGES) * page;
    std::snprintf(out->name, sizeof out->name, "%s", processor_name().c_str());
  });
}

int32_t stream_create(void* device, int32_t, void* foreign, void** out_stream) {
  return guard([&] {
    if (foreign) fail(VN_UNSUPPORTED, "stream_create: a foreign stream was given, the CPU device has none");
    *out_stream = new Stream{&device_of(device)};
  });
}

int32_t event_record(void* event, void*) {
  static_cast<Event*>(event)->at = std::chrono::steady_clock::now();
  return VN_OK;
}

// Work is done when the call that asked for it returns, so whatever was recorded has happened.
int32_t event_query(void*, int32_t* out_happened) {
  *out_happened = 1;
  return VN_OK;
}

int32_t event_elapsed(void* start, void* end, float* out) {
  *out = std::chrono::duration<float, std::milli>(static_cast<Event*>(end)->at - static_cast<Event*>(start)->at).count();
  return VN_OK;
}

// Large buffers are mapped, so that zeroing costs nothing until a page is touched; both kinds are aligned to 64 bytes.
struct Buffer {
  void* data;
  size_t mapped;  // bytes; 0 = from aligned_alloc
};
constexpr int64_t kMapFrom = 1 << 20;

int32_t buffer_create(void*, int32_t, int64_t bytes, void** out_buffer, void** out_data) {
  return guard([&] {
    auto* buffer = new Buffer{nullptr, 0};
    if (bytes >= kMapFrom) {
      void* data = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (data != MAP_FAILED) {
        madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
        *buffer = {data, static_cast<size_t>(bytes)};
      }
    } else {
      const size_t rounded = (static_cast<size_t>(bytes) + 64) / 64 * 64;
      buffer->data = std::aligned_alloc(64, rounded);
      if (buffer->data) std::memset(buffer->data, 0, rounded);
    }
    if (!buffer->data) {
      delete buffer;
      fail(VN_OUT_OF_HOST_MEMORY, "buffer_create: the system refused %lld bytes", static_cast<long long>(bytes));
    }
    *out_buffer = buffer;
    *out_data = buffer->data;
  });
}

void buffer_destroy(void* handle) {
  auto* buffer = static_cast<Buffer*>(handle);
  if (buffer->mapped) {
    munmap(buffer->data, buffer->mapped);
  } else {
    std::free(buffer->data);
  }
  delete buffer;
}

int32_t buffer_load(void* device, void* destination, int32_t dtype, const void* source, int32_t source_dtype,
                    int64_t count) {
  return guard([&] { cpu::convert(device_of(device), destination, dtype, source, source_dtype, count); });
}

int32_t copy(void*, void* destination, const void* source, int64_t bytes, int32_t) {
  std::memmove(destination, source, static_cast<size_t>(bytes));
  return VN_OK;
}

int32_t fill_zero(void*, void* destination, int64_t bytes) {
  std::memset(destination, 0, static_cast<size_t>(bytes));
  return VN_OK;
}

int32_t weight_create(void* device, int32_t use, int32_t dtype, int64_t rows, int64_t columns, void** out_weight) {
  return guard([&] { *out_weight = cpu::weight_create(device_of(device), use, dtype, rows, columns); });
}

int32_t weight_load(void* weight, int64_t first_row, int64_t rows, const void* source, int32_t source_dtype,
                    int64_t row_stride) {
  return guard([&] { cpu::weight_load(*static_cast<Weight*>(weight), first_row, rows, source, source_dtype, row_stride); });
}

int32_t weight_fill(void* weight, uint64_t seed, float scale) {
  return guard([&] { cpu::weight_fill(*static_cast<Weight*>(weight), seed, scale); });
}

int32_t no_graphs() {
  set_last_error("graph: the CPU device has no graphs (VN_DEVICE_HAS_GRAPHS is not set)");
  return VN_UNSUPPORTED;
}

template <typename Params, void (*Op)(Device&, const Params&)>
int32_t run(void* stream, const Params* params) {
  return guard([&] { Op(*static_cast<Stream*>(stream)->device, *params); });
}

BackendTable make_table() {
  BackendTable table{};
  table.version = kBackendVersion;
  table.struct_size = sizeof table;
  table.device_count = device_count;
  table.device_create = device_create;
  table.device_destroy = [](void* device) { delete static_cast<Device*>(device); };
  table.device_info = device_info;
  table.stream_create = stream_create;
  table.stream_destroy = [](void* stream) { delete static_cast<Stream*>(stream); };
  table.stream_synchronize = [](void*) { return VN_OK; };
  table.event_create = [](void*, void** out) { return guard([&] { *out = new Event{}; }); };
  table.event_destroy = [](void* event) { delete static_cast<Event*>(event); };
  table.event_record = event_record;
  table.event_wait = [](void*, void*) { return VN_OK; };
  table.event_synchronize = [](void*) { return VN_OK; };
  table.event_query = event_query;
  table.event_elapsed = event_elapsed;
  table.buffer_create = buffer_create;
  table.buffer_destroy = buffer_destroy;
  table.buffer_load = buffer_load;
  table.copy = copy;
  table.fill_zero = fill_zero;
  table.weight_create = weight_create;
  table.weight_destroy = [](void* weight) { cpu::weight_destroy(static_cast<Weight*>(weight)); };
  table.weight_load = weight_load;
  table.weight_fill = weight_fill;
  table.weight_bytes = [](void* weight) { return cpu::weight_bytes(*static_cast<Weight*>(weight)); };
  table.gemm_workspace_size = [](void* weight, int32_t x_dtype, int64_t max_rows) {
    return cpu::gemm_workspace_size(*static_cast<Weight*>(weight), x_dtype, max_rows);
  };
  table.gemm_tune_workspace_size = [](void*, int32_t, int32_t, int64_t) { return int64_t{0}; };
  table.attention_workspace_size = [](void* device, int64_t tokens, int32_t heads, int32_t dim, int64_t length) {
    return cpu::attention_workspace_size(device_of(device), tokens, heads, dim, length);
  };
  table.sample_workspace_size = [](void* device, int64_t rows, int64_t vocab) {
    return cpu::sample_workspace_size(device_of(device), rows, vocab);
  };
  table.graph_begin = [](void*) { return no_graphs(); };
  table.graph_end = [](void*, void**) { return no_graphs(); };
  table.graph_launch = [](void*, void*) { return no_graphs(); };
  table.graph_destroy = [](void*) {};
#define VN_FILL_ENTRY(name, params_type) table.name = run<params_type, cpu::name>;
  VN_FOR_EACH_OP(VN_FILL_ENTRY)
#undef VN_FILL_ENTRY
  return table;
}

}  // namespace

const BackendTable* cpu_backend() {
  static const BackendTable table = make_table();
  return &table;
}

}  // namespace vn
