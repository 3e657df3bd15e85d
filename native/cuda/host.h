// What every function of the table is wrapped in: nothing throws across, and the message goes to the library that loaded us.
#pragma once

#include <utility>

#include "core/backend.h"
#include "core/guard.h"
#include "cuda/recording.h"

namespace vn::cuda {

// The loading library; set once by vn_cuda_plugin_table, before any other function of the table is called.
inline const HostTable* g_host = nullptr;

// For calls that only wait for work that was launched: they may wait while another thread records.
template <typename Body>
int32_t wait(Body&& body) noexcept {
  const int32_t status = guard(std::forward<Body>(body));
  if (status != VN_OK) g_host->set_error(last_error());
  return status;
}

template <typename Body>
int32_t enter(Body&& body) noexcept {
  return wait([&] {
    const Recording::Passage passage;
    body();
  });
}

}  // namespace vn::cuda
