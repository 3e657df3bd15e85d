// Streams and events: CUDA's own, or a stream of the application.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/device.h"

namespace vn::cuda {

struct Stream {
  Device device;
  cudaStream_t handle;
  bool foreign;  // the application's: never destroyed here
  uint32_t* counters;  // stream_counters.h, of split-KV attention
};

struct Event {
  Device device;
  cudaEvent_t handle;
};

Stream* stream_create(const Device& device, int32_t kind, void* foreign);
void stream_destroy(Stream* stream) noexcept;
void stream_synchronize(const Stream& stream);

Event* event_create(const Device& device);
void event_destroy(Event* event) noexcept;
void event_record(const Event& event, const Stream& stream);
void event_wait(const Event& event, const Stream& stream);
void event_synchronize(const Event& event);
bool event_query(const Event& event);
float event_elapsed(const Event& start, const Event& end);

}  // namespace vn::cuda
