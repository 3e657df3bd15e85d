// Paged attention against a double-precision reference, and the batch invariance that the header promises.
#include "ops_support.h"

namespace {

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
double value_of(uint64_t seed, int kind, int64_t position, int64_t head, int64_t d) {
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

void run_and_check(Cpu& cpu, const Config& config, std::vector<Request> requests, double f32_error = 4e-6) {
  SCOPED_TRACE(::testing::Message() << "heads " << config.q_heads << "/" << config.kv_heads << " dims " << config.key_dim
                                    << "/" << config.value_dim << " block " << config.block_size << " window "
                                    << config.window << " softcap " << config.softcap << " dtypes " << config.q_dtype
                                    << config.cache_dtype << config.out_dtype);
  Batch batch(config, std::move(requests));
  batch.run(cpu);
  batch.check(f32_error);
}

std::vector<Request> mixed_requests() {
  return {{1, 1, 1}, {2, 5, 5}, {3, 1, 33}, {4, 7, 40}, {5, 1, 64}, {6, 33, 65}, {7, 1, 31}, {8, 1, 32}, {9, 2, 100}};
}

TEST(Attention, HeadDimensions) {
  Cpu cpu;
  for (const int dim : {1, 5, 16, 31, 32, 64, 80, 96, 128, 256}) {
    Config config;
    config.key_dim = config.value_dim = dim;
    run_and_check(cpu, config, mixed_requests());
  }
}

TEST(Attention, KeyAndValueDimensionsDiffer) {
  Cpu cpu;
  for (const auto& [key, value] : {std::pair{192, 128}, std::pair{17, 48}, std::pair{64, 5}}) {
    Config config;
    config.key_dim = key;
    config.value_dim = value;
    run_and_check(cpu, config, mixed_requests());
  }
}

TEST(Attention, HeadGroups) {
  Cpu cpu;
  for (const auto& [q_heads, kv_heads] : {std::pair{1, 1}, std::pair{3, 3}, std::pair{14, 2}, std::pair{32, 4},
                                          std::pair{40, 1}, std::pair{71, 1}, std::pair{12, 1}}) {
    Config config;
    config.q_heads = q_heads;
    config.kv_heads = kv_heads;
    config.key_dim = config.value_dim = 32;
    run_and_check(cpu, config, mixed_requests());
  }
}

TEST(Attention, BlockSizes) {
  Cpu cpu;
  for (const int block_size : {1, 3, 8, 16, 32, 33, 64, 256}) {
    Config config;
    config.block_size = block_size;
    config.key_dim = config.value_dim = 32;
    run_and_check(cpu, config, mixed_requests());
  }
}

TEST(Attention, Dtypes) {
  Cpu cpu;
  for (const int32_t q_dtype : kFloats) {
    for (const int32_t cache_dtype : kFloats) {
      for (const int32_t out_dtype : kFloats) {
        Config config;
        config.q_dtype = q_dtype;
        config.cache_dtype = cache_dtype;
        config.out_dtype = out_dtype;
        config.key_dim = config.value_dim = 40;
        run_and_check(cpu, config, mixed_requests());
      }
    }
  }
}

TEST(Attention, Fp8CachesWithTheirScales) {
  Cpu cpu;
  for (const auto& [key_scale, value_scale] : {std::pair{0.0f, 0.0f}, std::pair{0.25f, 3.0f}, std::pair{0.0123f, 0.0017f}}) {
    Config config;
    config.cache_dtype = VN_DTYPE_F8_E4M3;
    config.key_scale = key_scale;
    config.value_scale = value_scale;
    for (const int dim : {1, 5, 31, 80, 256}) {
      config.key_dim = config.value_dim = dim;
      run_and_check(cpu, config, {{1, 1, 1}, {4, 7, 40}, {9, 2, 100}});
    }
    config.key_dim = config.value_dim = 40;
    for (const int32_t dtype : kFloats) {
      config.q_dtype = config.out_dtype = dtype;
      run_and_check(cpu, config, mixed_requests());
    }
    run_and_check(cpu, config, {{30, 1, 3001}});
    config.softcap = 2.0f;
    config.window = 33;
    run_and_check(cpu, config, mixed_requests(), 1e-5);
  }
}

// Each code once, in K and in V, alone in its sequence: what comes out is the V that went in.
TEST(Attention, EveryFp8Code) {
  Cpu cpu;
  for (const int code_of_key : {0, 1}) {
    Config config;
    config.q_heads = config.kv_heads = 1;
    config.key_dim = config.value_dim = 256;
    config.cache_dtype = VN_DTYPE_F8_E4M3;
    Batch batch(config, {{1, 1, 1}});
    const int64_t base = batch.table.ints()[2 * batch.max_blocks] * batch.block_elements;
    auto* codes = static_cast<uint8_t*>(batch.pool.data()) + base;
    const int64_t value = int64_t{config.block_size} * 256;
    for (int i = 0; i < 256; ++i) {
      codes[value + i] = static_cast<uint8_t>(i);
      codes[i] = code_of_key ? static_cast<uint8_t>(i) : 0;
    }
    batch.run(cpu);
    for (int i = 0; i < 256; ++i) {
      const double expected = code_of_key ? std::nan("") : read_e4m3(static_cast<uint8_t>(i));  // a NaN key is every score's
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(batch.out.at(i))) << i;
      } else {
        EXPECT_EQ(expected, batch.out.at(i)) << i;
      }
    }
  }
}

