// Paged attention against a double-precision reference, and the batch invariance that the header promises.
#include "attention_support.h"

namespace {

using namespace attention_test;

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
