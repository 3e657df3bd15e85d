// The instruction set that this run of a test is limited to: VN_TEST_ISA, set by CTest for the runs below the best one.
#pragma once

#include <cstdint>
#include <cstdlib>

inline int32_t isa_under_test() {
  const char* value = std::getenv("VN_TEST_ISA");
  return value ? static_cast<int32_t>(std::atoi(value)) : 0;
}
