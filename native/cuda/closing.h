// The end of CUDA in this process. After a fault on a device (an illegal address, say) the driver answers every later call of
// the process with the same error, and only a new process gets rid of it. So the first such error closes the backend: every
// call from then on is refused here, without reaching the driver, and destroy functions leave to the end of the process what
// they cannot free. The CPU backend knows nothing of it.
#pragma once

namespace vn::cuda {

// why: the failure in words. Those of the first caller stay.
void close_cuda(const char* why) noexcept;
bool is_closed() noexcept;
// Throws VN_DEVICE_LOST when closed.
void require_open(const char* op);

}  // namespace vn::cuda
