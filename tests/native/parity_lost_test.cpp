// A fault on the device (an operation given memory that is not there): it shows at the next wait as VN_DEVICE_LOST with the
// operation's name, and from then on everything answers so. Alone in its program, since the context does not come back.
#include "parity_support.h"

namespace {

using parity::devices;
using parity::Side;

class LostParity : public parity::Test {};

TEST_F(LostParity, FaultNamesTheOperationAndTheDeviceStaysLost) {
  vn_weight* table = nullptr;
  ASSERT_EQ(VN_OK, vn_weight_create(devices().cuda, VN_WEIGHT_LOOKUP, VN_DTYPE_F32, 8, 64, &table)) << vn_last_error();
  parity::Twin ids(VN_DTYPE_I32, {4}), out(VN_DTYPE_F32, {4, 64});
  auto params = ops_test::params_of<vn_embedding_params>();
  params.table = table;
  params.ids = ids.tensor(Side::kCuda);
  params.out = out.tensor(Side::kCuda);
  params.out.data = reinterpret_cast<void*>(uintptr_t{4096});
  ASSERT_EQ(VN_OK, vn_embedding(devices().cuda_stream, &params)) << vn_last_error();
  EXPECT_EQ(VN_DEVICE_LOST, vn_stream_synchronize(devices().cuda_stream));
  EXPECT_NE(nullptr, std::strstr(vn_last_error(), "embedding")) << vn_last_error();
  params.out = out.tensor(Side::kCuda);
  EXPECT_EQ(VN_DEVICE_LOST, vn_embedding(devices().cuda_stream, &params));
  vn_buffer* buffer = nullptr;
  EXPECT_EQ(VN_DEVICE_LOST, vn_buffer_create(devices().cuda, VN_MEMORY_DEVICE, 16, &buffer));
  vn_weight_destroy(table);  // and nothing crashes on the way out
}

}  // namespace
