// CUDA against the CPU: rope_cache_write. Bit for bit where no norm is asked for, and everywhere in v; else f32 tolerances of
// a few units, and one unit of 16-bit results for each rounding.
#include <random>
#include <string>

#include "parity_support.h"

namespace {

using namespace parity;
using ops_test::kFloats;

class RopeCacheWriteParity : public parity::Test {};

constexpr int64_t kBlockSize = 16;
constexpr float kScale = 0.125f;  // of an fp8 cache

struct Case {
  int32_t dtype, cache_dtype;
  int32_t q_norm, k_norm;  // dtypes; 0 = no norm
  int32_t style;
  int64_t tokens, q_heads, kv_heads, dim, value_dim, rot;
  int64_t pad = 0;  // elements between tokens
  bool slot_major = false;
};

std::string name_of(const Case& c) {
  return "dtypes " + std::to_string(c.dtype) + " -> " + std::to_string(c.cache_dtype) + " norms " + std::to_string(c.q_norm) +
         std::to_string(c.k_norm) + " style " + std::to_string(c.style) + " T " + std::to_string(c.tokens) + " heads " +
         std::to_string(c.q_heads) + "/" + std::to_string(c.kv_heads) + " D " + std::to_string(c.dim) + "/" +
         std::to_string(c.value_dim) + " rot " + std::to_string(c.rot) + " pad " + std::to_string(c.pad) +
         (c.slot_major ? " slot-major" : "");
}

// Operands on both devices; every seventh slot is none.
struct Operands {
  Operands(const Case& of, uint32_t seed)
      : c(of),
        num_blocks(c.tokens / kBlockSize + 3),
        key_part(c.kv_heads * kBlockSize * c.dim),
        block(key_part + c.kv_heads * kBlockSize * c.value_dim),
        qkv(c.dtype, {c.tokens, (c.q_heads + c.kv_heads) * c.dim + c.kv_heads * c.value_dim + c.pad}),
        q_norm(c.q_norm ? c.q_norm : VN_DTYPE_F32, {c.dim}),
        k_norm(c.k_norm ? c.k_norm : VN_DTYPE_F32, {c.dim}),
        cos_sin(VN_DTYPE_F32, {c.tokens, c.rot}),
        slots(VN_DTYPE_I64, {c.tokens}),
        pool(c.cache_dtype, {num_blocks, block}) {
    std::mt19937 engine(seed);
    qkv.host().randomize(engine, -3, 3);
    q_norm.host().randomize(engine, 0.5, 1.5);
    k_norm.host().randomize(engine, 0.5, 1.5);
    cos_sin.host().randomize(engine);
    std::vector<int64_t> order(static_cast<size_t>(num_blocks * kBlockSize));
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
    std::shuffle(order.begin(), order.end(), engine);
    const int64_t bad[] = {-1, num_blocks * kBlockSize, INT64_MIN, INT64_MAX};
    for (int64_t t = 0; t < c.tokens; ++t) {
      slots.host().longs()[t] = t % 7 == 3 ? bad[t / 7 % 4] : order[static_cast<size_t>(t)];
    }
    for (Twin* twin : {&qkv, &q_norm, &k_norm, &cos_sin, &slots}) twin->upload();
  }

  vn_tensor heads(int64_t first, int64_t count, int64_t dim, Side side) {
    return qkv.view(qkv.host().columns(first, count * dim, count), side);
  }

  void fill(vn_rope_cache_write_params& p, Side side) {
    const int64_t keys = c.q_heads * c.dim, values = keys + c.kv_heads * c.dim;
    p.style = c.style;
    p.eps = 1e-6f;
    p.weight_offset = c.dim % 32 == 0 ? 1.0f : 0.0f;
    p.q = heads(0, c.q_heads, c.dim, side);
    p.k = heads(keys, c.kv_heads, c.dim, side);
    p.v = heads(values, c.kv_heads, c.value_dim, side);
    if (c.q_norm) p.q_norm = q_norm.tensor(side);
    if (c.k_norm) p.k_norm = k_norm.tensor(side);
    p.cos_sin = cos_sin.tensor(side);
    p.slot_mapping = slots.tensor(side);
    vn_kv_cache& cache = p.cache;
    cache.struct_size = sizeof cache;
    cache.dtype = c.cache_dtype;
    cache.key = pool.data(side);
    cache.value = static_cast<char*>(pool.data(side)) + key_part * ops_test::size_of(c.cache_dtype);
    cache.num_blocks = num_blocks;
    cache.block_size = kBlockSize;
    cache.num_heads = static_cast<int32_t>(c.kv_heads);
    cache.key_dim = static_cast<int32_t>(c.dim);
    cache.value_dim = static_cast<int32_t>(c.value_dim);
    cache.key_block_stride = cache.value_block_stride = block;
    cache.key_head_stride = c.dim * (c.slot_major ? 1 : kBlockSize);
    cache.key_slot_stride = c.dim * (c.slot_major ? c.kv_heads : 1);
    cache.value_head_stride = c.value_dim * (c.slot_major ? 1 : kBlockSize);
    cache.value_slot_stride = c.value_dim * (c.slot_major ? c.kv_heads : 1);
    cache.key_scale = cache.value_scale = kScale;
  }

