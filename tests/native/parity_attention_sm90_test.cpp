// Paged attention of long rows by wgmma: CUDA against the CPU (parity_attention_support.h).
#include "parity_attention_support.h"

namespace {

using namespace parity::attention;

// Both tiled kernels for long rows, where the device has the one for Hopper; parity_attention_test leaves the choice to it.
class HopperAttentionParity : public AttentionParity {
 protected:
  void SetUp() override {
    AttentionParity::SetUp();
    if (IsSkipped()) return;
    auto info = parity::params_of<vn_device_info>();
    ASSERT_EQ(VN_OK, vn_device_get_info(parity::devices().cuda, &info)) << vn_last_error();
    if (info.capability != 90) GTEST_SKIP() << "wgmma needs compute capability 9.0, this device has " << info.capability;
  }
};

TEST_F(HopperAttentionParity, OneTile) {
  for (const int32_t dtype : kHalves) {
    for (const int dim : {64, 128}) {
      for (const int length : {17, 64, 128}) {
        compare(Config::of(dtype, dim, 1, 1).sharp().with(kWgmma), {{length, length}}, "length " + std::to_string(length));
      }
    }
  }
}

TEST_F(HopperAttentionParity, LengthsAroundTiles) {
  std::vector<Request> requests;
  for (const int edge : {16, 64, 128, 256, 384, 512}) {
    for (const int length : {edge - 1, edge, edge + 1}) requests.push_back({length, length});
  }
  for (const int dim : {64, 128}) {
    for (const int group : {1, 4, 7, 8}) {
      for (const int32_t dtype : kHalves) {
        compare(Config::of(dtype, dim, 2 * group, 2).sharp().with(kWgmma), requests, "group " + std::to_string(group));
      }
      compare(Config::of(VN_DTYPE_BF16, dim, group, 1).sharp().with(kMmaSync), requests, "group " + std::to_string(group));
    }
  }
}

TEST_F(HopperAttentionParity, Chunks) {
  std::vector<Request> requests;
  for (const int query : {17, 31, 64, 127, 128, 129, 300}) {
    for (const int before : {0, 1, 63, 127, 128, 129, 200, 1000}) requests.push_back({query, query + before});
  }
  for (const int32_t kernel : {kWgmma, kMmaSync}) {
    compare(Config::of(VN_DTYPE_BF16, 128, 4, 1).sharp().with(kernel), requests);
    compare(Config::of(VN_DTYPE_F16, 64, 7, 1).sharp().with(kernel), requests);
    compare(Config::of(VN_DTYPE_BF16, 128, 8, 1).sharp().with(kernel), requests);
    compare(Config::of(VN_DTYPE_F16, 128, 1, 1).sharp().with(kernel), requests);
  }
}

TEST_F(HopperAttentionParity, WindowsAndSoftcap) {
  const std::vector<Request> requests = {{300, 300}, {129, 700}, {1, 900}, {64, 65}, {20, 1100}};
  for (const int window : {1, 2, 16, 17, 100, 127, 128, 129, 300, 5000}) {
    for (const int dim : {64, 128}) {
      Config c = Config::of(VN_DTYPE_BF16, dim, 4, 1).sharp().with(kWgmma);
      c.window = window;
      compare(c, requests);
      c.softcap = 2.0f;
      compare(c, requests);
    }
  }
  for (const float softcap : {1.0f, 50.0f}) {
    Config c = Config::of(VN_DTYPE_F16, 128, 7, 1).sharp().with(kWgmma);
    c.softcap = softcap;
    compare(c, requests);
  }
}

TEST_F(HopperAttentionParity, BlockSizes) {
  const std::vector<Request> requests = {{300, 300}, {129, 700}, {1, 90}, {65, 66}, {20, 513}};
  for (const int block_size : {8, 16, 24, 32, 48, 64, 80, 128, 136, 256}) {
    for (const bool slot_major : {false, true}) {
      Config c = Config::of(VN_DTYPE_BF16, 128, 8, 2).sharp().with(kWgmma);
      c.block_size = block_size;
      c.slot_major = slot_major;
      compare(c, requests);
      c = Config::of(VN_DTYPE_F16, 64, 2, 2).sharp().with(kWgmma);
      c.block_size = block_size;
      c.slot_major = slot_major;
      compare(c, requests);
    }
  }
}

// More units than the GPU takes at a time, of all sizes, with rows in between that another kernel takes.
TEST_F(HopperAttentionParity, ManyUnits) {
  std::vector<Request> requests;
  for (int i = 0; i < 60; ++i) requests.push_back({i % 3 == 1 ? 1 : 1 + i * 53 % 301, 301 + i * 37 % 401});
  compare(Config::of(VN_DTYPE_BF16, 128, 32, 8).sharp().with(kWgmma), requests);
  compare(Config::of(VN_DTYPE_F16, 64, 14, 2).sharp().with(kWgmma), requests);
  compare(Config::of(VN_DTYPE_BF16, 128, 8, 8).sharp().with(kMmaSync), requests);
}

TEST_F(HopperAttentionParity, LongContexts) {
  compare(Config::of(VN_DTYPE_BF16, 128, 4, 1).sharp().with(kWgmma), {{2050, 2050}});
  compare(Config::of(VN_DTYPE_F16, 128, 4, 1).sharp().with(kWgmma), {{70, 9001}});
  Config windowed = Config::of(VN_DTYPE_BF16, 64, 2, 1).sharp().with(kWgmma);
  windowed.window = 4096;
  compare(windowed, {{1000, 9001}});
}

TEST_F(HopperAttentionParity, FlaggedRows) {
  for (const int length : {0, -5, 1, 2, 30}) {
    Batch batch(Config::of(VN_DTYPE_BF16, 128).sharp().with(kWgmma), {{40, 60}, {150, 160}, {30, 60}, {3, 9}});
    batch.lengths.host().ints()[0] = std::min(length, 2);
    batch.lengths.host().ints()[1] = length;
    batch.upload();
    batch.compare("length " + std::to_string(length));
  }
  for (const int32_t bad : {-1, 1 << 20, INT32_MIN, INT32_MAX}) {
    Batch batch(Config::of(VN_DTYPE_BF16, 128).sharp().with(kWgmma), {{20, 40}, {1, 20}, {260, 280}});
    int32_t* ids = batch.table.host().ints();
    ids[4 * batch.max_blocks + 1] = bad;
    ids[2 * batch.max_blocks + 3] = bad;
    ids[2 * batch.max_blocks + 17] = bad;
    batch.upload();
    batch.compare("id " + std::to_string(bad));
  }
  Batch lost(Config::of(VN_DTYPE_BF16, 128).sharp().with(kWgmma), {{20, 40}, {1, 20}, {60, 80}});
  lost.step_rows.host().ints()[0] = 1000;
  lost.step_rows.host().ints()[8] = -1;
  lost.upload();
  lost.compare("request rows outside the tables");
}

TEST_F(HopperAttentionParity, AKernelThatCannotIsRefused) {
  Config c = Config::of(VN_DTYPE_BF16, 128).with(kWgmma);
  c.block_size = 12;
  Batch odd(c, {{200, 200}});
  odd.expect_refused(VN_UNSUPPORTED);
  Batch wide(Config::of(VN_DTYPE_BF16, 256).with(kWgmma), {{200, 200}});
  wide.expect_refused(VN_UNSUPPORTED);
  Batch unknown(Config::of(VN_DTYPE_BF16, 128).with(3), {{200, 200}});
  unknown.expect_refused(VN_INVALID_ARGUMENT);
}

}  // namespace
