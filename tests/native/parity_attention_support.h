// A batch of paged attention on CUDA and on the CPU. Everything that no request owns is NaN in the cache, and outputs are NaN
// before, so that a stale slot that is read, or a row that is written or left out, shows.
//
// Tolerances (absolute, beside one unit in the last place of a 16-bit output): values lie in (-1, 1).
//   f32 arithmetic only (the plain kernel): 2e-5, from __expf-like exponents and the order of sums;
//   weights rounded to f16 (2^-11) before they multiply V: 5e-4; to bf16 (2^-8): 4e-3. Sharp scores keep results near 1, so
//   that a token left out or counted twice is far larger. Over an fp8 cache weights are f16 whatever q is.
#pragma once

#include <random>

#include "parity_support.h"

namespace parity::attention {

constexpr int32_t kMmaSync = 1, kWgmma = 2;  // vn_attention_params.reserved

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
  int spare_length = 0;     // and max_seq_len than any sequence
  int32_t kernel = 0;       // for long rows, on CUDA: 0 = its choice, else kMmaSync or kWgmma

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
  Config& with(int32_t forced) {
    kernel = forced;
    return *this;
  }
  // Scores with a standard deviation near 2.5.
  Config& sharp() {
    scale = 7.5f / std::sqrt(static_cast<float>(key_dim));
    return *this;
  }
  // Near 5: of thousands of tokens a few hold most of the weight, so that no tile of them can be missed unseen by all rows.
  Config& very_sharp() {
    scale = 15.0f / std::sqrt(static_cast<float>(key_dim));
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

inline double tolerance_of(const Config& c) {
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
        max_blocks((longest(requests) + c.spare_length) / c.block_size + 2),
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
        max_length(longest(requests) + c.spare_length),
        max_prefill_length(longest_prefill(requests) + c.spare_length) {
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
      step_rows.host().ints()[4 * r + 3] = r % 3 == 0 ? 0 : request.length - request.query;
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
  int max_query, max_length, max_prefill_length;

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
  static int longest_prefill(const std::vector<Request>& requests) {
    int most = 0;
    for (const Request& request : requests) most = request.query > 1 ? std::max(most, request.length) : most;
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
    p.max_prefill_seq_len = max_prefill_length;
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

inline void compare(const Config& config, const std::vector<Request>& requests, const std::string& what = "") {
  Batch(config, requests).compare(what);
}

constexpr int32_t kHalves[] = {VN_DTYPE_BF16, VN_DTYPE_F16};

// Decode rows, short and long chunks, whole prompts.
inline std::vector<Request> mixed() {
  return {{1, 1}, {5, 5}, {1, 33}, {7, 40}, {1, 64}, {33, 65}, {1, 31}, {2, 100}, {140, 300}, {1, 257}, {4, 130}};
}

class AttentionParity : public parity::Test {
 protected:
  void TearDown() override { RecordProperty("worst", std::to_string(Batch::worst_of_all)); }
};

}  // namespace parity::attention
