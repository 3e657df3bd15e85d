// Paged attention: CUDA against the CPU (parity_attention_support.h).
#include "parity_attention_support.h"

namespace {

using namespace parity::attention;

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

}  // namespace
