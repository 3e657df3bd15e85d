// CUDA contexts of an application: a device that works in one, and calls that leave the thread's current context as it was.
// The driver's own functions are looked up here, as an application that has contexts would link them.
#include <dlfcn.h>

#include <functional>
#include <random>
#include <string>
#include <thread>

#include "parity_support.h"

namespace {

using parity::devices;
using parity::Side;

struct Driver {
  using Context = void*;
  int (*create)(Context*, unsigned, int) = nullptr;
  int (*destroy)(Context) = nullptr;
  int (*get_current)(Context*) = nullptr;
  int (*set_current)(Context) = nullptr;
  int (*attribute)(void*, int, uint64_t) = nullptr;
  int (*stream_create)(void**, unsigned) = nullptr;
  int (*stream_synchronize)(void*) = nullptr;
  int (*stream_destroy)(void*) = nullptr;

  Driver() {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    find(library, "cuCtxCreate_v2", create);
    find(library, "cuCtxDestroy_v2", destroy);
    find(library, "cuCtxGetCurrent", get_current);
    find(library, "cuCtxSetCurrent", set_current);
    find(library, "cuPointerGetAttribute", attribute);
    find(library, "cuStreamCreate", stream_create);
    find(library, "cuStreamSynchronize", stream_synchronize);
    find(library, "cuStreamDestroy_v2", stream_destroy);
  }

  Context current() const {
    Context context = nullptr;
    EXPECT_EQ(0, get_current(&context));
    return context;
  }
  // The context that device or pinned memory belongs to.
  Context owner(void* memory) const {
    constexpr int kContextAttribute = 1;
    Context context = nullptr;
    EXPECT_EQ(0, attribute(&context, kContextAttribute, reinterpret_cast<uintptr_t>(memory)));
    return context;
  }

