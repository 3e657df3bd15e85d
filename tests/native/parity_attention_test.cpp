// Paged attention: CUDA against the CPU (parity_attention_support.h).
#include "parity_attention_support.h"

namespace {

using namespace parity::attention;

// Decode rows, short and long chunks, whole prompts.
std::vector<Request> mixed() {
  return {{1, 1}, {5, 5}, {1, 33}, {7, 40}, {1, 64}, {33, 65}, {1, 31}, {2, 100}, {140, 300}, {1, 257}, {4, 130}};
}

class AttentionParity : public parity::Test {
 protected:
  void TearDown() override { RecordProperty("worst", std::to_string(Batch::worst_of_all)); }
};

TEST_F(AttentionParity, OneDecodeRow) {
  for (const int32_t dtype : kHalves) {
    for (const int dim : {64, 96, 128, 256}) compare(Config::of(dtype, dim).sharp(), {{1, 50}});
  }
}

TEST_F(AttentionParity, OnePrompt) {
  for (const int32_t dtype : kHalves) {
    for (const int dim : {64, 96, 128, 256}) compare(Config::of(dtype, dim).sharp(), {{90, 90}});
  }
}

TEST_F(AttentionParity, MixedRowsOfTunedDimensions) {
  for (const int32_t dtype : kHalves) {
    for (const int dim : {64, 96, 128, 256}) {
      compare(Config::of(dtype, dim), mixed(), "flat");
      compare(Config::of(dtype, dim).sharp(), mixed(), "sharp");
    }
  }
}

TEST_F(AttentionParity, AnyDimension) {
  for (const int32_t dtype : {VN_DTYPE_F32, VN_DTYPE_F16, VN_DTYPE_BF16}) {
    for (const auto& [key, value] : {std::pair{1, 1}, std::pair{5, 5}, std::pair{31, 33}, std::pair{80, 80},
                                     std::pair{192, 128}, std::pair{64, 5}, std::pair{17, 256}}) {
      Config c = Config::of(dtype, key);
      c.value_dim = value;
      compare(c, mixed());
    }
  }
  for (const int dim : {64, 96, 128, 256}) compare(Config::of(VN_DTYPE_F32, dim).sharp(), mixed());
}

TEST_F(AttentionParity, AnyDtypes) {
  for (const int32_t q_dtype : ops_test::kFloats) {
    for (const int32_t cache_dtype : ops_test::kFloats) {
      for (const int32_t out_dtype : ops_test::kFloats) {
        Config c = Config::of(cache_dtype, 64);
        c.q_dtype = q_dtype;
        c.out_dtype = out_dtype;
        compare(c.sharp(), mixed());
      }
    }
  }
}

TEST_F(AttentionParity, HeadGroups) {
  for (const auto& [q_heads, kv_heads] :
       {std::pair{1, 1}, std::pair{3, 3}, std::pair{4, 2}, std::pair{14, 2}, std::pair{6, 2}, std::pair{16, 2},
        std::pair{5, 1}, std::pair{15, 1}, std::pair{16, 1}, std::pair{17, 1}, std::pair{40, 2}, std::pair{71, 1}}) {
    compare(Config::of(VN_DTYPE_BF16, 128, q_heads, kv_heads).sharp(), mixed());
    compare(Config::of(VN_DTYPE_F16, 64, q_heads, kv_heads).sharp(), mixed());
  }
}

TEST_F(AttentionParity, SeveralTokensInADecodeRow) {
  for (const int q_heads : {2, 4, 8, 14}) {
    std::vector<Request> requests;
    for (int query = 1; query <= 17; ++query) requests.push_back({query, query + 13 * (query % 9)});
    compare(Config::of(VN_DTYPE_BF16, 64, q_heads, 2).sharp(), requests);
    Config windowed = Config::of(VN_DTYPE_F16, 128, q_heads, 2).sharp();
    windowed.window = 20;
    compare(windowed, requests);
  }
}

TEST_F(AttentionParity, BlockSizes) {
  for (const int block_size : {1, 3, 8, 16, 32, 33, 64, 256}) {
    for (const bool slot_major : {false, true}) {
      Config c = Config::of(VN_DTYPE_BF16, 64).sharp();
      c.block_size = block_size;
      c.slot_major = slot_major;
      compare(c, mixed());
    }
  }
}

TEST_F(AttentionParity, LengthsAroundTiles) {
  std::vector<Request> decode, prefill;
  for (const int edge : {1, 16, 32, 48, 64, 128, 192, 512}) {
    for (const int length : {edge - 1, edge, edge + 1}) {
      if (length > 0) decode.push_back({1, length});
      if (length > 0) prefill.push_back({length, length});
    }
  }
  for (const int dim : {64, 128}) {
    compare(Config::of(VN_DTYPE_BF16, dim).sharp(), decode, "decode");
    compare(Config::of(VN_DTYPE_F16, dim, 2, 2).sharp(), prefill, "prefill, group 1");
    compare(Config::of(VN_DTYPE_BF16, dim, 7, 1).sharp(), prefill, "prefill, group 7");
  }
  std::vector<Request> chunks;
  for (const int query : {31, 32, 33, 63, 64, 65, 127, 128, 129}) {
    for (const int before : {0, 1, 63, 64, 65, 200}) chunks.push_back({query, query + before});
  }
  compare(Config::of(VN_DTYPE_BF16, 128, 4, 1).sharp(), chunks, "chunks");
  compare(Config::of(VN_DTYPE_BF16, 256, 2, 1).sharp(), chunks, "chunks");
}

TEST_F(AttentionParity, WindowSoftcapAndScale) {
  std::vector<Request> requests = mixed();
  requests.push_back({70, 700});
  requests.push_back({1, 1100});
  for (const int window : {1, 2, 31, 64, 65, 100, 513, 5000}) {
    for (const int32_t dtype : {VN_DTYPE_BF16, VN_DTYPE_F32}) {
      Config c = Config::of(dtype, 64, 4, 2).sharp();
      c.window = window;
      compare(c, requests);
      c.softcap = 2.0f;
      compare(c, requests);
    }
  }
  for (const float softcap : {1.0f, 30.0f, 50.0f, 1000.0f}) {
    for (const int dim : {64, 128}) {
      Config c = Config::of(VN_DTYPE_F16, dim).sharp();
      c.softcap = softcap;
      compare(c, requests);
    }
  }
  for (const float scale : {-0.5f, 1e-3f, 2.0f}) {
    Config c = Config::of(VN_DTYPE_BF16, 64);
    c.scale = scale;
    compare(c, requests);
  }
}

TEST_F(AttentionParity, Fp8MixedRowsOfTunedDimensions) {
  for (const int32_t dtype : kHalves) {
    for (const int dim : {64, 96, 128, 256}) {
      compare(Config::fp8(dtype, dim).sharp(), {{1, 50}}, "one decode row");
      compare(Config::fp8(dtype, dim).sharp(), {{90, 90}}, "one prompt");
      compare(Config::fp8(dtype, dim), mixed(), "flat");
      compare(Config::fp8(dtype, dim).sharp(), mixed(), "sharp");
      Config unscaled = Config::fp8(dtype, dim).sharp();
      unscaled.key_scale = unscaled.value_scale = 0;
      compare(unscaled, mixed(), "scales of 1");
    }
  }
}

// Dimensions, dtypes and gaps that only the plain kernel takes.
TEST_F(AttentionParity, Fp8OfAnyDimensionAndDtype) {
  for (const int32_t dtype : ops_test::kFloats) {
    for (const auto& [key, value] : {std::pair{1, 1}, std::pair{31, 33}, std::pair{80, 80}, std::pair{192, 128}}) {
      Config c = Config::fp8(dtype, key);
      c.value_dim = value;
      compare(c, mixed());
    }
    Config unaligned = Config::fp8(dtype, 64).sharp();
    unaligned.gap = 3;
    compare(unaligned, mixed());
  }
  compare(Config::fp8(VN_DTYPE_F32, 128).sharp(), mixed());
  Config other_out = Config::fp8(VN_DTYPE_BF16, 128).sharp();
  other_out.out_dtype = VN_DTYPE_F32;
  compare(other_out, mixed());
}

TEST_F(AttentionParity, Fp8HeadGroupsAndBlockSizes) {
  for (const auto& [q_heads, kv_heads] : {std::pair{1, 1}, std::pair{4, 4}, std::pair{4, 2}, std::pair{14, 2},
                                          std::pair{16, 1}, std::pair{17, 1}, std::pair{40, 2}, std::pair{71, 1}}) {
    compare(Config::fp8(VN_DTYPE_BF16, 128, q_heads, kv_heads).sharp(), mixed());
    compare(Config::fp8(VN_DTYPE_F16, 64, q_heads, kv_heads).sharp(), mixed());
  }
  for (const int block_size : {1, 3, 8, 16, 33, 64, 256}) {
    for (const bool slot_major : {false, true}) {
      Config c = Config::fp8(VN_DTYPE_BF16, 96).sharp();
      c.block_size = block_size;
      c.slot_major = slot_major;
      compare(c, mixed());
    }
  }
}

TEST_F(AttentionParity, Fp8WindowSoftcapAndScale) {
  std::vector<Request> requests = mixed();
  requests.push_back({70, 700});
  requests.push_back({1, 1100});
  for (const int32_t dtype : kHalves) {
    for (const int window : {0, 1, 31, 64, 100, 513}) {
      for (const float softcap : {0.0f, 2.0f, 50.0f}) {
        Config c = Config::fp8(dtype, 64, 4, 2).sharp();
        c.window = window;
        c.softcap = softcap;
        compare(c, requests);
      }
    }
    Config negative = Config::fp8(dtype, 128);
    negative.scale = -0.5f;
    compare(negative, requests);
  }
}

// BF16 beyond F16's range on both sides: q is scaled by row.
TEST_F(AttentionParity, Fp8QueriesOfAnyMagnitude) {
  for (const double magnitude : {0.0, 1e-30, 1e-12, 1e-4, 1e6, 1e30}) {
    for (const int dim : {64, 128, 256}) {
      Config c = Config::fp8(VN_DTYPE_BF16, dim);
      c.query_magnitude = magnitude;
      // Below 1e-12 the scores are 0 in any arithmetic: no scale that a model has brings them back.
      c.scale = static_cast<float>(7.5 / (std::max(magnitude, 1e-12) * std::sqrt(static_cast<double>(dim))));
      compare(c, mixed());
      c.softcap = 3.0f;
      compare(c, mixed());
    }
  }
}

// Shares of long lines that are merged, and many rows.
TEST_F(AttentionParity, Fp8LongAndMany) {
  for (const auto& [q_heads, kv_heads] : {std::pair{8, 1}, std::pair{8, 2}, std::pair{2, 2}}) {
    compare(Config::fp8(VN_DTYPE_BF16, 128, q_heads, kv_heads).sharp(), {{1, 9001}});
    compare(Config::fp8(VN_DTYPE_F16, 64, q_heads, kv_heads).sharp(), {{1, 5000}, {2, 6001}, {1, 1}});
    compare(Config::fp8(VN_DTYPE_BF16, 256, q_heads, kv_heads).sharp(), {{1, 3000}});
  }
  compare(Config::fp8(VN_DTYPE_BF16, 128, 8, 2).sharp(), {{70, 4100}});
  std::vector<Request> rows;
  for (int i = 0; i < 150; ++i) rows.push_back({i % 7 == 3 ? 1 + i % 50 : 1, 51 + i * 37 % 301});
  for (const int dim : {64, 96, 128}) compare(Config::fp8(VN_DTYPE_BF16, dim, 4, 1).sharp(), rows);
}

// A NaN among the codes is a NaN of its head's results, from its token on, as on the CPU; whole tiles are compared, so that
// the earlier rows of a tile, which a NaN of V may reach, are left out by putting it first.
TEST_F(AttentionParity, Fp8CodesOfNan) {
  for (const int32_t dtype : kHalves) {
    for (const int dim : {64, 96, 128, 256}) {
      for (const bool of_value : {false, true}) {
        for (const uint8_t code : {0x7f, 0xff}) {
          Batch batch(Config::fp8(dtype, dim).sharp(), {{1, 40}, {50, 50}, {1, 7}});
          auto* codes = static_cast<uint8_t*>(batch.pool.host().data());
          for (const int64_t row : {4, 3}) {  // request rows of the first two
            const int64_t block = batch.table.host().ints()[row * batch.max_blocks];
            const int64_t part = of_value ? int64_t{batch.config.kv_heads} * batch.config.block_size * dim : 0;
            codes[block * batch.block_elements + part + dim - 1] = code;
          }
          batch.upload();
          batch.compare(of_value ? "in V" : "in K");
        }
      }
    }
  }
}

// One or two rows whose tiles are shared by every block of the GPU, and merged.
TEST_F(AttentionParity, FewRowsOverLongContexts) {
  for (const auto& [q_heads, kv_heads] : {std::pair{8, 1}, std::pair{8, 2}, std::pair{2, 2}}) {
    compare(Config::of(VN_DTYPE_BF16, 128, q_heads, kv_heads).sharp(), {{1, 9001}});
    compare(Config::of(VN_DTYPE_F16, 64, q_heads, kv_heads).sharp(), {{1, 5000}, {2, 6001}, {1, 1}});
    compare(Config::of(VN_DTYPE_BF16, 256, q_heads, kv_heads).sharp(), {{1, 3000}});
  }
  Config windowed = Config::of(VN_DTYPE_BF16, 128, 8, 2).sharp();
  windowed.window = 4096;
  compare(windowed, {{1, 9001}, {16, 5000}, {1, 100}});
  compare(Config::of(VN_DTYPE_BF16, 128, 8, 2).sharp(), {{70, 4100}});
}

TEST_F(AttentionParity, SplitRowsHaveTheSameBitsInEveryReplay) {
  for (const int dim : {64, 96, 128, 256}) {
    Batch(Config::of(VN_DTYPE_BF16, dim, 8, 2).sharp(), {{1, 3001}, {2, 900}, {1, 70}}).expect_same_bits(20);
    Batch(Config::fp8(VN_DTYPE_F16, dim, 16, 1).sharp(), {{1, 2500}, {1, 40}}).expect_same_bits(20);
  }
}

TEST_F(AttentionParity, ManyRows) {
  std::vector<Request> decode, both;
  for (int i = 0; i < 300; ++i) decode.push_back({1, 1 + i * 37 % 401});
  for (int i = 0; i < 150; ++i) both.push_back({i % 7 == 3 ? 1 + i % 50 : 1, 51 + i * 37 % 301});
  for (const int dim : {64, 128}) {
    compare(Config::of(VN_DTYPE_BF16, dim, 4, 1).sharp(), decode);
    compare(Config::of(VN_DTYPE_F16, dim, 4, 1).sharp(), both);
  }
  std::vector<Request> thousand(1000, Request{1, 17});
  compare(Config::of(VN_DTYPE_BF16, 64, 2, 1).sharp(), thousand);
  // Nine tiles for each head: 132 multiprocessors would have 35 of them a block, and take whole heads instead.
  compare(Config::of(VN_DTYPE_BF16, 128, 8, 8).sharp(), std::vector<Request>(128, Request{1, 570}));
}

TEST_F(AttentionParity, OnlyThePlainKernelTakesUnalignedTokens) {
  for (const int32_t dtype : kHalves) {
    Config c = Config::of(dtype, 64).sharp();
    c.gap = 3;
    compare(c, mixed());
  }
}

TEST_F(AttentionParity, EmptyRowsAndBatches) {
  for (const int32_t dtype : {VN_DTYPE_BF16, VN_DTYPE_F32}) {
    Config c = Config::of(dtype, 64).sharp();
    compare(c, {{0, 0}, {3, 3}, {0, 17}, {1, 9}, {0, 0}, {40, 90}, {0, 30}});
    compare(c, {{0, 0}, {0, 0}}, "no tokens");
    compare(c, {{0, 0}, {0, 40}}, "no tokens, some cache");
    c.padding = 5;
    compare(c, {{1, 20}, {0, 0}, {1, 7}}, "padded tokens");
    compare(c, {{50, 80}, {1, 7}}, "padded tokens");
    compare(c, {{0, 0}}, "padding only");
    c.spare_query = 100;
    compare(c, {{1, 20}, {1, 7}}, "a generous bound");
  }
}

// Rows that batch_prepare has flagged: a length below the query's, or zero. Tokens before position 0 are not written.
TEST_F(AttentionParity, LengthsBelowTheQuery) {
  for (const int32_t dtype : {VN_DTYPE_BF16, VN_DTYPE_F32}) {
    for (const int length : {0, -5, 1, 2, 30}) {
      Batch batch(Config::of(dtype, 64).sharp(), {{4, 60}, {50, 60}, {1, 60}, {3, 9}});
      batch.lengths.host().ints()[0] = std::min(length, 2);
      batch.lengths.host().ints()[1] = length;
      batch.lengths.host().ints()[2] = std::min(length, 0);
      batch.upload();
      batch.compare("length " + std::to_string(length));
    }
  }
}

TEST_F(AttentionParity, BlockIdsOutsideThePool) {
  for (const int32_t dtype : {VN_DTYPE_BF16, VN_DTYPE_F32}) {
    for (const int32_t bad : {-1, 1 << 20, INT32_MIN, INT32_MAX}) {
      Batch batch(Config::of(dtype, 64).sharp(), {{2, 40}, {1, 20}, {60, 80}});
      int32_t* ids = batch.table.host().ints();
      ids[4 * batch.max_blocks + 1] = bad;  // row 0
      ids[2 * batch.max_blocks + 3] = bad;  // row 2
      batch.upload();
      batch.compare("id " + std::to_string(bad));
    }
    for (const int32_t lost : {-1, 1000, INT32_MIN}) {  // request rows outside the tables
      Batch batch(Config::of(dtype, 64).sharp(), {{2, 40}, {1, 20}, {60, 80}});
      batch.step_rows.host().ints()[0] = lost;
      batch.step_rows.host().ints()[8] = lost;
      batch.upload();
      batch.compare("request row " + std::to_string(lost));
    }
  }
}

// Both tiled kernels for long rows, where the device has the one for Hopper; the tests above leave the choice to it.
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
