// Events and the state of a lost device, on the CPU: work is done when its call returns, so every event has happened.
#include <string>

#include "cpu_device.h"

namespace {

using vn_test::Cpu;

bool message_has(const char* text) { return std::string(vn_last_error()).find(text) != std::string::npos; }

// Plans misbehaviour, which the library must allow before the process's first device.
class Order : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    vn_library_options options{};
    options.struct_size = sizeof options;
    options.allow_faults = 1;
    ASSERT_EQ(VN_OK, vn_library_init(&options)) << vn_last_error();
  }
};

TEST_F(Order, EventsHaveHappenedBeforeAndAfterTheyWereRecorded) {
  Cpu cpu;
  vn_event* event = nullptr;
  vn_stream* copies = nullptr;
  ASSERT_EQ(VN_OK, vn_stream_create(cpu.device, VN_STREAM_COPY, nullptr, &copies));
  ASSERT_EQ(VN_OK, vn_event_create(cpu.device, &event));
  int32_t happened = -1;
  EXPECT_EQ(VN_OK, vn_event_query(event, &happened));
  EXPECT_EQ(1, happened);
  happened = -1;
  EXPECT_EQ(VN_OK, vn_event_record(event, cpu.stream));
  EXPECT_EQ(VN_OK, vn_event_wait(event, copies));
  EXPECT_EQ(VN_OK, vn_event_query(event, &happened));
  EXPECT_EQ(1, happened);
  EXPECT_EQ(VN_OK, vn_event_synchronize(event));
  vn_event_destroy(event);
  vn_stream_destroy(copies);
}

TEST_F(Order, QueryNeedsItsArguments) {
  Cpu cpu;
  vn_event* event = nullptr;
  int32_t happened = -1;
  ASSERT_EQ(VN_OK, vn_event_create(cpu.device, &event));
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_event_query(nullptr, &happened));
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_event_query(event, nullptr));
  EXPECT_TRUE(message_has("event_query: ")) << vn_last_error();
  EXPECT_EQ(-1, happened);
  vn_event_destroy(event);
}

TEST_F(Order, WhatWaitsCanBePlannedToFail) {
  Cpu cpu;
  vn_event* event = nullptr;
  int32_t happened = -1;
  ASSERT_EQ(VN_OK, vn_event_create(cpu.device, &event));
  ASSERT_EQ(VN_OK, vn_debug_inject(cpu.device, "event_query", 2, "fail", VN_CUDA));
  ASSERT_EQ(VN_OK, vn_debug_inject(cpu.device, "event_synchronize", 1, "fail", VN_CUDA));
  EXPECT_EQ(VN_OK, vn_event_query(event, &happened));
  EXPECT_EQ(VN_CUDA, vn_event_query(event, &happened));
  EXPECT_TRUE(message_has("event_query: injected failure")) << vn_last_error();
  EXPECT_EQ(VN_CUDA, vn_event_synchronize(event));
  EXPECT_EQ(VN_OK, vn_event_synchronize(event));
  vn_event_destroy(event);
}

TEST_F(Order, EventsCanBePlannedToBePending) {
  Cpu cpu;
  vn_event* event = nullptr;
  int32_t happened = -1;
  ASSERT_EQ(VN_OK, vn_event_create(cpu.device, &event));
  for (int i = 0; i < 2; ++i) ASSERT_EQ(VN_OK, vn_debug_inject(cpu.device, "event_query", 1, "pending", 0));
  for (const int32_t expected : {0, 0, 1}) {
    EXPECT_EQ(VN_OK, vn_event_query(event, &happened));
    EXPECT_EQ(expected, happened);
  }
  vn_event_destroy(event);
}

TEST_F(Order, LostDeviceAnswersSoToEverythingAndItsHandlesCanBeDestroyed) {
  Cpu cpu;
  vn_event* event = nullptr;
  vn_buffer* buffer = nullptr;
  int32_t happened = -1;
  vn_device_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(VN_OK, vn_event_create(cpu.device, &event));
  ASSERT_EQ(VN_OK, vn_debug_inject(cpu.device, "event_query", 1, "lost", 0));
  EXPECT_EQ(VN_DEVICE_LOST, vn_event_query(event, &happened));
  EXPECT_EQ(VN_DEVICE_LOST, vn_event_synchronize(event));
  EXPECT_EQ(VN_DEVICE_LOST, vn_event_record(event, cpu.stream));
  EXPECT_EQ(VN_DEVICE_LOST, vn_event_wait(event, cpu.stream));
  EXPECT_EQ(VN_DEVICE_LOST, vn_stream_synchronize(cpu.stream));
  EXPECT_EQ(VN_DEVICE_LOST, vn_buffer_create(cpu.device, VN_MEMORY_DEVICE, 16, &buffer));
  EXPECT_EQ(VN_DEVICE_LOST, vn_device_get_info(cpu.device, &info));
  EXPECT_TRUE(message_has("device_get_info: the device is lost")) << vn_last_error();
  EXPECT_EQ(-1, happened);
  EXPECT_EQ(nullptr, buffer);
  vn_event_destroy(event);
  Cpu other;  // devices are independent
  EXPECT_EQ(VN_OK, vn_stream_synchronize(other.stream));
}

TEST_F(Order, ForeignContextsAreForCuda) {
  vn_device_options options{};
  options.struct_size = sizeof options;
  options.foreign_context = &options;
  vn_device* device = nullptr;
  EXPECT_EQ(VN_UNSUPPORTED, vn_device_create(VN_DEVICE_CPU, 0, &options, &device));
  EXPECT_TRUE(message_has("foreign_context was given, the CPU device has none")) << vn_last_error();
  EXPECT_EQ(nullptr, device);
}

}  // namespace
