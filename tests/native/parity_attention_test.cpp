// Paged attention: CUDA against the CPU. Everything that no request owns is NaN in the cache, and outputs are NaN before, so
// that a stale slot that is read, or a row that is written or left out, shows.
//
// Tolerances (absolute, beside one unit in the last place of a 16-bit output): values lie in (-1, 1).
//   f32 arithmetic only (the plain kernel): 2e-5, from __expf-like exponents and the order of sums;
//   weights rounded to f16 (2^-11) before they multiply V: 5e-4; to bf16 (2^-8): 4e-3. Sharp scores keep results near 1, so
//   that a token left out or counted twice is far larger. Over an fp8 cache weights are f16 whatever q is.
#include <random>

#include "parity_support.h"

namespace {

using parity::Side;
using parity::Twin;

constexpr int64_t kMmaSync = 1, kWgmma = 2;  // vn_attention_params.reserved

struct Config {
  int q_heads = 8, kv_heads = 2, key_dim = 128, value_dim = 128, block_size = 16;
  int32_t q_dtype = VN_DTYPE_BF16, out_dtype = VN_DTYPE_BF16, cache_dtype = VN_DTYPE_BF16;
  int window = 0;
  float softcap = 0, scale = 0;
  float key_scale = 0, value_scale = 0;  // of an fp8 cache; 0 = 1
  double query_magnitude = 1;
  bool slot_major = false;  // cache [block][slot][head][dim]
  int gap = 16;             // elements between the tokens of q and of out; odd: only the plain kernel takes them
  int padding = 0;          // tokens of q and out that no row owns
  int spare_query = 0;      // how much larger max_query_len is than any query
  int64_t kernel = 0;       // for long rows, on CUDA: 0 = its choice, else kMmaSync or kWgmma

