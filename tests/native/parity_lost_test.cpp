// Devices that run out of memory, and one that breaks. A fault on the GPU (an operation given memory that is not there) shows at
// the next wait as VN_DEVICE_LOST with the operation's name; from then on CUDA is closed in this process. So this is alone in
// its program, and the fault comes last.
#include <chrono>
#include <functional>
#include <string>

#include "parity_support.h"

namespace {

using parity::devices;
using parity::Side;

bool message_has(const std::string& text) { return std::strstr(vn_last_error(), text.c_str()) != nullptr; }

class MemoryParity : public parity::Test {
 protected:
  static int64_t total_memory() {
    vn_device_info info{};
    info.struct_size = sizeof info;
    EXPECT_EQ(VN_OK, vn_device_get_info(devices().cuda, &info)) << vn_last_error();
    return info.total_memory;
  }
  // The device still computes, and the failure is not mistaken for the next launch's.
  static void expect_usable() {
    vn_weight* weight = nullptr;
    ASSERT_EQ(VN_OK, vn_weight_create(devices().cuda, VN_WEIGHT_LOOKUP, VN_DTYPE_F32, 8, 64, &weight)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_weight_fill(weight, 1, 1.0f)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
    vn_weight_destroy(weight);
  }
};

TEST_F(MemoryParity, BufferThatDoesNotFitNamesBytesAndTheDeviceStaysUsable) {
  const int64_t bytes = total_memory() + (int64_t{1} << 30);
  vn_buffer* buffer = nullptr;
  EXPECT_EQ(VN_OUT_OF_DEVICE_MEMORY, vn_buffer_create(devices().cuda, VN_MEMORY_DEVICE, bytes, &buffer));
  EXPECT_TRUE(message_has("buffer_create: asked for " + std::to_string(bytes) + " bytes")) << vn_last_error();
  EXPECT_TRUE(message_has("are free")) << vn_last_error();
  EXPECT_EQ(nullptr, buffer);
  expect_usable();
}

TEST_F(MemoryParity, WeightThatDoesNotFitNamesItsShapeAndTheDeviceStaysUsable) {
  constexpr int64_t kColumns = 1 << 20;
  const int64_t rows = total_memory() / (2 * kColumns) + 1000;
  vn_weight* weight = nullptr;
  EXPECT_EQ(VN_OUT_OF_DEVICE_MEMORY,
            vn_weight_create(devices().cuda, VN_WEIGHT_GEMM, VN_DTYPE_BF16, rows, kColumns, &weight));
  EXPECT_TRUE(message_has("weight_create: [" + std::to_string(rows) + ", 1048576] of BF16")) << vn_last_error();
  EXPECT_TRUE(message_has("asked for " + std::to_string(rows * kColumns * 2) + " bytes")) << vn_last_error();
  EXPECT_EQ(nullptr, weight);
  expect_usable();
}

// All that can be made of a device, to be used and destroyed after the fault.
struct Worker {
  explicit Worker(vn_device* its_device) : device(its_device) {
    EXPECT_EQ(VN_OK, vn_stream_create(device, VN_STREAM_COMPUTE, nullptr, &stream)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_event_create(device, &event)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_buffer_create(device, VN_MEMORY_DEVICE, kBytes, &buffer)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_buffer_create(device, VN_MEMORY_HOST, kBytes, &pinned)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_buffer_data(buffer, &data));
    EXPECT_EQ(VN_OK, vn_weight_create(device, VN_WEIGHT_LOOKUP, VN_DTYPE_F32, kRows, kWidth, &table)) << vn_last_error();
    const std::vector<float> values(kRows * kWidth, 1.0f);
    EXPECT_EQ(VN_OK, vn_weight_load(table, 0, kRows, kWidth, values.data(), VN_DTYPE_F32, kWidth)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_graph_begin(stream)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_fill_zero(stream, data, kBytes)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_graph_end(stream, &graph)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_event_record(event, stream)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_stream_synchronize(stream)) << vn_last_error();
  }
  ~Worker() {
    vn_graph_destroy(graph);
    vn_weight_destroy(table);
    vn_buffer_destroy(pinned);
    vn_buffer_destroy(buffer);
    vn_event_destroy(event);
    vn_stream_destroy(stream);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // The embedding of one token, written to out.
  int32_t embed(void* out) {
    auto p = ops_test::params_of<vn_embedding_params>();
    p.table = table;
    p.ids = {data, VN_DTYPE_I32, 1, {1}, {1}};
    p.out = {out, VN_DTYPE_F32, 2, {1, kWidth}, {kWidth, 1}};
    return vn_embedding(stream, &p);
  }

  // Calls everything that reaches the device; each must say that it is lost, and at once.
  void expect_lost() {
    vn_stream* new_stream = nullptr;
    vn_event* new_event = nullptr;
    vn_buffer* new_buffer = nullptr;
    vn_weight* new_weight = nullptr;
    vn_graph* new_graph = nullptr;
    vn_device_info info{};
    info.struct_size = sizeof info;
    float value = 0;
    int32_t happened = -1;
    const std::pair<const char*, std::function<int32_t()>> calls[] = {
        {"stream_synchronize", [&] { return vn_stream_synchronize(stream); }},
        {"event_query", [&] { return vn_event_query(event, &happened); }},
        {"event_synchronize", [&] { return vn_event_synchronize(event); }},
        {"event_record", [&] { return vn_event_record(event, stream); }},
        {"event_wait", [&] { return vn_event_wait(event, stream); }},
        {"event_elapsed", [&] { return vn_event_elapsed(event, event, &value); }},
        {"stream_create", [&] { return vn_stream_create(device, VN_STREAM_COPY, nullptr, &new_stream); }},
        {"event_create", [&] { return vn_event_create(device, &new_event); }},
        {"buffer_create", [&] { return vn_buffer_create(device, VN_MEMORY_DEVICE, 16, &new_buffer); }},
        {"buffer_create, pinned", [&] { return vn_buffer_create(device, VN_MEMORY_HOST, 16, &new_buffer); }},
        {"buffer_load", [&] { return vn_buffer_load(buffer, 0, VN_DTYPE_F32, &value, VN_DTYPE_F32, 1); }},
        {"weight_create", [&] { return vn_weight_create(device, VN_WEIGHT_GEMM, VN_DTYPE_F32, 4, 4, &new_weight); }},
        {"weight_fill", [&] { return vn_weight_fill(table, 1, 1.0f); }},
        {"weight_load", [&] { return vn_weight_load(table, 0, 1, kWidth, row, VN_DTYPE_F32, kWidth); }},
        {"copy", [&] { return vn_copy(stream, data, row, sizeof row, VN_COPY_HOST_TO_DEVICE); }},
        {"fill_zero", [&] { return vn_fill_zero(stream, data, kBytes); }},
        {"embedding", [&] { return embed(data); }},
        {"graph_begin", [&] { return vn_graph_begin(stream); }},
        {"graph_end", [&] { return vn_graph_end(stream, &new_graph); }},
        {"graph_launch", [&] { return vn_graph_launch(graph, stream); }},
        {"device_get_info", [&] { return vn_device_get_info(device, &info); }},
    };
    for (const auto& [name, call] : calls) {
      const auto start = std::chrono::steady_clock::now();
      EXPECT_EQ(VN_DEVICE_LOST, call()) << name << ": " << vn_last_error();
      EXPECT_GT(std::chrono::seconds(1), std::chrono::steady_clock::now() - start) << name;
    }
    EXPECT_EQ(-1, happened);
  }

  static constexpr int64_t kRows = 8, kWidth = 64;
  static constexpr int64_t kBytes = kWidth * 4;

  vn_device* device;
  vn_stream* stream = nullptr;
  vn_event* event = nullptr;
  vn_buffer* buffer = nullptr;
  vn_buffer* pinned = nullptr;
  vn_weight* table = nullptr;
  vn_graph* graph = nullptr;
  void* data = nullptr;
  float row[kWidth] = {};
};

void expect_cpu_computes(vn_device* cpu) {
  float x[4] = {1, 2, 3, 4}, out[2] = {};
  auto p = ops_test::params_of<vn_gather_rows_params>();
  int32_t last = 1;
  p.x = {x, VN_DTYPE_F32, 2, {2, 2}, {2, 1}};
  p.rows = {&last, VN_DTYPE_I32, 1, {1}, {1}};
  p.out = {out, VN_DTYPE_F32, 2, {1, 2}, {2, 1}};
  vn_stream* stream = nullptr;
  ASSERT_EQ(VN_OK, vn_stream_create(cpu, VN_STREAM_COMPUTE, nullptr, &stream)) << vn_last_error();
  EXPECT_EQ(VN_OK, vn_gather_rows(stream, &p)) << vn_last_error();
  EXPECT_EQ(VN_OK, vn_stream_synchronize(stream)) << vn_last_error();
  EXPECT_EQ(3, out[0]);
  EXPECT_EQ(4, out[1]);
  vn_stream_destroy(stream);
}

class LostParity : public parity::Test {};

TEST_F(LostParity, FaultNamesTheOperationAndClosesCuda) {
  vn_device* other = nullptr;  // a second logical worker, which learns of the fault only by its own calls
  ASSERT_EQ(VN_OK, vn_device_create(VN_DEVICE_CUDA, 0, nullptr, &other)) << vn_last_error();
  {
    Worker worker(devices().cuda), bystander(other);
    ASSERT_EQ(VN_OK, worker.embed(reinterpret_cast<void*>(uintptr_t{4096}))) << vn_last_error();
    EXPECT_EQ(VN_DEVICE_LOST, vn_stream_synchronize(worker.stream));
    EXPECT_TRUE(message_has("launched last: embedding")) << vn_last_error();
    worker.expect_lost();

    EXPECT_EQ(VN_DEVICE_LOST, vn_stream_synchronize(bystander.stream));
    EXPECT_TRUE(message_has("must be restarted")) << vn_last_error();
    EXPECT_TRUE(message_has("launched last: embedding")) << vn_last_error();
    bystander.expect_lost();

    vn_device* again = nullptr;
    EXPECT_EQ(VN_DEVICE_LOST, vn_device_create(VN_DEVICE_CUDA, 0, nullptr, &again));
    EXPECT_TRUE(message_has("device_create: CUDA is lost to this process, which must be restarted")) << vn_last_error();
    EXPECT_EQ(nullptr, again);
    int32_t count = -1;
    EXPECT_EQ(VN_OK, vn_device_count(VN_DEVICE_CUDA, &count));
    EXPECT_EQ(0, count);
    EXPECT_TRUE(message_has("must be restarted")) << vn_last_error();
  }  // everything is destroyed without a crash or a wait
  vn_device_destroy(other);

  expect_cpu_computes(devices().cpu);
  vn_device* cpu = nullptr;
  ASSERT_EQ(VN_OK, vn_device_create(VN_DEVICE_CPU, 0, nullptr, &cpu)) << vn_last_error();
  expect_cpu_computes(cpu);
  vn_device_destroy(cpu);
}

}  // namespace
