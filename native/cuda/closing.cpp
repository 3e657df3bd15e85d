#include "cuda/closing.h"

#include <atomic>
#include <cstdio>
#include <mutex>

#include "core/error.h"

namespace vn::cuda {
namespace {

std::mutex g_mutex;
std::atomic<bool> g_closed{false};
char g_why[512] = "";  // written once, before g_closed

}  // namespace

void close_cuda(const char* why) noexcept {
  const std::lock_guard lock(g_mutex);
  if (g_closed.load(std::memory_order_relaxed)) return;
  std::snprintf(g_why, sizeof g_why, "%s", why);
  g_closed.store(true, std::memory_order_release);
}

bool is_closed() noexcept { return g_closed.load(std::memory_order_acquire); }

void require_open(const char* op) {
  if (!is_closed()) return;
  fail(VN_DEVICE_LOST, "%s: CUDA is lost to this process, which must be restarted to use it again; the cause was: %s", op,
       g_why);
}

}  // namespace vn::cuda