TEST(Attention, ScalesOfFp8CachesAreChecked) {
  Cpu cpu;
  for (const float wrong : {-1.0f, INFINITY, std::nanf("")}) {
    Config config;
    config.cache_dtype = VN_DTYPE_F8_E4M3;
    Batch batch(config, {{1, 1, 1}});
    auto p = params_of<vn_cache_write_params>();
    p.cache = batch.cache();
    p.cache.key_scale = wrong;
    EXPECT_EQ(VN_INVALID_ARGUMENT, vn_cache_write(cpu.stream, &p));
    EXPECT_NE(nullptr, std::strstr(vn_last_error(), "cache.key_scale")) << vn_last_error();
    p.cache.key_scale = 2.0f;
    p.cache.value_scale = wrong;
    EXPECT_EQ(VN_INVALID_ARGUMENT, vn_cache_write(cpu.stream, &p));
    EXPECT_NE(nullptr, std::strstr(vn_last_error(), "cache.value_scale")) << vn_last_error();
  }
}

TEST(Attention, LengthsAroundTilesAndChunks) {
  Cpu cpu;
  Config config;
  config.key_dim = config.value_dim = 16;
  std::vector<Request> requests;
  uint64_t seed = 50;
  for (const int edge : {16, 32, 64, 512, 1024}) {
    for (const int length : {edge - 1, edge, edge + 1}) requests.push_back({seed++, 1, length});
  }
  requests.push_back({seed++, 530, 530});
  requests.push_back({seed++, 20, 1030});
  run_and_check(cpu, config, requests);
}

TEST(Attention, WindowSoftcapAndScale) {
  Cpu cpu;
  for (const int window : {1, 2, 31, 32, 33, 100, 513, 5000}) {
    Config config;
    config.key_dim = config.value_dim = 24;
    config.window = window;
    std::vector<Request> requests = mixed_requests();
    requests.push_back({20, 70, 700});
    requests.push_back({21, 1, 1100});
    run_and_check(cpu, config, requests);
    config.softcap = 2.0f;
    config.scale = 0.9f;
    run_and_check(cpu, config, requests, 1e-5);
  }
  Config config;
  config.softcap = 50.0f;
  run_and_check(cpu, config, mixed_requests(), 1e-5);
}

TEST(Attention, FewRowsOverLongContexts) {
  Config config;
  config.q_heads = 8;
  config.key_dim = config.value_dim = 32;
  for (const int threads : {1, 2, 5}) {
    Cpu cpu(threads);
    run_and_check(cpu, config, {{30, 1, 3001}});
    run_and_check(cpu, config, {{31, 3, 2049}, {32, 1, 511}, {33, 1, 1}});
  }
}

TEST(Attention, EmptyRowsAndBatchesDoNothing) {
  Cpu cpu;
  Config config;
  run_and_check(cpu, config, {{1, 0, 0}, {2, 3, 3}, {3, 0, 17}, {4, 1, 9}, {5, 0, 0}});
  Batch none(config, {});
  none.run(cpu);
  // A length of zero with a query: only a flagged row has it. Nothing is written.
  Batch flagged(config, {{2, 3, 3}});
  flagged.lengths.ints()[0] = 0;
  flagged.run(cpu);
  EXPECT_TRUE(flagged.out.poisoned(0, flagged.out.count()));
}

