#include "cuda/stream_counters.h"

namespace vn::cuda {

uint32_t* StreamCounters::take(int64_t count) {
  const std::lock_guard lock(mutex_);
  if (!memory_) memory_ = allocate_zeroed(kSets * count * static_cast<int64_t>(sizeof(uint32_t)), "stream_create: counters");
  return static_cast<uint32_t*>(memory_.get()) + taken_++ % kSets * count;
}

}  // namespace vn::cuda
