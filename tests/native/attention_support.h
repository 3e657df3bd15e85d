// Batches of paged attention in memory, and what a double-precision reference says of them.
#pragma once

#include "ops_support.h"

namespace attention_test {

using namespace ops_test;

struct Config {
  int q_heads = 4, kv_heads = 2, key_dim = 64, value_dim = 64, block_size = 16;
  int32_t q_dtype = VN_DTYPE_F32, out_dtype = VN_DTYPE_F32, cache_dtype = VN_DTYPE_F32;
  int window = 0;
  float softcap = 0, scale = 0;
  float key_scale = 0, value_scale = 0;  // of an fp8 cache; 0 = 1
};

struct Request {
  uint64_t seed;
  int query, length;  // tokens of this step, tokens in the cache after it
};

// Uniform in (-1, 1): a function of its coordinates alone, so that a request is the same in every batch.
inline double value_of(uint64_t seed, int kind, int64_t position, int64_t head, int64_t d) {
  uint64_t x = seed * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(kind);
  for (const int64_t part : {position, head, d}) {
    x = (x ^ static_cast<uint64_t>(part)) * 0xbf58476d1ce4e5b9u;
    x ^= x >> 29;
  }
  x *= 0x94d049bb133111ebu;
  x ^= x >> 32;
  return static_cast<double>(x >> 11) * 0x1p-52 - 1.0;
}

enum { kQuery, kKey, kValue };

// A batch in memory: everything that no request owns is NaN, ids of unused table entries are -1.
struct Batch {
  Batch(const Config& c, std::vector<Request> list) : config(c), requests(std::move(list)) {
    const int64_t rows = static_cast<int64_t>(requests.size());
    for (const Request& request : requests) {
      tokens += request.query;
      longest = std::max(longest, request.length);
      longest_query = std::max(longest_query, request.query);
      num_blocks += (request.length + c.block_size - 1) / c.block_size;
    }
    num_blocks += 3;
    max_blocks = longest / c.block_size + 2;
    q = Array(c.q_dtype, {tokens, c.q_heads * c.key_dim + kGap});
    out = Array(c.out_dtype, {tokens, c.q_heads * c.value_dim + kGap});
    block_elements = int64_t{c.kv_heads} * c.block_size * (c.key_dim + c.value_dim);
    pool = Array(c.cache_dtype, {num_blocks, block_elements});
    table = Array(VN_DTYPE_I32, {rows + 2, max_blocks});
    step_rows = Array(VN_DTYPE_I32, {rows, 4});
    query_start = Array(VN_DTYPE_I32, {rows + 1});
    lengths = Array(VN_DTYPE_I32, {rows});
    std::vector<int32_t> ids(static_cast<size_t>(num_blocks));
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
    std::shuffle(ids.begin(), ids.end(), std::mt19937(static_cast<uint32_t>(7 * rows + longest)));
    int64_t token = 0;
    size_t next = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const Request& request = requests[static_cast<size_t>(r)];
      const int64_t state_row = rows + 1 - r;  // request rows are not the step's rows
      for (int b = 0; b * c.block_size < request.length; ++b) table.ints()[state_row * max_blocks + b] = ids[next++];
      step_rows.ints()[4 * r] = static_cast<int32_t>(state_row);
      query_start.ints()[r] = static_cast<int32_t>(token);
      lengths.ints()[r] = request.length;
      for (int p = 0; p < request.length; ++p) write_cache(request, state_row, p);
      for (int i = 0; i < request.query; ++i, ++token) {
        for (int h = 0; h < c.q_heads; ++h) {
          for (int d = 0; d < c.key_dim; ++d) {
            q.set(token * (c.q_heads * c.key_dim + kGap) + h * c.key_dim + d,
                  value_of(request.seed, kQuery, request.length - request.query + i, h, d));
          }
        }
      }
    }
    query_start.ints()[rows] = static_cast<int32_t>(token);
  }

