// What every function of the table is wrapped in: nothing throws across, the message goes to the library that loaded us, and
// the device's context is current inside.
#pragma once

#include <utility>

#include "core/backend.h"
#include "core/guard.h"
#include "cuda/closing.h"
#include "cuda/context.h"
#include "cuda/recording.h"

namespace vn::cuda {

// The loading library; set once by vn_cuda_plugin_table, before any other function of the table is called.
inline const HostTable* g_host = nullptr;

template <typename Body>
int32_t report(Body&& body) noexcept {
  const int32_t status = guard(std::forward<Body>(body));
  if (status != VN_OK) g_host->set_error(last_error());
  return status;
}

// For calls that only wait for work that was launched, or ask about it: they may while another thread records.
template <typename Body>
int32_t wait(const char* op, const Device& device, Body&& body) noexcept {
  return report([&] {
    require_open(op);
    const CurrentContext current(device);
    current.require(op);
    body();
  });
}

template <typename Body>
int32_t enter(const char* op, const Device& device, Body&& body) noexcept {
  return wait(op, device, [&] {
    const Recording::Passage passage;
    body();
  });
}

// For calls that have no device yet.
template <typename Body>
int32_t enter(const char* op, Body&& body) noexcept {
  return report([&] {
    require_open(op);
    const Recording::Passage passage;
    body();
  });
}

// Closed, CUDA is not touched by what a handle's destruction does, which then need not wait for anybody.
template <typename Handle, void (*Destroy)(Handle*) noexcept>
void destroy(void* handle) noexcept {
  if (is_closed()) return Destroy(static_cast<Handle*>(handle));
  const Recording::Passage passage;
  Destroy(static_cast<Handle*>(handle));
}

}  // namespace vn::cuda
