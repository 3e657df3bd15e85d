#include "capi/op.h"

#include <vector>

namespace vn {

void poison_row(vn_stream& stream, const vn_tensor& result, int64_t row) {
  if (result.rank < 1 || row < 0 || row >= result.shape[0]) return;
  const int64_t bytes = (result.rank > 1 ? result.stride[0] : 1) * dtype_size(result.dtype);
  const std::vector<unsigned char> nan(static_cast<size_t>(bytes), 0xff);  // all ones is NaN in F32, F16 and BF16
  void* destination = static_cast<char*>(result.data) + row * bytes;
  stream.device->table->copy(stream.impl, destination, nan.data(), bytes, VN_COPY_HOST_TO_DEVICE);
  stream.device->table->stream_synchronize(stream.impl);
}

}  // namespace vn