  void write_cache(const Request& request, int64_t state_row, int p) {
    const Config& c = config;
    const int64_t block = table.ints()[state_row * max_blocks + p / c.block_size], slot = p % c.block_size;
    for (int h = 0; h < c.kv_heads; ++h) {
      const int64_t key = block * block_elements + (int64_t{h} * c.block_size + slot) * c.key_dim;
      const int64_t value = block * block_elements + int64_t{c.kv_heads} * c.block_size * c.key_dim +
                            (int64_t{h} * c.block_size + slot) * c.value_dim;
      for (int d = 0; d < c.key_dim; ++d) pool.set(key + d, value_of(request.seed, kKey, p, h, d) / scale_of(kKey));
      for (int d = 0; d < c.value_dim; ++d) pool.set(value + d, value_of(request.seed, kValue, p, h, d) / scale_of(kValue));
    }
  }

  vn_kv_cache cache() {
    const Config& c = config;
    vn_kv_cache k{};
    k.struct_size = sizeof k;
    k.dtype = c.cache_dtype;
    k.key = pool.data();
    k.value = static_cast<char*>(pool.data()) + int64_t{c.kv_heads} * c.block_size * c.key_dim * size_of(c.cache_dtype);
    k.num_blocks = num_blocks;
    k.block_size = c.block_size;
    k.num_heads = c.kv_heads;
    k.key_dim = c.key_dim;
    k.value_dim = c.value_dim;
    k.key_block_stride = k.value_block_stride = block_elements;
    k.key_head_stride = int64_t{c.block_size} * c.key_dim;
    k.value_head_stride = int64_t{c.block_size} * c.value_dim;
    k.key_slot_stride = c.key_dim;
    k.value_slot_stride = c.value_dim;
    k.key_scale = c.key_scale;
    k.value_scale = c.value_scale;
    return k;
  }

  void run(Cpu& cpu) {
    const Config& c = config;
    auto p = params_of<vn_attention_params>();
    p.scale = c.scale;
    p.softcap = c.softcap;
    p.window = c.window;
    p.max_query_len = longest_query;
    p.max_seq_len = longest;
    p.q = q.columns(0, c.q_heads * c.key_dim, c.q_heads);
    p.out = out.columns(0, c.q_heads * c.value_dim, c.q_heads);
    p.query_start = query_start.tensor();
    p.seq_lens = lengths.tensor();
    p.step_rows = step_rows.tensor();
    p.block_table = table.tensor();
    p.cache = cache();
    vn_buffer* workspace = nullptr;
    ASSERT_EQ(VN_OK, vn_attention_workspace_size(cpu.device, tokens, c.q_heads, c.value_dim, longest, &p.workspace_bytes));
    ASSERT_EQ(VN_OK, vn_buffer_create(cpu.device, VN_MEMORY_DEVICE, p.workspace_bytes, &workspace));
    ASSERT_EQ(VN_OK, vn_buffer_data(workspace, &p.workspace));
    std::memset(p.workspace, 0xff, static_cast<size_t>(p.workspace_bytes));
    EXPECT_EQ(VN_OK, vn_attention_paged(cpu.stream, &p)) << vn_last_error();
    vn_buffer_destroy(workspace);
    EXPECT_TRUE(out.guards_intact());
    const int64_t width = c.q_heads * c.value_dim;
    for (int64_t t = 0; t < tokens; ++t) EXPECT_TRUE(out.poisoned(t * (width + kGap) + width, kGap)) << "token " << t;
  }

  // The bits of query token i of a row.
  std::vector<unsigned char> bits(size_t row, int i) {
    const int64_t width = config.q_heads * config.value_dim;
    return out.slice((query_start.ints()[row] + i) * (width + kGap), width);
  }

