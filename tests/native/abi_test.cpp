// The boundary itself: statuses, messages, struct sizes, handle lifetimes, devices that are not there.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "vllm_native.h"

namespace {

struct Cpu {
  Cpu() {
    EXPECT_EQ(VN_OK, vn_device_create(VN_DEVICE_CPU, 0, nullptr, &device));
    EXPECT_EQ(VN_OK, vn_stream_create(device, VN_STREAM_COMPUTE, nullptr, &stream));
  }
  ~Cpu() {
    vn_stream_destroy(stream);
    vn_device_destroy(device);
  }
  vn_device* device = nullptr;
  vn_stream* stream = nullptr;
};

bool message_has(const char* text) { return std::string(vn_last_error()).find(text) != std::string::npos; }

TEST(Abi, VersionMatchesHeader) { EXPECT_EQ(VN_ABI_VERSION, vn_abi_version()); }

TEST(Abi, MissingParamsAreNamed) {
  Cpu cpu;
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_gemm(cpu.stream, nullptr));
  EXPECT_TRUE(message_has("gemm: params is NULL")) << vn_last_error();
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_gemm(nullptr, nullptr));
  EXPECT_TRUE(message_has("stream is NULL")) << vn_last_error();
}

TEST(Abi, LongerStructNeedsZeroTail) {
  Cpu cpu;
  struct {
    vn_gather_rows_params known;
    int64_t future;
  } longer{};
  longer.known.struct_size = sizeof longer;
  vn_tensor empty_rows{nullptr, VN_DTYPE_I32, 1, {0}, {1}};
  vn_tensor empty{nullptr, VN_DTYPE_F32, 2, {0, 8}, {8, 1}};
  longer.known.x = empty;
  longer.known.rows = empty_rows;
  longer.known.out = empty;
  EXPECT_EQ(VN_OK, vn_gather_rows(cpu.stream, &longer.known)) << vn_last_error();
  longer.future = 1;
  EXPECT_EQ(VN_ABI_MISMATCH, vn_gather_rows(cpu.stream, &longer.known));
  longer.known.struct_size = 0;
  EXPECT_EQ(VN_ABI_MISMATCH, vn_gather_rows(cpu.stream, &longer.known));
}

TEST(Abi, WrongShapeNamesBothShapes) {
  Cpu cpu;
  float x[8] = {}, out[8] = {};
  vn_gated_activation_params params{};
  params.struct_size = sizeof params;
  params.activation = VN_ACTIVATION_SILU;
  params.x = {x, VN_DTYPE_F32, 2, {1, 6}, {6, 1}};
  params.out = {out, VN_DTYPE_F32, 2, {1, 4}, {4, 1}};
  EXPECT_EQ(VN_SHAPE, vn_gated_activation(cpu.stream, &params));
  EXPECT_TRUE(message_has("x has shape [1, 6], expected [1, 8]")) << vn_last_error();
  params.x.dtype = VN_DTYPE_I64;
  EXPECT_EQ(VN_UNSUPPORTED, vn_gated_activation(cpu.stream, &params));
  EXPECT_TRUE(message_has("expected one of F32, F16, BF16")) << vn_last_error();
}

TEST(Abi, ChildrenOutliveTheDeviceHandle) {
  vn_device* device = nullptr;
  vn_buffer* buffer = nullptr;
  ASSERT_EQ(VN_OK, vn_device_create(VN_DEVICE_CPU, 0, nullptr, &device));
  ASSERT_EQ(VN_OK, vn_buffer_create(device, VN_MEMORY_DEVICE, 100, &buffer));
  vn_device_destroy(device);
  void* data = nullptr;
  ASSERT_EQ(VN_OK, vn_buffer_data(buffer, &data));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(0, static_cast<char*>(data)[i]);
  std::memset(data, 1, 100);
  vn_buffer_destroy(buffer);
  vn_buffer_destroy(nullptr);
  vn_device_destroy(nullptr);
}

TEST(Abi, MissingCudaDeviceIsExplained) {
  int32_t count = -1;
  ASSERT_EQ(VN_OK, vn_device_count(VN_DEVICE_CUDA, &count));
  if (count > 0) GTEST_SKIP() << "a CUDA device is present";
  vn_device* device = nullptr;
  EXPECT_EQ(VN_NO_DEVICE, vn_device_create(VN_DEVICE_CUDA, 0, nullptr, &device));
  EXPECT_GT(std::strlen(vn_last_error()), 20u);
  EXPECT_EQ(nullptr, device);
  EXPECT_EQ(VN_NO_DEVICE, vn_device_create(VN_DEVICE_CPU, 1, nullptr, &device));
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_device_create(7, 0, nullptr, &device));
}

TEST(Abi, GraphsAreRefusedInWordsOnTheCpu) {
  Cpu cpu;
  EXPECT_EQ(VN_UNSUPPORTED, vn_graph_begin(cpu.stream));
  EXPECT_TRUE(message_has("no graphs"));
}

TEST(Abi, BufferLoadStaysInside) {
  Cpu cpu;
  vn_buffer* buffer = nullptr;
  ASSERT_EQ(VN_OK, vn_buffer_create(cpu.device, VN_MEMORY_DEVICE, 16, &buffer));
  const float source[4] = {1, 2, 3, 4};
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_buffer_load(buffer, 1, VN_DTYPE_F32, source, VN_DTYPE_F32, 4));
  EXPECT_EQ(VN_UNSUPPORTED, vn_buffer_load(buffer, 0, VN_DTYPE_I32, source, VN_DTYPE_F32, 4));
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_buffer_load(buffer, -1, VN_DTYPE_F32, source, VN_DTYPE_F32, 1));
  vn_buffer_destroy(buffer);
}

TEST(Abi, InjectionNeedsPermission) {
  Cpu cpu;
  EXPECT_EQ(VN_UNSUPPORTED, vn_debug_inject(cpu.device, "gemm", 1, "fail", VN_CUDA));
}

TEST(Abi, DeviceInfoKnowsThreadsAndMemory) {
  Cpu cpu;
  vn_device_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(VN_OK, vn_device_get_info(cpu.device, &info));
  EXPECT_EQ(VN_DEVICE_CPU, info.kind);
  EXPECT_GE(info.num_threads, 1);
  EXPECT_GT(info.total_memory, 0);
  EXPECT_NE('\0', info.name[0]);
  EXPECT_TRUE(info.flags & VN_DEVICE_BATCH_INVARIANT);
  EXPECT_TRUE(info.flags & VN_DEVICE_HAS_FP8);
}

// On the CPU the option changes nothing: its results never depend on the batch.
TEST(Abi, DeterministicIsYesOrNo) {
  vn_device_options options{};
  options.struct_size = sizeof options;
  vn_device* device = nullptr;
  for (options.deterministic = 0; options.deterministic <= 1; ++options.deterministic) {
    ASSERT_EQ(VN_OK, vn_device_create(VN_DEVICE_CPU, 0, &options, &device)) << vn_last_error();
    vn_device_info info{};
    info.struct_size = sizeof info;
    EXPECT_EQ(VN_OK, vn_device_get_info(device, &info));
    EXPECT_TRUE(info.flags & VN_DEVICE_BATCH_INVARIANT);
    vn_device_destroy(device);
  }
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_device_create(VN_DEVICE_CPU, 0, &options, &device));
  EXPECT_TRUE(message_has("options.deterministic is 2, expected 0..1")) << vn_last_error();
}

}  // namespace