  static Config of(int32_t dtype, int dim, int q_heads = 8, int kv_heads = 2) {
    Config c;
    c.q_dtype = c.out_dtype = c.cache_dtype = dtype;
    c.key_dim = c.value_dim = dim;
    c.q_heads = q_heads;
    c.kv_heads = kv_heads;
    return c;
  }
  static Config fp8(int32_t dtype, int dim, int q_heads = 8, int kv_heads = 2) {
    Config c = of(dtype, dim, q_heads, kv_heads);
    c.cache_dtype = VN_DTYPE_F8_E4M3;
    c.key_scale = 0.0123f;
    c.value_scale = 0.0017f;  // V saturates at 0.76
    return c;
  }
  Config& with(int64_t forced) {
    kernel = forced;
    return *this;
  }
  // Scores with a standard deviation near 2.5.
  Config& sharp() {
    scale = 7.5f / std::sqrt(static_cast<float>(key_dim));
    return *this;
  }
  std::string name() const {
    std::ostringstream s;
    s << "heads " << q_heads << "/" << kv_heads << " dims " << key_dim << "/" << value_dim << " block " << block_size
      << " dtypes " << q_dtype << cache_dtype << out_dtype << " window " << window << " softcap " << softcap << " scale "
      << scale << (slot_major ? " slot-major" : "") << " gap " << gap << " fp8 scales " << key_scale << " " << value_scale
      << " q " << query_magnitude << " kernel " << kernel;
    return s.str();
  }
};

struct Request {
  int query, length;  // tokens of this step, tokens in the cache after it
};

double tolerance_of(const Config& c) {
  const bool fp8 = c.cache_dtype == VN_DTYPE_F8_E4M3;
  const bool tuned = (c.q_dtype == c.cache_dtype || fp8) && c.out_dtype == c.q_dtype && c.gap % 8 == 0 &&
                     c.key_dim == c.value_dim && (c.key_dim % 64 == 0 || c.key_dim == 96);
  if (!tuned || c.q_dtype == VN_DTYPE_F32) return 2e-5;
  return c.q_dtype == VN_DTYPE_F16 || fp8 ? 5e-4 : 4e-3;
}

class Batch {
 public:
  Batch(const Config& c, const std::vector<Request>& requests)
      : config(c),
        num_blocks(blocks_of(c, requests)),
        max_blocks(longest(requests) / c.block_size + 2),
        rows(static_cast<int64_t>(requests.size())),
        tokens(tokens_of(requests) + c.padding),
        block_elements(int64_t{c.kv_heads} * c.block_size * (c.key_dim + c.value_dim)),
        q(c.q_dtype, {tokens, c.q_heads * c.key_dim + c.gap}),
        out(c.out_dtype, {tokens, c.q_heads * c.value_dim + c.gap}),
        pool(c.cache_dtype, {num_blocks, block_elements}),
        table(VN_DTYPE_I32, {rows + 2, max_blocks}),
        step_rows(VN_DTYPE_I32, {rows, 4}),
        query_start(VN_DTYPE_I32, {rows + 1}),
        lengths(VN_DTYPE_I32, {rows}),
        max_query(longest_query(requests)),
        max_length(longest(requests)) {
    std::mt19937 engine(static_cast<uint32_t>(rows * 131 + tokens * 7 + max_length));
    q.host().randomize(engine, -c.query_magnitude, c.query_magnitude);
    std::vector<int32_t> ids(static_cast<size_t>(num_blocks - 1));
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i + 1);
    std::shuffle(ids.begin(), ids.end(), engine);
    fill_block(engine, 0, c.block_size);  // what bad ids read
    int32_t token = 0;
    size_t next = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const Request& request = requests[static_cast<size_t>(r)];
      const int64_t state_row = rows + 1 - r;
      for (int b = 0; b * c.block_size < request.length; ++b) {
        fill_block(engine, ids[next], std::min(c.block_size, request.length - b * c.block_size));
        table.host().ints()[state_row * max_blocks + b] = ids[next++];
      }
      step_rows.host().ints()[4 * r] = static_cast<int32_t>(state_row);
      query_start.host().ints()[r] = token;
      lengths.host().ints()[r] = request.length;
      token += request.query;
    }
    query_start.host().ints()[rows] = token;
    upload();
  }

  void upload() {
    for (Twin* twin : {&q, &out, &pool, &table, &step_rows, &query_start, &lengths}) twin->upload();
  }

  void compare(const std::string& what = "") {
    SCOPED_TRACE(config.name() + " " + what);
    const Config& c = config;
    const vn_attention_params common = bounds();
    int64_t bytes[2] = {};
    for (const Side side : {Side::kCpu, Side::kCuda}) {
      ASSERT_EQ(VN_OK, vn_attention_workspace_size(parity::devices().device(side), tokens, c.q_heads, c.value_dim,
                                                   max_length, &bytes[side == Side::kCuda]));
    }
    parity::Workspace workspace(bytes[0], bytes[1]);
    const bool good = parity::run(vn_attention_paged, common,
                                  [&](vn_attention_params& p, Side side) { fill(p, side, workspace); });
    ASSERT_TRUE(good);
    const double worst = parity::expect_close(out, {.absolute = tolerance_of(c), .relative = 0}, "out");
    EXPECT_TRUE(workspace.guard_intact()) << "CUDA left its workspace";
    worst_of_all = std::max(worst_of_all, worst);
  }

  // That CUDA gives the same bits whenever a graph of it is replayed: blocks arrive in any order, and leave their counters as
  // they found them.
  void expect_same_bits(int replays) {
    SCOPED_TRACE(config.name());
    vn_stream* const stream = parity::devices().cuda_stream;
    int64_t bytes = 0;
    ASSERT_EQ(VN_OK, vn_attention_workspace_size(parity::devices().cuda, tokens, config.q_heads, config.value_dim, max_length, &bytes));
    parity::Workspace workspace(0, bytes);
    vn_attention_params params = bounds();
    fill(params, Side::kCuda, workspace);
    const auto result = [&] {
      EXPECT_EQ(VN_OK, vn_stream_synchronize(stream)) << vn_last_error();
      return out.download().slice(0, out.host().count());
    };
    ASSERT_EQ(VN_OK, vn_attention_paged(stream, &params)) << vn_last_error();
    const auto first = result();
    vn_graph* graph = nullptr;
    ASSERT_EQ(VN_OK, vn_graph_begin(stream)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_attention_paged(stream, &params)) << vn_last_error();
    ASSERT_EQ(VN_OK, vn_graph_end(stream, &graph)) << vn_last_error();
    for (int i = 0; i < replays; ++i) {
      out.upload();  // NaN again
      ASSERT_EQ(VN_OK, vn_graph_launch(graph, stream)) << vn_last_error();
      EXPECT_EQ(first, result()) << "replay " << i;
    }
    vn_graph_destroy(graph);
  }

  // That CUDA answers with this status.
  void expect_refused(int32_t status) {
    SCOPED_TRACE(config.name());
    int64_t bytes = 0;
    ASSERT_EQ(VN_OK, vn_attention_workspace_size(parity::devices().cuda, tokens, config.q_heads, config.value_dim,
                                                 max_length, &bytes));
    parity::Workspace workspace(0, bytes);
    vn_attention_params params = bounds();
    fill(params, Side::kCuda, workspace);
    EXPECT_EQ(status, vn_attention_paged(parity::devices().cuda_stream, &params));
  }

  static inline double worst_of_all = 0;
  const Config config;
  const int64_t num_blocks, max_blocks, rows, tokens, block_elements;
  Twin q, out, pool, table, step_rows, query_start, lengths;
  int max_query, max_length;

 private:
  static int64_t tokens_of(const std::vector<Request>& requests) {
    int64_t sum = 0;
    for (const Request& request : requests) sum += request.query;
    return sum;
  }
  static int longest(const std::vector<Request>& requests) {
    int most = 0;
    for (const Request& request : requests) most = std::max(most, request.length);
    return most;
  }
  static int longest_query(const std::vector<Request>& requests) {
    int most = 0;
    for (const Request& request : requests) most = std::max(most, request.query);
    return most;
  }
  static int64_t blocks_of(const Config& c, const std::vector<Request>& requests) {
    int64_t sum = 3;
    for (const Request& request : requests) sum += (request.length + c.block_size - 1) / c.block_size;
    return sum;
  }

  vn_attention_params bounds() const {
    auto p = parity::params_of<vn_attention_params>();
    p.scale = config.scale;
    p.softcap = config.softcap;
    p.window = config.window;
    p.max_query_len = max_query + config.spare_query;
    p.max_seq_len = max_length;
    p.reserved = config.kernel;
    return p;
  }

  void fill(vn_attention_params& p, Side side, parity::Workspace& workspace) {
    p.q = q.view(q.host().columns(0, config.q_heads * config.key_dim, config.q_heads), side);
    p.out = out.view(out.host().columns(0, config.q_heads * config.value_dim, config.q_heads), side);
    p.query_start = query_start.tensor(side);
    p.seq_lens = lengths.tensor(side);
    p.step_rows = step_rows.tensor(side);
    p.block_table = table.tensor(side);
    p.cache = cache(side);
    p.workspace = workspace.data(side);
    p.workspace_bytes = workspace.bytes(side);
  }

  vn_kv_cache cache(Side side) {
    const Config& c = config;
    const int64_t key_part = int64_t{c.kv_heads} * c.block_size * c.key_dim;
    vn_kv_cache k{};
    k.struct_size = sizeof k;
    k.dtype = c.cache_dtype;
    k.key = pool.data(side);
    k.value = static_cast<char*>(pool.data(side)) + key_part * ops_test::size_of(c.cache_dtype);
    k.num_blocks = num_blocks;
    k.block_size = c.block_size;
    k.num_heads = c.kv_heads;
    k.key_dim = c.key_dim;
    k.value_dim = c.value_dim;
    k.key_block_stride = k.value_block_stride = block_elements;
    k.key_head_stride = int64_t{c.key_dim} * (c.slot_major ? 1 : c.block_size);
    k.key_slot_stride = int64_t{c.key_dim} * (c.slot_major ? c.kv_heads : 1);
    k.value_head_stride = int64_t{c.value_dim} * (c.slot_major ? 1 : c.block_size);
    k.value_slot_stride = int64_t{c.value_dim} * (c.slot_major ? c.kv_heads : 1);
    k.key_scale = c.key_scale;
    k.value_scale = c.value_scale;
    return k;
  }

  // Random K and V in the first `slots` slots of a block.
  void fill_block(std::mt19937& engine, int64_t block, int slots) {
    const vn_kv_cache k = cache(Side::kCpu);
    const int64_t key_part = int64_t{config.kv_heads} * config.block_size * config.key_dim;
    const auto random = [&](float scale) {
      return (static_cast<double>(engine() >> 8) * 0x1p-23 - 1.0) / (scale == 0 ? 1.0 : static_cast<double>(scale));
    };
    for (int h = 0; h < config.kv_heads; ++h) {
      for (int slot = 0; slot < slots; ++slot) {
        const int64_t key = block * block_elements + h * k.key_head_stride + slot * k.key_slot_stride;
        const int64_t value = block * block_elements + key_part + h * k.value_head_stride + slot * k.value_slot_stride;
        for (int d = 0; d < config.key_dim; ++d) pool.host().set(key + d, random(config.key_scale));
        for (int d = 0; d < config.value_dim; ++d) pool.host().set(value + d, random(config.value_scale));
      }
    }
  }
};

void compare(const Config& config, const std::vector<Request>& requests, const std::string& what = "") {
  Batch(config, requests).compare(what);
}

// Decode rows, short and long chunks, whole prompts.
std::vector<Request> mixed() {
  return {{1, 1}, {5, 5}, {1, 33}, {7, 40}, {1, 64}, {33, 65}, {1, 31}, {2, 100}, {140, 300}, {1, 257}, {4, 130}};
}

constexpr int32_t kHalves[] = {VN_DTYPE_BF16, VN_DTYPE_F16};

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
  for (const int64_t kernel : {kWgmma, kMmaSync}) {
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
