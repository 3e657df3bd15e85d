// Chunks of few query tokens behind long contexts, whose K and V the long rows' kernels divide among blocks and merge: CUDA
// against the CPU (parity_attention_support.h). A bound of at least 1024 on the lengths, and few tokens beyond one a row, are
// what leads there.
#include "parity_attention_support.h"

namespace {

using namespace parity::attention;

constexpr int kLong = 5000;  // spare_length with which also short sequences are divided

// Odd chunks around tiles of packed rows, behind odd contexts around tiles of K and V.
const std::vector<int> kChunks = {1, 4, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 200, 255, 257, 300};
const std::vector<int> kContexts = {0, 1, 63, 64, 127, 128, 129, 255, 511, 1000, 1023, 2047, 4097, 9001};

Config divided(const Config& base, int32_t kernel) {
  Config c = base;
  c.spare_length = kLong;
  return c.very_sharp().with(kernel);
}

// The kernels for long rows that take this configuration on this device.
std::vector<int32_t> kernels_for(const Config& c) {
  auto info = parity::params_of<vn_device_info>();
  EXPECT_EQ(VN_OK, vn_device_get_info(parity::devices().cuda, &info)) << vn_last_error();
  const bool both = info.capability == 90 && c.cache_dtype == c.q_dtype && (c.key_dim == 64 || c.key_dim == 128) && c.block_size % 8 == 0;
  return both ? std::vector<int32_t>{kMmaSync, kWgmma} : std::vector<int32_t>{kMmaSync};
}

void compare_each(const Config& base, const std::vector<Request>& requests, const std::string& what = "") {
  for (const int32_t kernel : kernels_for(base)) compare(divided(base, kernel), requests, what);
}

// A 16-bit and an fp8 cache of every tuned dimension, the dtypes of q in turn.
std::vector<Config> tuned(int q_heads, int kv_heads) {
  std::vector<Config> all;
  for (const int dim : {64, 96, 128, 256}) {
    const bool half = dim == 64 || dim == 256;
    all.push_back(Config::of(half ? VN_DTYPE_F16 : VN_DTYPE_BF16, dim, q_heads, kv_heads));
    all.push_back(Config::fp8(half ? VN_DTYPE_BF16 : VN_DTYPE_F16, dim, q_heads, kv_heads));
  }
  return all;
}

// Decode rows of many lengths on both sides of a chunk.
std::vector<Request> beside_decodes(const std::vector<Request>& chunks, int decodes) {
  std::vector<Request> rows;
  for (int i = 0; i < decodes / 2; ++i) rows.push_back({1, 1 + i * 337 % 1900});
  for (size_t i = 0; i < chunks.size(); ++i) {
    rows.push_back(chunks[i]);
    rows.push_back({1, 17});
  }
  for (int i = 0; i < decodes / 2; ++i) rows.push_back({1, 3 + i * 211 % 1500});
  return rows;
}

class AttentionChunksParity : public parity::Test {};

// First and small, for tools that slow everything down: whole tiles, parts, and several parts of one tile.
TEST_F(AttentionChunksParity, Small) {
  for (const Config& c : tuned(4, 1)) {
    compare_each(c, {{6, 1100}});
    compare_each(c, {{1, 40}, {17, 700}, {33, 33}, {2, 300}});
  }
}

TEST_F(AttentionChunksParity, EveryChunkBehindLongContexts) {
  for (size_t i = 0; i < kChunks.size(); ++i) {
    for (size_t j = i % 3; j < kContexts.size(); j += 3) {
      const Request request = {kChunks[i], kChunks[i] + kContexts[j]};
      const int dim = (i + j) % 2 == 0 ? 128 : 64;
      compare_each(Config::of(VN_DTYPE_BF16, dim, 4, 1), {request}, "chunk " + std::to_string(request.query));
      compare_each(Config::fp8(VN_DTYPE_F16, dim, 4, 1), {request}, "chunk " + std::to_string(request.query));
    }
  }
}

TEST_F(AttentionChunksParity, VeryLongContexts) {
  for (const int query : {5, 16, 61, 128, 300}) {
    compare_each(Config::of(VN_DTYPE_BF16, 128, 4, 1), {{query, query + 32767}});
    compare_each(Config::fp8(VN_DTYPE_BF16, 128, 4, 1), {{query, query + 16001}});
  }
  for (const int query : {7, 97}) compare_each(Config::of(VN_DTYPE_F16, 256, 2, 1), {{query, query + 20011}});
}

TEST_F(AttentionChunksParity, HeadGroups) {
  for (const auto& [q_heads, kv_heads] : {std::pair{1, 1}, std::pair{3, 3}, std::pair{8, 2}, std::pair{14, 2}, std::pair{7, 1},
                                          std::pair{16, 1}, std::pair{17, 1}, std::pair{32, 8}}) {
    const std::vector<Request> requests = {{18, 2500}, {1, 700}, {65, 1300}, {2, 90}, {40, 41}};
    compare_each(Config::of(VN_DTYPE_BF16, 128, q_heads, kv_heads), requests);
    compare_each(Config::of(VN_DTYPE_F16, 64, q_heads, kv_heads), requests);
    compare_each(Config::fp8(VN_DTYPE_BF16, 128, q_heads, kv_heads), requests);
  }
}

TEST_F(AttentionChunksParity, LongChunksBesideDecodeRows) {
  for (const Config& c : tuned(8, 2)) {
    compare_each(c, beside_decodes({{51, 3052}}, 66));
    compare_each(c, beside_decodes({{20, 20}, {33, 1500}, {5, 2999}, {64, 64}, {12, 777}}, 10));
    compare_each(c, beside_decodes({{40, 1100}, {130, 1600}}, 6), "a team of several tiles, one row with fewer");
  }
}

// What the scheduler sends, with the kernel that the device chooses.
TEST_F(AttentionChunksParity, TheDevicesChoiceBehindLongContexts) {
  for (const int query : {16, 64, 256}) {
    compare(Config::of(VN_DTYPE_BF16, 128, 8, 2).very_sharp(), beside_decodes({{query, query + 16001}}, 20));
    compare(Config::fp8(VN_DTYPE_BF16, 128, 8, 2).very_sharp(), beside_decodes({{query, query + 8001}}, 10));
  }
}

// Prompts that begin are not divided, however long the decode rows beside them are.
TEST_F(AttentionChunksParity, TheDevicesChoiceForPromptsThatBegin) {
  for (const int query : {3, 40, 300}) {
    compare(Config::of(VN_DTYPE_BF16, 128, 8, 2).very_sharp(), beside_decodes({{query, query}, {2 * query, 2 * query + 64}}, 40));
    compare(Config::fp8(VN_DTYPE_BF16, 128, 8, 2).very_sharp(), beside_decodes({{query, query}}, 40));
  }
}

TEST_F(AttentionChunksParity, ManyChunksOfAllSizes) {
  std::vector<Request> rows, same(100, Request{7, 1203});
  for (int i = 0; i < 90; ++i) rows.push_back({5 + i * 7 % 23, 40 + i * 991 % 3001});
  for (const Config& c : {Config::of(VN_DTYPE_BF16, 128, 4, 1), Config::of(VN_DTYPE_F16, 64, 4, 1),
                          Config::fp8(VN_DTYPE_BF16, 128, 4, 1)}) {
    compare_each(c, rows);
    compare_each(c, same, "of one size");
  }
}

TEST_F(AttentionChunksParity, WindowsAndSoftcap) {
  const std::vector<Request> requests = beside_decodes({{16, 3000}, {130, 2200}, {64, 65}}, 8);
  for (const int window : {1, 128, 1000, 2049}) {
    for (const float softcap : {0.0f, 30.0f}) {
      for (Config c : {Config::of(VN_DTYPE_BF16, 128, 4, 1), Config::of(VN_DTYPE_F16, 64, 7, 1), Config::fp8(VN_DTYPE_BF16, 96, 4, 1),
                       Config::of(VN_DTYPE_BF16, 256, 4, 2)}) {
        c.window = window;
        c.softcap = softcap;
        compare_each(c, requests);
      }
    }
  }
}

TEST_F(AttentionChunksParity, BlockSizesAndLayouts) {
  for (const int block_size : {1, 8, 24, 33, 136, 256}) {
    for (const bool slot_major : {false, true}) {
      Config c = Config::of(VN_DTYPE_BF16, 128, 8, 2), fp8 = Config::fp8(VN_DTYPE_BF16, 64, 8, 2);
      c.block_size = fp8.block_size = block_size;
      c.slot_major = fp8.slot_major = slot_major;
      compare_each(c, {{16, 2011}, {1, 90}, {70, 1300}});
      compare_each(fp8, {{16, 2011}, {1, 90}, {70, 1300}});
    }
  }
}

TEST_F(AttentionChunksParity, EmptyRowsAndPadding) {
  for (Config c : tuned(8, 2)) {
    c.padding = 9;
    compare_each(c, {{0, 0}, {16, 2100}, {0, 700}, {0, 0}, {40, 1501}, {0, 0}});
    compare_each(c, {{0, 0}, {0, 900}}, "nothing to do");
    compare_each(c, {{1, 900}, {2, 70}}, "no long row");
    c.spare_query = 100;
    compare_each(c, {{1, 20}, {20, 1027}}, "a generous bound");
  }
}

// Rows that batch_prepare has flagged, and blocks and tables that do not exist.
TEST_F(AttentionChunksParity, FlaggedRows) {
  for (const Config& base : {Config::of(VN_DTYPE_BF16, 128), Config::of(VN_DTYPE_F16, 64), Config::fp8(VN_DTYPE_BF16, 128)}) {
    for (const int32_t kernel : kernels_for(base)) {
      const Config c = divided(base, kernel);
      for (const int length : {0, -5, 1, 2, 30, 150}) {
        Batch batch(c, {{40, 2060}, {160, 1160}, {1, 60}, {30, 1700}});
        batch.lengths.host().ints()[0] = std::min(length, 2);
        batch.lengths.host().ints()[1] = length;
        batch.upload();
        batch.compare("length " + std::to_string(length));
      }
      for (const int32_t bad : {-1, 1 << 20, INT32_MIN, INT32_MAX}) {
        Batch batch(c, {{20, 1300}, {1, 20}, {60, 2080}});
        int32_t* ids = batch.table.host().ints();
        for (const int64_t at : {1, 40, 80}) ids[4 * batch.max_blocks + at] = ids[2 * batch.max_blocks + at] = bad;
        batch.upload();
        batch.compare("id " + std::to_string(bad));
      }
      Batch lost(c, {{20, 1300}, {1, 20}, {60, 2080}});
      lost.step_rows.host().ints()[0] = 1000;
      lost.step_rows.host().ints()[8] = -1;
      lost.upload();
      lost.compare("request rows outside the tables");
    }
  }
}

TEST_F(AttentionChunksParity, TheSameBitsInEveryReplay) {
  for (const Config& base : tuned(8, 2)) {
    for (const int32_t kernel : kernels_for(base)) {
      Batch(divided(base, kernel), {{16, 3001}, {1, 900}, {70, 1500}}).expect_same_bits(10);
    }
  }
}

// More tiles than the largest team has members: teams take a part of them, and a last member may have none.
TEST_F(AttentionChunksParity, MoreTilesThanATeamHas) {
  for (const int query : {129, 150}) {
    compare_each(Config::of(VN_DTYPE_BF16, 64, 17, 1), {{query, query + 1300}, {1, 60}});
    compare_each(Config::of(VN_DTYPE_F16, 256, 17, 1), {{query / 2, query + 1100}, {6, 1200}});
  }
}

// A captured graph keeps its kernels when lengths change: short ones become long, and long rows short.
TEST_F(AttentionChunksParity, AnyLengthsUnderTheSameBounds) {
  for (const Config& base : {Config::of(VN_DTYPE_BF16, 128), Config::fp8(VN_DTYPE_BF16, 128)}) {
    for (const int32_t kernel : kernels_for(base)) {
      Batch batch(divided(base, kernel), {{16, 4000}, {1, 900}, {70, 4000}, {30, 4000}});
      for (const int length : {4000, 100, 1025, 71, 2600}) {
        for (const int row : {0, 2, 3}) batch.lengths.host().ints()[row] = row == 2 ? length : 4000 - length + 30;
        batch.upload();
        batch.compare("length " + std::to_string(length));
      }
    }
  }
}

}  // namespace