  Case c;
  int64_t num_blocks, key_part, block;  // elements
  Twin qkv, q_norm, k_norm, cos_sin, slots, pool;
};

// A 16-bit unit of the norm's result moves the rotation's by as much again, at values up to about 12.
Tolerance tolerance_of(int32_t dtype) {
  if (dtype == VN_DTYPE_F32) return {4e-6, 4e-6};
  return {2 * ops_test::ulp(8.0, dtype), 0};
}

bool compare(const Case& c, uint32_t seed) {
  const std::string what = name_of(c);
  SCOPED_TRACE(what);
  Operands o(c, seed);
  const bool ran = run(vn_rope_cache_write, params_of<vn_rope_cache_write_params>(),
                       [&](auto& p, Side side) { o.fill(p, side); });
  if (!ran) return false;
  if (c.q_norm) {
    expect_close(o.qkv, tolerance_of(c.dtype), what + ": q");
  } else {
    expect_same(o.qkv, what + ": q");
  }
  if (c.k_norm) {
    Tolerance tolerance = tolerance_of(c.dtype);
    if (c.cache_dtype == VN_DTYPE_F8_E4M3) tolerance.absolute /= double(kScale);
    expect_close(o.pool, tolerance, what + ": cache");
  } else {
    expect_same(o.pool, what + ": cache");
  }
  return true;
}

TEST_F(RopeCacheWriteParity, EveryDtypeStyleAndDimension) {
  uint32_t seed = 1;
  for (const int32_t dtype : kFloats) {
    for (const int32_t style : {VN_ROPE_NEOX, VN_ROPE_INTERLEAVED}) {
      for (const int64_t dim : {64, 80, 96, 128, 256, 33, 1, 200}) {
        for (const int64_t rot : {dim / 2 * 2, dim / 32 * 16, std::min<int64_t>(20, dim / 2 * 2), int64_t{0}}) {
          const int32_t norm = seed % 3 == 0 ? 0 : VN_DTYPE_F32;
          const int64_t tokens = seed % 5 == 0 ? 1 : 29;
          if (!compare({dtype, dtype, norm, norm, style, tokens, 7, 2, dim, dim, rot, seed % 4 == 0 ? 3 : 0}, seed)) return;
          ++seed;
        }
      }
    }
  }
}

TEST_F(RopeCacheWriteParity, EveryMixture) {
  uint32_t seed = 1000;
  for (const int32_t dtype : kFloats) {
    for (const int32_t cache : ops_test::kCaches) {
      for (const int32_t norm : {0, VN_DTYPE_F32, VN_DTYPE_F16, VN_DTYPE_BF16}) {
        const int32_t other = norm == VN_DTYPE_F16 ? 0 : VN_DTYPE_BF16;
        if (!compare({dtype, cache, norm, other, VN_ROPE_NEOX, 19, 32, 8, 128, 128, 128, 0, true}, seed++)) return;
        if (!compare({dtype, cache, other, norm, VN_ROPE_INTERLEAVED, 19, 6, 3, 96, 64, 48}, seed++)) return;
        if (!compare({dtype, cache, norm, norm, VN_ROPE_NEOX, 19, 5, 5, 50, 70, 34, 1}, seed++)) return;
        if (!compare({dtype, cache, norm, 0, VN_ROPE_NEOX, 5, 3, 1, 16, 256, 2}, seed++)) return;
      }
    }
  }
}

TEST_F(RopeCacheWriteParity, ManyTokensAndHeadsLarge) {
  compare({VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_F32, VN_DTYPE_F32, VN_ROPE_NEOX, 3001, 32, 8, 128, 128, 128}, 1);
  compare({VN_DTYPE_F16, VN_DTYPE_F16, 0, 0, VN_ROPE_NEOX, 1500, 14, 2, 64, 64, 64}, 2);
  compare({VN_DTYPE_BF16, VN_DTYPE_BF16, 0, 0, VN_ROPE_NEOX, 3, 600, 1, 256, 256, 256}, 3);
  compare({VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_BF16, 0, VN_ROPE_NEOX, 0, 4, 2, 64, 64, 64}, 4);
}

// Tokens one by one, each in another alignment of the projection: the bits of the batch.
TEST_F(RopeCacheWriteParity, ATokenHasTheSameBitsAloneAndAtAnyAlignment) {
  for (const int64_t pad : {0, 1}) {
    const Case c{VN_DTYPE_F32, VN_DTYPE_F32, VN_DTYPE_F32, VN_DTYPE_F32, VN_ROPE_NEOX, 40, 12, 4, 128, 96, 64, pad};
    Operands batch(c, 5), single(c, 5);
    vn_rope_cache_write_params p = params_of<vn_rope_cache_write_params>();
    batch.fill(p, Side::kCuda);
    ASSERT_EQ(VN_OK, vn_rope_cache_write(devices().cuda_stream, &p)) << vn_last_error();
    for (int64_t t = 0; t < c.tokens; ++t) {
      auto one = params_of<vn_rope_cache_write_params>();
      single.fill(one, Side::kCuda);
      for (vn_tensor* tensor : {&one.q, &one.k, &one.v, &one.cos_sin, &one.slot_mapping}) {
        tensor->data = static_cast<char*>(tensor->data) + t * tensor->stride[0] * ops_test::size_of(tensor->dtype);
        tensor->shape[0] = 1;
      }
      ASSERT_EQ(VN_OK, vn_rope_cache_write(devices().cuda_stream, &one)) << vn_last_error();
    }
    const Array q = batch.qkv.download(), pool = batch.pool.download();
    EXPECT_EQ(q.slice(0, q.count()), single.qkv.download().slice(0, q.count())) << pad;
    EXPECT_EQ(pool.slice(0, pool.count()), single.pool.download().slice(0, pool.count())) << pad;
  }
}

}  // namespace
