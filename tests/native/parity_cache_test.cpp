// Writing K and V into slots, and copying blocks: CUDA against the CPU, bit for bit.
#include <random>

#include "parity_support.h"

namespace {

using parity::Side;
using parity::Twin;

class CacheParity : public parity::Test {};

struct Shape {
  int64_t tokens, heads, key_dim, value_dim, block_size, num_blocks;
  int64_t gap;  // elements between tokens
};

void compare_write(int32_t key_dtype, int32_t value_dtype, int32_t cache_dtype, const Shape& s, bool slot_major) {
  std::ostringstream what;
  what << key_dtype << value_dtype << " -> " << cache_dtype << " T " << s.tokens << " heads " << s.heads << " dims "
       << s.key_dim << "/" << s.value_dim << " block " << s.block_size << " gap " << s.gap
       << (slot_major ? " slot-major" : "");
  constexpr float kKeyScale = 0.0371f, kValueScale = 0.0043f;  // of fp8 caches; V saturates at 1.9
  std::mt19937 engine(static_cast<uint32_t>(s.tokens * 31 + s.key_dim));
  const int64_t key_part = s.heads * s.block_size * s.key_dim;
  const int64_t block = key_part + s.heads * s.block_size * s.value_dim;
  Twin key(key_dtype, {s.tokens, s.heads * s.key_dim + s.gap}), value(value_dtype, {s.tokens, s.heads * s.value_dim + s.gap});
  Twin pool(cache_dtype, {s.num_blocks, block}), slots(VN_DTYPE_I64, {s.tokens});
  key.host().randomize(engine, -3, 3);
  value.host().randomize(engine, -3, 3);
  std::vector<int64_t> order(static_cast<size_t>(s.num_blocks * s.block_size));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  std::shuffle(order.begin(), order.end(), engine);
  const int64_t bad[] = {-1, s.num_blocks * s.block_size, INT64_MIN, INT64_MAX};
  for (int64_t t = 0; t < s.tokens; ++t) {
    slots.host().longs()[t] = t % 5 == 3 ? bad[t / 5 % 4] : order[static_cast<size_t>(t)];
  }
  for (Twin* twin : {&key, &value, &slots}) twin->upload();
  parity::run(vn_cache_write, parity::params_of<vn_cache_write_params>(), [&](vn_cache_write_params& p, Side side) {
    p.key = key.view(key.host().columns(0, s.heads * s.key_dim, s.heads), side);
    p.value = value.view(value.host().columns(0, s.heads * s.value_dim, s.heads), side);
    p.slot_mapping = slots.tensor(side);
    vn_kv_cache& c = p.cache;
    c.struct_size = sizeof c;
    c.dtype = cache_dtype;
    c.key = pool.data(side);
    c.value = static_cast<char*>(pool.data(side)) + key_part * ops_test::size_of(cache_dtype);
    c.num_blocks = s.num_blocks;
    c.block_size = static_cast<int32_t>(s.block_size);
    c.num_heads = static_cast<int32_t>(s.heads);
    c.key_dim = static_cast<int32_t>(s.key_dim);
    c.value_dim = static_cast<int32_t>(s.value_dim);
    c.key_block_stride = c.value_block_stride = block;
    c.key_head_stride = s.key_dim * (slot_major ? 1 : s.block_size);
    c.key_slot_stride = s.key_dim * (slot_major ? s.heads : 1);
    c.value_head_stride = s.value_dim * (slot_major ? 1 : s.block_size);
    c.value_slot_stride = s.value_dim * (slot_major ? s.heads : 1);
    c.key_scale = kKeyScale;
    c.value_scale = kValueScale;
  });
  parity::expect_same(pool, what.str());
}

TEST_F(CacheParity, WritesEveryDtypeIntoSlots) {
  for (const int32_t source : ops_test::kFloats) {
    for (const int32_t cache : ops_test::kCaches) {
      for (const bool slot_major : {false, true}) {
        compare_write(source, source, cache, {0, 2, 8, 8, 16, 2, 0}, slot_major);
        compare_write(source, source, cache, {1, 1, 5, 3, 1, 4, 1}, slot_major);
        compare_write(source, source, cache, {40, 3, 80, 64, 16, 5, 8}, slot_major);
        compare_write(source, source, cache, {9, 2, 6, 10, 16, 5, 2}, slot_major);     // units of 4 bytes
        compare_write(source, source, cache, {70, 8, 128, 128, 16, 12, 256}, slot_major);
        compare_write(source, source, cache, {70, 2, 130, 600, 7, 12, 3}, slot_major);
      }
    }
  }
}

TEST_F(CacheParity, KeyAndValueMayHaveDifferentDtypes) {
  for (const int32_t cache : ops_test::kCaches) {
    compare_write(VN_DTYPE_F32, VN_DTYPE_BF16, cache, {20, 2, 64, 32, 16, 4, 8}, false);
    compare_write(VN_DTYPE_BF16, VN_DTYPE_F16, cache, {20, 2, 33, 64, 16, 4, 1}, true);
  }
}

// Floats of every kind, by their bits: the conversion instruction against core/fp8.h.
TEST_F(CacheParity, QuantizesEveryKindOfFloat) {
  constexpr int64_t kTokens = 2048, kDim = 256;
  std::mt19937 engine(11);
  Twin x(VN_DTYPE_F32, {kTokens, kDim}), pool(VN_DTYPE_F8_E4M3, {2 * kTokens, kDim}), slots(VN_DTYPE_I64, {kTokens});
  for (int64_t i = 0; i < x.host().count(); ++i) {
    const auto bits = static_cast<uint32_t>(engine());
    // Every other one between 2^-12 and 2^12, at first on the ties between two codes.
    const uint32_t near = (bits & 0x80000000u) | ((115 + bits % 25) << 23) | (bits >> 1 & 0x780000u) | (i < 65536 ? 0 : bits & 0x7ffffu);
    x.host().ints()[i] = static_cast<int32_t>(i % 2 ? near : bits);
  }
  const int32_t special[] = {0, INT32_MIN, 0x7fc00000, -0x400000, 0x7f800001, -1, 0x7f800000, -0x800000, 0x43e00000, 0x43e80000, 0x43e80001};
  std::copy(std::begin(special), std::end(special), x.host().ints());
  for (int64_t t = 0; t < kTokens; ++t) slots.host().longs()[t] = t;
  x.upload();
  slots.upload();
  parity::run(vn_cache_write, parity::params_of<vn_cache_write_params>(), [&](vn_cache_write_params& p, Side side) {
    p.key = p.value = x.view(x.host().columns(0, kDim, 1), side);
    p.slot_mapping = slots.tensor(side);
    vn_kv_cache& c = p.cache;
    c.struct_size = sizeof c;
    c.dtype = VN_DTYPE_F8_E4M3;
    c.key = pool.data(side);
    c.value = static_cast<char*>(pool.data(side)) + kTokens * kDim;
    c.num_blocks = kTokens;
    c.block_size = c.num_heads = 1;
    c.key_dim = c.value_dim = kDim;
    c.key_block_stride = c.value_block_stride = c.key_slot_stride = c.value_slot_stride = kDim;
    c.key_head_stride = c.value_head_stride = kDim;
    c.value_scale = 1.7f;
  });
  parity::expect_same(pool, "codes");
}

void compare_copy(int64_t block_bytes, int64_t num_blocks, const std::vector<int32_t>& ids, int64_t offset) {
  SCOPED_TRACE(::testing::Message() << num_blocks << " blocks of " << block_bytes << " bytes, offset " << offset);
  std::mt19937 engine(7);
  const int64_t bytes = block_bytes * num_blocks + offset;
  Twin pool(VN_DTYPE_I32, {(bytes + 3) / 4});
  for (int64_t i = 0; i < pool.host().count(); ++i) pool.host().ints()[i] = static_cast<int32_t>(engine());
  const int64_t num_pairs = static_cast<int64_t>(ids.size()) / 2;
  Twin pairs(VN_DTYPE_I32, {num_pairs + 1, 2});
  std::copy(ids.begin(), ids.end(), pairs.host().ints());
  pool.upload();
  pairs.upload();
  parity::run(vn_block_copy, parity::params_of<vn_block_copy_params>(), [&](vn_block_copy_params& p, Side side) {
    p.num_pairs = static_cast<int32_t>(num_pairs);
    p.pairs = pairs.tensor(side);
    p.pool = static_cast<char*>(pool.data(side)) + offset;
    p.block_bytes = block_bytes;
    p.num_blocks = num_blocks;
  });
  parity::expect_same(pool, "pool");
}

TEST_F(CacheParity, CopiesBlocks) {
  for (const int64_t block_bytes : {int64_t{1}, int64_t{7}, int64_t{48}, int64_t{4096}, int64_t{16384}, int64_t{70000}, int64_t{1} << 20}) {
    for (const int64_t offset : {0, 3}) {
      compare_copy(block_bytes, 8, {}, offset);
      compare_copy(block_bytes, 8, {3, 5}, offset);
      compare_copy(block_bytes, 8, {0, 7, 0, 6, 1, 5}, offset);
      compare_copy(block_bytes, 8, {2, 2, -1, 3, 4, 8, 8, 4, INT32_MIN, 1, 1, INT32_MAX, 0, 3}, offset);
    }
  }
}

}  // namespace
