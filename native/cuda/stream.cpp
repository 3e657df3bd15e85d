#include "cuda/stream.h"

#include <memory>

#include "cuda/check.h"

namespace vn::cuda {

Stream* stream_create(const Device& device, int32_t, void* foreign) {
  auto stream = std::make_unique<Stream>(device, static_cast<cudaStream_t>(foreign), foreign != nullptr);
  device.activate();
  if (!foreign) {
    check(cudaStreamCreateWithFlags(&stream->handle, cudaStreamNonBlocking),
          "stream_create: cudaStreamCreateWithFlags");
  }
  return stream.release();
}

void stream_destroy(Stream* stream) noexcept {
  if (!stream->foreign && cudaSetDevice(stream->device.ordinal) == cudaSuccess) cudaStreamDestroy(stream->handle);
  delete stream;
}

void stream_synchronize(const Stream& stream) {
  stream.device.activate();
  check_wait(cudaStreamSynchronize(stream.handle), "stream_synchronize", stream.device.state->last_op);
}

Event* event_create(const Device& device) {
  auto event = std::make_unique<Event>(device, nullptr);
  device.activate();
  check(cudaEventCreate(&event->handle), "event_create: cudaEventCreate");
  return event.release();
}

void event_destroy(Event* event) noexcept {
  if (cudaSetDevice(event->device.ordinal) == cudaSuccess) cudaEventDestroy(event->handle);
  delete event;
}

void event_record(const Event& event, const Stream& stream) {
  stream.device.activate();
  check(cudaEventRecord(event.handle, stream.handle), "event_record: cudaEventRecord");
}

void event_wait(const Event& event, const Stream& stream) {
  stream.device.activate();
  check(cudaStreamWaitEvent(stream.handle, event.handle, 0), "event_wait: cudaStreamWaitEvent");
}

void event_synchronize(const Event& event) {
  event.device.activate();
  check_wait(cudaEventSynchronize(event.handle), "event_synchronize", event.device.state->last_op);
}

float event_elapsed(const Event& start, const Event& end) {
  float milliseconds = 0;
  start.device.activate();
  check(cudaEventElapsedTime(&milliseconds, start.handle, end.handle), "event_elapsed: cudaEventElapsedTime");
  return milliseconds;
}

}  // namespace vn::cuda