 private:
  template <typename Function>
  static void find(void* library, const char* name, Function*& out) {
    out = reinterpret_cast<Function*>(dlsym(library, name));
    EXPECT_NE(nullptr, out) << name;
  }
};

const Driver& driver() {
  static const Driver all;
  return all;
}

// A context of the application on GPU 0; made without staying current.
struct ApplicationContext {
  ApplicationContext() {
    Driver::Context before = driver().current();
    EXPECT_EQ(0, driver().create(&context, 0, 0));
    EXPECT_EQ(0, driver().set_current(before));
  }
  ~ApplicationContext() { EXPECT_EQ(0, driver().destroy(context)); }
  ApplicationContext(const ApplicationContext&) = delete;
  ApplicationContext& operator=(const ApplicationContext&) = delete;
  Driver::Context context = nullptr;
};

int32_t create_in(void* context, int32_t ordinal, vn_device** out) {
  vn_device_options options{};
  options.struct_size = sizeof options;
  options.foreign_context = context;
  return vn_device_create(VN_DEVICE_CUDA, ordinal, &options, out);
}

// y = x W^T on a device, x and W from fixed seeds; large enough for cuBLASLt. check() is called after every call.
std::vector<uint16_t> product(vn_device* device, void* foreign_stream, const std::function<void(const char*)>& check) {
  constexpr int64_t kRows = 64, kColumns = 256, kOutputs = 512;
  std::vector<uint16_t> x(kRows * kColumns), y(kRows * kOutputs, 0xffff);
  std::mt19937 engine(1);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (uint16_t& value : x) value = ops_test::nearest_bits16(uniform(engine), VN_DTYPE_BF16);
  const auto done = [&](const char* call, int32_t status) {
    EXPECT_EQ(VN_OK, status) << call << ": " << vn_last_error();
    check(call);
  };
  vn_stream* stream = nullptr;
  vn_weight* weight = nullptr;
  vn_event* event = nullptr;
  vn_graph* graph = nullptr;
  vn_buffer* buffers[3] = {};
  void* data[3] = {};
  int64_t workspace = 0;
  done("stream_create", vn_stream_create(device, VN_STREAM_COMPUTE, foreign_stream, &stream));
  done("event_create", vn_event_create(device, &event));
  done("weight_create", vn_weight_create(device, VN_WEIGHT_GEMM, VN_DTYPE_BF16, kOutputs, kColumns, &weight));
  done("weight_fill", vn_weight_fill(weight, 7, 1.0f));
  done("gemm_workspace_size", vn_gemm_workspace_size(weight, VN_DTYPE_BF16, kRows, &workspace));
  const int64_t sizes[3] = {static_cast<int64_t>(x.size() * 2), static_cast<int64_t>(y.size() * 2), workspace};
  for (int i = 0; i < 3; ++i) {
    done("buffer_create", vn_buffer_create(device, VN_MEMORY_DEVICE, sizes[i], &buffers[i]));
    vn_buffer_data(buffers[i], &data[i]);
  }
  done("copy", vn_copy(stream, data[0], x.data(), sizes[0], VN_COPY_HOST_TO_DEVICE));
  auto p = ops_test::params_of<vn_gemm_params>();
  p.weight = weight;
  p.x = {data[0], VN_DTYPE_BF16, 2, {kRows, kColumns}, {kColumns, 1}};
  p.y = {data[1], VN_DTYPE_BF16, 2, {kRows, kOutputs}, {kOutputs, 1}};
  p.workspace = data[2];
  p.workspace_bytes = workspace;
  done("gemm", vn_gemm(stream, &p));
  done("stream_synchronize", vn_stream_synchronize(stream));
  done("fill_zero", vn_fill_zero(stream, data[1], sizes[1]));
  done("graph_begin", vn_graph_begin(stream));
  done("gemm", vn_gemm(stream, &p));
  done("graph_end", vn_graph_end(stream, &graph));
  done("graph_launch", vn_graph_launch(graph, stream));
  done("copy", vn_copy(stream, y.data(), data[1], sizes[1], VN_COPY_DEVICE_TO_HOST));
  done("event_record", vn_event_record(event, stream));
  done("event_wait", vn_event_wait(event, stream));
  done("event_synchronize", vn_event_synchronize(event));
  int32_t happened = 0;
  done("event_query", vn_event_query(event, &happened));
  done("stream_synchronize", vn_stream_synchronize(stream));
  vn_device_info info{};
  info.struct_size = sizeof info;
  done("device_get_info", vn_device_get_info(device, &info));
  // What the application did not know of stays invisible when a call fails, too.
  vn_buffer* too_large = nullptr;
  EXPECT_EQ(VN_OUT_OF_DEVICE_MEMORY, vn_buffer_create(device, VN_MEMORY_DEVICE, info.total_memory + (1 << 30), &too_large));
  check("buffer_create that fails");
  vn_graph_destroy(graph);
  check("graph_destroy");
  for (vn_buffer* buffer : buffers) vn_buffer_destroy(buffer);
  check("buffer_destroy");
  vn_event_destroy(event);
  vn_weight_destroy(weight);
  vn_stream_destroy(stream);
  check("destroy");
  return y;
}

class ContextParity : public parity::Test {
 protected:
  static void expect_current(Driver::Context expected, const char* after) {
    EXPECT_EQ(expected, driver().current()) << "after " << after;
  }
};

TEST_F(ContextParity, PrimaryContextIsNotLeftOnAThreadThatHasNone) {
  std::thread([] {
    expect_current(nullptr, "start");
    vn_device* device = nullptr;
    ASSERT_EQ(VN_OK, vn_device_create(VN_DEVICE_CUDA, 0, nullptr, &device)) << vn_last_error();
    expect_current(nullptr, "device_create");
    product(device, nullptr, [](const char* after) { expect_current(nullptr, after); });
    vn_device_destroy(device);
    expect_current(nullptr, "device_destroy");
  }).join();
}

TEST_F(ContextParity, ApplicationsContextStaysCurrent) {
  const ApplicationContext application;
  std::thread([&] {
    ASSERT_EQ(0, driver().set_current(application.context));
    vn_device* device = nullptr;
    ASSERT_EQ(VN_OK, vn_device_create(VN_DEVICE_CUDA, 0, nullptr, &device)) << vn_last_error();
    expect_current(application.context, "device_create");
    product(device, nullptr, [&](const char* after) { expect_current(application.context, after); });
    vn_device_destroy(device);
    expect_current(application.context, "device_destroy");
  }).join();
}

TEST_F(ContextParity, DeviceWorksInTheApplicationsContext) {
  const ApplicationContext application;
  const std::vector<uint16_t> expected = product(devices().cuda, nullptr, [](const char*) {});
  for (const bool is_current : {false, true}) {
    SCOPED_TRACE(is_current ? "the context is current" : "no context is current");
    std::thread([&] {
      Driver::Context before = is_current ? application.context : nullptr;
      ASSERT_EQ(0, driver().set_current(before));
      vn_device* device = nullptr;
      ASSERT_EQ(VN_OK, create_in(application.context, 0, &device)) << vn_last_error();
      expect_current(before, "device_create");
      for (const int32_t memory : {VN_MEMORY_DEVICE, VN_MEMORY_HOST}) {
        vn_buffer* buffer = nullptr;
        void* data = nullptr;
        ASSERT_EQ(VN_OK, vn_buffer_create(device, memory, 4096, &buffer)) << vn_last_error();
        ASSERT_EQ(VN_OK, vn_buffer_data(buffer, &data));
        EXPECT_EQ(application.context, driver().owner(data)) << "memory " << memory;
        vn_buffer_destroy(buffer);
      }
      EXPECT_EQ(expected, product(device, nullptr, [&](const char* after) { expect_current(before, after); }));
      vn_device_destroy(device);
      expect_current(before, "device_destroy");
    }).join();
  }
}

TEST_F(ContextParity, ApplicationsStreamInItsContext) {
  const ApplicationContext application;
  const std::vector<uint16_t> expected = product(devices().cuda, nullptr, [](const char*) {});
  vn_device* device = nullptr;
  ASSERT_EQ(VN_OK, create_in(application.context, 0, &device)) << vn_last_error();
  constexpr unsigned kNonBlocking = 1;
  void* stream = nullptr;
  ASSERT_EQ(0, driver().set_current(application.context));
  ASSERT_EQ(0, driver().stream_create(&stream, kNonBlocking));
  EXPECT_EQ(expected, product(device, stream, [](const char*) {}));
  EXPECT_EQ(0, driver().stream_synchronize(stream)) << "the stream is still the application's";
  EXPECT_EQ(0, driver().stream_destroy(stream));
  ASSERT_EQ(0, driver().set_current(nullptr));
  vn_device_destroy(device);
}

TEST_F(ContextParity, ContextOfAnotherGpuIsRefused) {
  int32_t count = 0;
  ASSERT_EQ(VN_OK, vn_device_count(VN_DEVICE_CUDA, &count));
  if (count < 2) GTEST_SKIP() << "one GPU here, two are needed";
  const ApplicationContext application;
  vn_device* device = nullptr;
  EXPECT_EQ(VN_INVALID_ARGUMENT, create_in(application.context, 1, &device));
  EXPECT_NE(nullptr, std::strstr(vn_last_error(), "foreign_context belongs to CUDA device 0, expected 1")) << vn_last_error();
  EXPECT_EQ(nullptr, device);
  EXPECT_EQ(nullptr, driver().current());
}

TEST_F(ContextParity, HandlesAreDestroyedOnAThreadWithoutAContext) {
  const ApplicationContext application;
  vn_device* device = nullptr;
  vn_buffer* buffer = nullptr;
  vn_event* event = nullptr;
  ASSERT_EQ(VN_OK, create_in(application.context, 0, &device)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_buffer_create(device, VN_MEMORY_DEVICE, 1 << 20, &buffer)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_event_create(device, &event)) << vn_last_error();
  std::thread([&] {
    vn_device_destroy(device);
    vn_event_destroy(event);
    vn_buffer_destroy(buffer);
    expect_current(nullptr, "destroy");
  }).join();
}

}  // namespace
