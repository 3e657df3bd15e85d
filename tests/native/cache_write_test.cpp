// Writing K and V into slots of a paged cache.
#include "ops_support.h"

namespace {

using namespace ops_test;

struct Shape {
  int64_t tokens, heads, key_dim, value_dim, block_size, num_blocks;
};

// Scales of fp8 caches: powers of two, so that the quotient is exact and rounded once.
constexpr float kKeyScale = 0.125f, kValueScale = 0x1p-9f;

// What the cache holds of x: in an fp8 cache the nearest of its values, exactly.
bool stored(double got, double x, int32_t cache_dtype, float scale) {
  return cache_dtype == VN_DTYPE_F8_E4M3 ? got == rounded_to(x / static_cast<double>(scale), cache_dtype)
                                         : close(got, x, cache_dtype, 0);
}

void check_write(Cpu& cpu, int32_t source_dtype, int32_t cache_dtype, const Shape& s, bool slot_major) {
  SCOPED_TRACE(::testing::Message() << source_dtype << " -> " << cache_dtype << " T " << s.tokens << " dims " << s.key_dim
                                    << "/" << s.value_dim << " block " << s.block_size);
  std::mt19937 engine(static_cast<uint32_t>(s.tokens + s.key_dim));
  const int64_t width = s.heads * (s.key_dim + s.value_dim) + 1;
  const int64_t key_part = s.heads * s.block_size * s.key_dim;
  const int64_t block = key_part + s.heads * s.block_size * s.value_dim;
  Array source(source_dtype, {s.tokens, width}), pool(cache_dtype, {s.num_blocks, block}), slots(VN_DTYPE_I64, {s.tokens});
  source.randomize(engine);
  std::vector<int64_t> order(static_cast<size_t>(s.num_blocks * s.block_size));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  std::shuffle(order.begin(), order.end(), engine);
  const int64_t bad[] = {-1, s.num_blocks * s.block_size, INT64_MIN, INT64_MAX};
  std::vector<bool> written(order.size(), false);
  for (int64_t t = 0; t < s.tokens; ++t) {
    slots.longs()[t] = t % 5 == 3 ? bad[t / 5 % 4] : order[static_cast<size_t>(t)];
    if (t % 5 != 3) written[static_cast<size_t>(order[static_cast<size_t>(t)])] = true;
  }
  auto p = params_of<vn_cache_write_params>();
  p.key = source.columns(0, s.heads * s.key_dim, s.heads);
  p.value = source.columns(s.heads * s.key_dim, s.heads * s.value_dim, s.heads);
  p.slot_mapping = slots.tensor();
  vn_kv_cache& c = p.cache;
  c.struct_size = sizeof c;
  c.dtype = cache_dtype;
  c.key = pool.data();
  c.value = static_cast<char*>(pool.data()) + key_part * size_of(cache_dtype);
  c.num_blocks = s.num_blocks;
  c.block_size = static_cast<int32_t>(s.block_size);
  c.num_heads = static_cast<int32_t>(s.heads);
  c.key_dim = static_cast<int32_t>(s.key_dim);
  c.value_dim = static_cast<int32_t>(s.value_dim);
  c.key_block_stride = c.value_block_stride = block;
  c.key_head_stride = slot_major ? s.key_dim : s.block_size * s.key_dim;
  c.key_slot_stride = slot_major ? s.heads * s.key_dim : s.key_dim;
  c.value_head_stride = slot_major ? s.value_dim : s.block_size * s.value_dim;
  c.value_slot_stride = slot_major ? s.heads * s.value_dim : s.value_dim;
  c.key_scale = kKeyScale;
  c.value_scale = kValueScale;
  ASSERT_EQ(VN_OK, vn_cache_write(cpu.stream, &p)) << vn_last_error();
  for (int64_t t = 0; t < s.tokens; ++t) {
    const int64_t slot = slots.longs()[t];
    if (slot < 0 || slot >= s.num_blocks * s.block_size) continue;
    const int64_t base = slot / s.block_size * block, offset = slot % s.block_size;
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t key = base + h * c.key_head_stride + offset * c.key_slot_stride;
      for (int64_t d = 0; d < s.key_dim; ++d) {
        ASSERT_TRUE(stored(pool.at(key + d), source.at(t * width + h * s.key_dim + d), cache_dtype, kKeyScale)) << t << " " << h;
      }
      const int64_t value = base + key_part + h * c.value_head_stride + offset * c.value_slot_stride;
      for (int64_t d = 0; d < s.value_dim; ++d) {
        const double want = source.at(t * width + s.heads * s.key_dim + h * s.value_dim + d);
        ASSERT_TRUE(stored(pool.at(value + d), want, cache_dtype, kValueScale)) << t << " " << h;
      }
    }
  }
  for (int64_t slot = 0; slot < s.num_blocks * s.block_size; ++slot) {
    if (written[static_cast<size_t>(slot)]) continue;
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t base = slot / s.block_size * block, offset = slot % s.block_size;
      ASSERT_TRUE(pool.poisoned(base + h * c.key_head_stride + offset * c.key_slot_stride, s.key_dim)) << slot;
      ASSERT_TRUE(pool.poisoned(base + key_part + h * c.value_head_stride + offset * c.value_slot_stride, s.value_dim)) << slot;
    }
  }
  EXPECT_TRUE(pool.guards_intact());
}

TEST(CacheWrite, ConvertsIntoSlots) {
  Cpu cpu;
  for (const int32_t source : kFloats) {
    for (const int32_t cache : kCaches) {
      for (const bool slot_major : {false, true}) {
        check_write(cpu, source, cache, {0, 2, 8, 8, 16, 2}, slot_major);
        check_write(cpu, source, cache, {1, 1, 5, 3, 1, 4}, slot_major);
        check_write(cpu, source, cache, {40, 3, 80, 64, 16, 5}, slot_major);
        check_write(cpu, source, cache, {70, 2, 130, 600, 7, 12}, slot_major);
      }
    }
  }
}

}  // namespace
