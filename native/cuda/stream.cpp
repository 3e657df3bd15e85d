#include "cuda/stream.h"

#include <memory>

#include "cuda/attention.h"
#include "cuda/check.h"
#include "cuda/context.h"
#include "cuda/stream_counters.h"

namespace vn::cuda {

Stream* stream_create(const Device& device, int32_t, void* foreign) {
  uint32_t* const counters = device.state->counters->take(decode_arrivals(device.state->sms));
  auto stream = std::make_unique<Stream>(device, static_cast<cudaStream_t>(foreign), foreign != nullptr, counters);
  if (!foreign) {
    check(cudaStreamCreateWithFlags(&stream->handle, cudaStreamNonBlocking),
          "stream_create: cudaStreamCreateWithFlags");
  }
  return stream.release();
}

void stream_destroy(Stream* stream) noexcept {
  if (!stream->foreign) {
    const CurrentContext current(stream->device);
    if (current) forgive(cudaStreamDestroy(stream->handle), "stream_destroy: cudaStreamDestroy");
  }
  delete stream;
}

void stream_synchronize(const Stream& stream) {
  check_wait(cudaStreamSynchronize(stream.handle), "stream_synchronize", stream.device.state->last_op);
}

Event* event_create(const Device& device) {
  auto event = std::make_unique<Event>(device, nullptr);
  check(cudaEventCreate(&event->handle), "event_create: cudaEventCreate");
  return event.release();
}

void event_destroy(Event* event) noexcept {
  if (const CurrentContext current(event->device); current) {
    forgive(cudaEventDestroy(event->handle), "event_destroy: cudaEventDestroy");
  }
  delete event;
}

void event_record(const Event& event, const Stream& stream) {
  check(cudaEventRecord(event.handle, stream.handle), "event_record: cudaEventRecord");
}

void event_wait(const Event& event, const Stream& stream) {
  check(cudaStreamWaitEvent(stream.handle, event.handle, 0), "event_wait: cudaStreamWaitEvent");
}

void event_synchronize(const Event& event) {
  check_wait(cudaEventSynchronize(event.handle), "event_synchronize", event.device.state->last_op);
}

bool event_query(const Event& event) {
  const cudaError_t result = cudaEventQuery(event.handle);
  if (result == cudaErrorNotReady) {
    cudaGetLastError();  // an answer, which the runtime files as an error
    return false;
  }
  check_wait(result, "event_query", event.device.state->last_op);
  return true;
}

float event_elapsed(const Event& start, const Event& end) {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start.handle, end.handle), "event_elapsed: cudaEventElapsedTime");
  return milliseconds;
}

}  // namespace vn::cuda