// Bitwise: a token's result is the same alone, with others, however the prompt was cut, on however many threads.
TEST(Attention, ResultsDoNotDependOnTheBatch) {
  for (const auto& [dim, cache_dtype, window] : {std::tuple{64, VN_DTYPE_BF16, 0}, std::tuple{80, VN_DTYPE_F32, 0},
                                                 std::tuple{5, VN_DTYPE_F16, 300}, std::tuple{128, VN_DTYPE_BF16, 7},
                                                 std::tuple{72, VN_DTYPE_F8_E4M3, 0}}) {
    Config config;
    config.q_heads = 14;
    config.kv_heads = 2;
    config.key_dim = config.value_dim = dim;
    config.cache_dtype = cache_dtype;
    config.window = window;
    SCOPED_TRACE(dim);
    constexpr int kLength = 1100;
    Cpu one(1), two(2), many(5);
    Batch whole(config, {{99, kLength, kLength}});
    whole.run(two);
    for (const int step : {7, 64, 513}) {
      for (int begin = 0; begin < kLength; begin += step) {
        const int end = std::min(kLength, begin + step);
        if (step == 7 && begin % 70 != 0) continue;
        Batch part(config, {{99, end - begin, end}});
        part.run(begin % 2 ? one : many);
        for (int i = 0; i < end - begin; ++i) ASSERT_EQ(whole.bits(0, begin + i), part.bits(0, i)) << step << " " << begin + i;
      }
    }
    for (const int position : {0, 1, 30, 31, 32, 33, 500, 511, 512, 513, 1023, 1024, 1099}) {
      Batch alone(config, {{99, 1, position + 1}});
      alone.run(many);
      ASSERT_EQ(whole.bits(0, position), alone.bits(0, 0)) << position;
    }
    std::vector<Request> crowd;
    for (uint64_t i = 0; i < 64; ++i) crowd.push_back({200 + i, i % 9 == 0 ? 5 : 1, static_cast<int>(6 + 13 * i)});
    crowd[40] = {99, 3, 777};
    Batch together(config, crowd);
    together.run(two);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(whole.bits(0, 774 + i), together.bits(40, i));
    for (const size_t row : {size_t{0}, size_t{17}, size_t{63}}) {
      Batch alone(config, {crowd[row]});
      alone.run(many);
      for (int i = 0; i < crowd[row].query; ++i) ASSERT_EQ(together.bits(row, i), alone.bits(0, i)) << row;
    }
  }
}

TEST(Attention, LaterNaNDoesNotReachEarlierTokens) {
  Cpu cpu;
  Config config;
  config.cache_dtype = VN_DTYPE_BF16;
  Batch clean(config, {{5, 40, 40}}), dirty(config, {{5, 40, 40}});
  const int64_t block = dirty.table.ints()[2 * dirty.max_blocks + 1];  // positions 16..31
  const int64_t value = block * dirty.block_elements + int64_t{2} * 16 * 64 + 4 * 64;
  for (int d = 0; d < 64; ++d) dirty.pool.set(value + d, std::nan(""));  // position 20, KV head 0
  clean.run(cpu);
  dirty.run(cpu);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(clean.bits(0, i), dirty.bits(0, i)) << i;
  for (int i = 20; i < 40; ++i) {
    const int64_t token = int64_t{i} * (4 * 64 + Batch::kGap);
    EXPECT_TRUE(std::isnan(dirty.out.at(token)));
    EXPECT_EQ(clean.out.at(token + 2 * 64), dirty.out.at(token + 2 * 64));  // the other KV head
  }
}

TEST(Attention, BlockIdsOutsideThePoolReadBlockZero) {
  Cpu cpu;
  Config config;
  Batch expected(config, {{5, 2, 40}, {6, 1, 20}});
  for (int64_t i = 0; i < expected.block_elements; ++i) expected.pool.set(i, 0.25 * static_cast<double>(i % 7));
  for (const int32_t bad : {-1, 1 << 20, INT32_MIN, INT32_MAX}) {
    Batch broken = expected;
    broken.table.ints()[3 * broken.max_blocks + 1] = bad;
    Batch zero = expected;
    zero.table.ints()[3 * zero.max_blocks + 1] = 0;
    broken.run(cpu);
    zero.run(cpu);
    for (size_t row = 0; row < 2; ++row) EXPECT_EQ(zero.bits(row, 0), broken.bits(row, 0)) << bad;
  }
  Batch lost = expected;  // a request row outside the tables
  lost.step_rows.ints()[0] = 1000;
  lost.run(cpu);
  Batch fine = expected;
  fine.run(cpu);
  EXPECT_EQ(fine.bits(1, 0), lost.bits(1, 0));
}

}  // namespace
