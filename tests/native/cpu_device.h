// The CPU device of a test, with its compute stream.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>

#include "vllm_native.h"

namespace vn_test {

// The instruction set that this run of a test is limited to: VN_TEST_ISA, set by CTest for the runs below the best one.
inline int32_t isa_under_test() {
  const char* value = std::getenv("VN_TEST_ISA");
  return value ? static_cast<int32_t>(std::atoi(value)) : 0;
}

struct Cpu {
  explicit Cpu(int threads = 0, int32_t isa_limit = isa_under_test()) {
    vn_device_options options{};
    options.struct_size = sizeof options;
    options.num_threads = threads;
    options.isa_limit = isa_limit;
    EXPECT_EQ(VN_OK, vn_device_create(VN_DEVICE_CPU, 0, &options, &device)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_stream_create(device, VN_STREAM_COMPUTE, nullptr, &stream)) << vn_last_error();
  }
  ~Cpu() {
    vn_stream_destroy(stream);
    vn_device_destroy(device);
  }
  Cpu(const Cpu&) = delete;
  Cpu& operator=(const Cpu&) = delete;

  vn_device* device = nullptr;
  vn_stream* stream = nullptr;
};

}  // namespace vn_test
