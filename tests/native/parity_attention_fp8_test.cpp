// Paged attention over fp8 caches: CUDA against the CPU (parity_attention_support.h).
#include "parity_attention_support.h"

namespace {

using namespace parity::attention;

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

}  // namespace
