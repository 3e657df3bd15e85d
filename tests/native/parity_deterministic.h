// A CUDA device with vn_device_options.deterministic: a row's result has the same bits alone and among others, at any place in
// the batch, in chunks or whole. Each operation is compared with itself on other batches, bit for bit.
#pragma once

#include <memory>
#include <vector>

#include "parity_support.h"

namespace parity_deterministic {

using ops_test::Array;
using ops_test::kFloats;
using ops_test::params_of;
using parity::devices;
using parity::Side;
using parity::Twin;
using Bytes = std::vector<unsigned char>;

// Beside the program's other CUDA device, whose streams copy for it: one GPU, one context.
struct Deterministic {
  Deterministic() {
    vn_device_options options{};
    options.struct_size = sizeof options;
    options.deterministic = 1;
    EXPECT_EQ(VN_OK, vn_device_create(VN_DEVICE_CUDA, 0, &options, &device)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_stream_create(device, VN_STREAM_COMPUTE, nullptr, &stream)) << vn_last_error();
  }
  ~Deterministic() {
    vn_stream_destroy(stream);
    vn_device_destroy(device);
  }
  Deterministic(const Deterministic&) = delete;
  Deterministic& operator=(const Deterministic&) = delete;

  template <typename Params>
  void run(int32_t (*op)(vn_stream*, const Params*), const Params& params) {
    EXPECT_EQ(VN_OK, op(stream, &params)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_stream_synchronize(stream)) << vn_last_error();
  }

  vn_device* device = nullptr;
  vn_stream* stream = nullptr;
};

class DeterministicParity : public parity::Test {
 protected:
  void SetUp() override {
    parity::Test::SetUp();
    if (!IsSkipped()) gpu_ = std::make_unique<Deterministic>();
  }
  std::unique_ptr<Deterministic> gpu_;
};

inline vn_tensor rows_of(vn_tensor t, int64_t first, int64_t count) {
  t.data = static_cast<char*>(t.data) + first * t.stride[0] * ops_test::size_of(t.dtype);
  t.shape[0] = count;
  return t;
}

}  // namespace parity_deterministic
