// Counters in device memory by which the blocks of a kernel find out which of them is last. They are zero whenever no kernel
// uses them: the last block puts them back, so that nothing has to be launched to clear them.
#pragma once

#include <cstdint>
#include <mutex>

#include "cuda/device_memory.h"

namespace vn::cuda {

// Streams have sets of their own, since their kernels run at the same time. A graph uses the set of the stream that recorded it.
class StreamCounters {
 public:
  // A set of `count` zeros, the same number in every call; it lives as long as this. The device is current.
  uint32_t* take(int64_t count);

 private:
  static constexpr int64_t kSets = 64;  // streams beyond them share

  std::mutex mutex_;
  DeviceMemory memory_;
  int64_t taken_ = 0;
};

}  // namespace vn::cuda
