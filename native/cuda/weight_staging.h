// The road of weights from host memory to the device: two pinned buffers, one being filled while the other is read.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <mutex>

namespace vn::cuda {

// A host matrix; stride in elements of dtype.
struct HostMatrix {
  const void* data;
  int32_t dtype;
  int64_t rows;
  int64_t columns;
  int64_t stride;
};

class WeightStaging {
 public:
  WeightStaging() = default;
  ~WeightStaging();
  WeightStaging(const WeightStaging&) = delete;
  WeightStaging& operator=(const WeightStaging&) = delete;

  // Converts the matrix to dtype and puts it at destination (device memory, rows without gaps); returns when done. The
  // device is current. Nothing of the source is read afterwards.
  void load(const HostMatrix& source, void* destination, int32_t dtype);

 private:
  static constexpr int kSlots = 2;

  void open();

  std::mutex mutex_;
  cudaStream_t stream_ = nullptr;
  char* pinned_[kSlots] = {};
  cudaEvent_t free_[kSlots] = {};  // the device has read the slot
};

}  // namespace vn::cuda
