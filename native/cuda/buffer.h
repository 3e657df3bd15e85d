// Device and pinned host memory, and copies between them.
#pragma once

#include <cstdint>

#include "cuda/stream.h"

namespace vn::cuda {

struct Buffer {
  Device device;
  void* data;
  bool host;  // pinned host memory
};

Buffer* buffer_create(const Device& device, int32_t memory, int64_t bytes);
void buffer_destroy(Buffer* buffer) noexcept;
void buffer_load(void* destination, int32_t dtype, const void* source, int32_t source_dtype, int64_t count);
void copy(const Stream& stream, void* destination, const void* source, int64_t bytes, int32_t direction);
void fill_zero(const Stream& stream, void* destination, int64_t bytes);

}  // namespace vn::cuda