  // Compares every output with the formula of the header, in double precision.
  void check(double f32_error = 4e-6) {
    const Config& c = config;
    const int group = c.q_heads / c.kv_heads;
    const double scale = c.scale == 0 ? 1 / std::sqrt(double(c.key_dim)) : double(c.scale);
    int64_t wrong = 0;
    for (size_t r = 0; r < requests.size(); ++r) {
      const Request& request = requests[r];
      for (int i = 0; i < request.query; ++i) {
        const int end = request.length - request.query + i + 1;
        const int begin = c.window > 0 ? std::max(0, end - c.window) : 0;
        for (int h = 0; h < c.q_heads && end > 0; ++h) {
          std::vector<double> score(static_cast<size_t>(end)), expected(static_cast<size_t>(c.value_dim), 0.0);
          const double* q_row = rounded(request.seed, kQuery, end - 1, h, c.key_dim, c.q_dtype);
          const std::vector<double> query(q_row, q_row + c.key_dim);
          double top = -INFINITY, total = 0;
          for (int p = begin; p < end; ++p) {
            const double* key = rounded(request.seed, kKey, p, h / group, c.key_dim, c.cache_dtype);
            double s = 0;
            for (int d = 0; d < c.key_dim; ++d) s += query[static_cast<size_t>(d)] * key[d];
            s *= scale;
            if (c.softcap > 0) s = c.softcap * std::tanh(s / c.softcap);
            score[static_cast<size_t>(p)] = s;
            top = std::max(top, s);
          }
          for (int p = begin; p < end; ++p) {
            const double weight = std::exp(score[static_cast<size_t>(p)] - top);
            const double* value = rounded(request.seed, kValue, p, h / group, c.value_dim, c.cache_dtype);
            total += weight;
            for (int d = 0; d < c.value_dim; ++d) expected[static_cast<size_t>(d)] += weight * value[d];
          }
          for (int d = 0; d < c.value_dim; ++d) {
            const int64_t index = (query_start.ints()[r] + i) * (c.q_heads * c.value_dim + kGap) + h * c.value_dim + d;
            const double want = expected[static_cast<size_t>(d)] / total;
            if (close(out.at(index), want, c.out_dtype, f32_error)) continue;
            if (++wrong < 5) {
              ADD_FAILURE() << "row " << r << " token " << i << " head " << h << " dim " << d << ": " << out.at(index)
                            << ", expected " << want;
            }
          }
        }
      }
    }
    EXPECT_EQ(0, wrong);
  }

  const double* rounded(uint64_t seed, int kind, int p, int h, int dim, int32_t dtype) {
    scratch.resize(static_cast<size_t>(dim));
    const double scale = scale_of(kind);
    for (int d = 0; d < dim; ++d) {
      scratch[static_cast<size_t>(d)] = rounded_to(value_of(seed, kind, p, h, d) / scale, dtype) * scale;
    }
    return scratch.data();
  }

  double scale_of(int kind) const {
    const float scale = kind == kKey ? config.key_scale : kind == kValue ? config.value_scale : 1.0f;
    return scale == 0.0f ? 1.0 : static_cast<double>(scale);
  }

  static constexpr int kGap = 3;
  Config config;
  std::vector<Request> requests;
  int64_t tokens = 0, num_blocks = 0, max_blocks = 0, block_elements = 0;
  int longest = 0, longest_query = 0;
  Array q{VN_DTYPE_F32, {0}}, out{VN_DTYPE_F32, {0}}, pool{VN_DTYPE_F32, {0}};
  Array table{VN_DTYPE_I32, {0}}, step_rows{VN_DTYPE_I32, {0}}, query_start{VN_DTYPE_I32, {0}}, lengths{VN_DTYPE_I32, {0}};
  std::vector<double> scratch;
};

inline void run_and_check(Cpu& cpu, const Config& config, std::vector<Request> requests, double f32_error = 4e-6) {
  SCOPED_TRACE(::testing::Message() << "heads " << config.q_heads << "/" << config.kv_heads << " dims " << config.key_dim
                                    << "/" << config.value_dim << " block " << config.block_size << " window "
                                    << config.window << " softcap " << config.softcap << " dtypes " << config.q_dtype
                                    << config.cache_dtype << config.out_dtype);
  Batch batch(config, std::move(requests));
  batch.run(cpu);
  batch.check(f32_error);
}

inline std::vector<Request> mixed_requests() {
  return {{1, 1, 1}, {2, 5, 5}, {3, 1, 33}, {4, 7, 40}, {5, 1, 64}, {6, 33, 65}, {7, 1, 31}, {8, 1, 32}, {9, 2, 100}};
}

}  // namespace attention_test
