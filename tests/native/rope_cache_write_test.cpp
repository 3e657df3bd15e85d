// Norm of q and k heads, rotary embedding and cache write in one operation: against double precision, and bit for bit against
// the same steps done one at a time.
#include <string>

#include "ops_support.h"

namespace {

using namespace ops_test;

struct Case {
  int32_t dtype, cache_dtype;
  int32_t q_norm, k_norm;  // dtypes; 0 = no norm
  int32_t style;
  int64_t tokens, q_heads, kv_heads, dim, value_dim, rot;
  bool slot_major = false;
};

std::string name_of(const Case& c) {
  std::string text;
  for (const int64_t n : {int64_t{c.dtype}, int64_t{c.cache_dtype}, int64_t{c.q_norm}, int64_t{c.k_norm}, int64_t{c.style},
                          c.tokens, c.q_heads, c.kv_heads, c.dim, c.value_dim, c.rot, int64_t{c.slot_major}}) {
    text += std::to_string(n) + " ";
  }
  return text;
}

constexpr int64_t kBlockSize = 7, kNumBlocks = 9, kSlots = kBlockSize * kNumBlocks;
constexpr float kEps = 1e-6f;

// Operands of a case: a merged projection with an odd column behind, random slots of which every fifth is none.
struct Operands {
  explicit Operands(const Case& of)
      : c(of),
        width((c.q_heads + c.kv_heads) * c.dim + c.kv_heads * c.value_dim + 1),
        key_part(c.kv_heads * kBlockSize * c.dim),
        block(key_part + c.kv_heads * kBlockSize * c.value_dim),
        qkv(c.dtype, {c.tokens, width}),
        q_norm(c.q_norm ? c.q_norm : VN_DTYPE_F32, {c.dim}),
        k_norm(c.k_norm ? c.k_norm : VN_DTYPE_F32, {c.dim}),
        cos_sin(VN_DTYPE_F32, {c.tokens, c.rot}),
        slots(VN_DTYPE_I64, {c.tokens}),
        pool(c.cache_dtype, {kNumBlocks, block}) {
    std::mt19937 engine(static_cast<uint32_t>(c.dim * 31 + c.rot + c.tokens));
    qkv.randomize(engine, -2, 2);
    q_norm.randomize(engine, 0.5, 1.5);
    k_norm.randomize(engine, 0.5, 1.5);
    cos_sin.randomize(engine);
    std::vector<int64_t> order(kSlots);
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
    std::shuffle(order.begin(), order.end(), engine);
    const int64_t bad[] = {-1, kSlots, INT64_MIN, INT64_MAX};
    for (int64_t t = 0; t < c.tokens; ++t) slots.longs()[t] = t % 5 == 3 ? bad[t / 5 % 4] : order[static_cast<size_t>(t)];
  }

  vn_tensor q() {
    vn_tensor heads = qkv.columns(0, std::max<int64_t>(c.q_heads, 1) * c.dim, std::max<int64_t>(c.q_heads, 1));
    heads.shape[1] = c.q_heads;
    return heads;
  }
  vn_tensor k() { return qkv.columns(c.q_heads * c.dim, c.kv_heads * c.dim, c.kv_heads); }
  vn_tensor v() { return qkv.columns((c.q_heads + c.kv_heads) * c.dim, c.kv_heads * c.value_dim, c.kv_heads); }

  vn_kv_cache cache() {
    vn_kv_cache cache{};
    cache.struct_size = sizeof cache;
    cache.dtype = c.cache_dtype;
    cache.key = pool.data();
    cache.value = static_cast<char*>(pool.data()) + key_part * size_of(c.cache_dtype);
    cache.num_blocks = kNumBlocks;
    cache.block_size = kBlockSize;
    cache.num_heads = static_cast<int32_t>(c.kv_heads);
    cache.key_dim = static_cast<int32_t>(c.dim);
    cache.value_dim = static_cast<int32_t>(c.value_dim);
    cache.key_block_stride = cache.value_block_stride = block;
    cache.key_head_stride = c.dim * (c.slot_major ? 1 : kBlockSize);
    cache.key_slot_stride = c.dim * (c.slot_major ? c.kv_heads : 1);
    cache.value_head_stride = c.value_dim * (c.slot_major ? 1 : kBlockSize);
    cache.value_slot_stride = c.value_dim * (c.slot_major ? c.kv_heads : 1);
    cache.key_scale = 0.125f;  // of an fp8 cache
    cache.value_scale = 0.013f;
    return cache;
  }

  vn_rope_cache_write_params params() {
    auto p = params_of<vn_rope_cache_write_params>();
    p.style = c.style;
    p.eps = kEps;
    p.weight_offset = offset();
    p.q = q();
    p.k = k();
    p.v = v();
    if (c.q_norm) p.q_norm = q_norm.tensor();
    if (c.k_norm) p.k_norm = k_norm.tensor();
    p.cos_sin = cos_sin.tensor();
    p.slot_mapping = slots.tensor();
    p.cache = cache();
    return p;
  }

  float offset() const { return c.dim % 3 == 2 ? 1.0f : 0.0f; }
  bool kept(int64_t token) const {
    const int64_t slot = slots.as_longs()[static_cast<size_t>(token)];
    return slot >= 0 && slot < kSlots;
  }
  // Where a pair's elements lie in its head.
  std::pair<int64_t, int64_t> pair(int64_t i) const {
    if (c.style == VN_ROPE_INTERLEAVED) return {2 * i, 2 * i + 1};
    return {i, i + c.rot / 2};
  }

  Case c;
  int64_t width, key_part, block;  // elements
  Array qkv, q_norm, k_norm, cos_sin, slots, pool;
};

// A value and how far a correct result may be from it.
struct About {
  double value;
  double error;

  void round_to(int32_t dtype) {
    if (dtype != VN_DTYPE_F32) error += 0.5 * ulp(std::fabs(value) + error, dtype);
  }
};

// A head after its norm and rotation, in double precision; x: its elements before.
std::vector<About> prepared(const Operands& o, const std::vector<double>& x, const Array* weight, int64_t token) {
  std::vector<About> head;
  double squares = 0;
  for (const double value : x) squares += value * value;
  const double factor = 1 / std::sqrt(squares / static_cast<double>(x.size()) + double(kEps));
  for (size_t i = 0; i < x.size(); ++i) {
    About about{x[i], 0};
    if (weight) {
      about.value *= factor * (weight->at(static_cast<int64_t>(i)) + double(o.offset()));
      about.error = 2e-6 * (1 + std::fabs(about.value));
      about.round_to(o.c.dtype);
    }
    head.push_back(about);
  }
  for (int64_t i = 0; i < o.c.rot / 2; ++i) {
    const double cosine = o.cos_sin.at(token * o.c.rot + i), sine = o.cos_sin.at(token * o.c.rot + o.c.rot / 2 + i);
    About& low = head[static_cast<size_t>(o.pair(i).first)];
    About& high = head[static_cast<size_t>(o.pair(i).second)];
    const double error = low.error + high.error + 1e-6;
    const About a = low, b = high;
    low = {a.value * cosine - b.value * sine, error};
    high = {b.value * cosine + a.value * sine, error};
    low.round_to(o.c.dtype);
    high.round_to(o.c.dtype);
  }
  return head;
}

void check_precision(Cpu& cpu, const Case& c) {
  SCOPED_TRACE(name_of(c));
  Operands o(c);
  const Array before = o.qkv;
  const auto p = o.params();
  ASSERT_EQ(VN_OK, vn_rope_cache_write(cpu.stream, &p)) << vn_last_error();
  const auto head_before = [&](int64_t token, int64_t first, int64_t dim) {
    std::vector<double> x;
    for (int64_t i = 0; i < dim; ++i) x.push_back(before.at(token * o.width + first + i));
    return x;
  };
  std::vector<bool> written(kSlots, false);
  for (int64_t t = 0; t < c.tokens; ++t) {
    for (int64_t h = 0; h < c.q_heads; ++h) {
      const auto want = prepared(o, head_before(t, h * c.dim, c.dim), c.q_norm ? &o.q_norm : nullptr, t);
      for (int64_t i = 0; i < c.dim; ++i) {
        const About& about = want[static_cast<size_t>(i)];
        ASSERT_NEAR(about.value, o.qkv.at(t * o.width + h * c.dim + i), about.error) << "q " << t << " " << h << " " << i;
      }
    }
    const int64_t behind = c.q_heads * c.dim;  // k, v and the column behind stay
    ASSERT_EQ(before.slice(t * o.width + behind, o.width - behind), o.qkv.slice(t * o.width + behind, o.width - behind));
    if (!o.kept(t)) continue;
    const int64_t slot = o.slots.longs()[t], in_block = slot % kBlockSize;
    written[static_cast<size_t>(slot)] = true;
    for (int64_t h = 0; h < c.kv_heads; ++h) {
      auto want = prepared(o, head_before(t, behind + h * c.dim, c.dim), c.k_norm ? &o.k_norm : nullptr, t);
      const int64_t key = slot / kBlockSize * o.block + h * p.cache.key_head_stride + in_block * p.cache.key_slot_stride;
      for (int64_t i = 0; i < c.dim; ++i) {
        About& about = want[static_cast<size_t>(i)];
        about.round_to(c.cache_dtype);
        ASSERT_NEAR(about.value, o.pool.at(key + i), about.error) << "k " << t << " " << h << " " << i;
      }
      const int64_t value = slot / kBlockSize * o.block + o.key_part + h * p.cache.value_head_stride +
                            in_block * p.cache.value_slot_stride;
      const auto v = head_before(t, behind + c.kv_heads * c.dim + h * c.value_dim, c.value_dim);
      for (int64_t i = 0; i < c.value_dim; ++i) {
        ASSERT_TRUE(close(o.pool.at(value + i), v[static_cast<size_t>(i)], c.cache_dtype, 0)) << "v " << t << " " << h;
      }
    }
  }
  for (int64_t slot = 0; slot < kSlots; ++slot) {
    if (written[static_cast<size_t>(slot)]) continue;
    const int64_t base = slot / kBlockSize * o.block, in_block = slot % kBlockSize;
    for (int64_t h = 0; h < c.kv_heads; ++h) {
      ASSERT_TRUE(o.pool.poisoned(base + h * p.cache.key_head_stride + in_block * p.cache.key_slot_stride, c.dim));
      ASSERT_TRUE(o.pool.poisoned(base + o.key_part + h * p.cache.value_head_stride + in_block * p.cache.value_slot_stride,
                                  c.value_dim));
    }
  }
  EXPECT_TRUE(o.qkv.guards_intact() && o.pool.guards_intact());
}

TEST(RopeCacheWrite, AgreesWithDoublePrecision) {
  Cpu cpu;
  for (const int32_t dtype : kFloats) {
    for (const int32_t style : {VN_ROPE_NEOX, VN_ROPE_INTERLEAVED}) {
      for (const auto& [dim, rot] : {std::pair{1, 0}, std::pair{2, 2}, std::pair{5, 4}, std::pair{64, 64}, std::pair{80, 32},
                                     std::pair{96, 96}, std::pair{128, 128}, std::pair{256, 64}, std::pair{256, 256},
                                     std::pair{96, 0}}) {
        check_precision(cpu, {dtype, dtype, VN_DTYPE_F32, VN_DTYPE_F32, style, 33, 4, 2, dim, dim, rot});
        check_precision(cpu, {dtype, dtype, 0, 0, style, 6, 3, 1, dim, dim, rot, true});
      }
    }
  }
}

TEST(RopeCacheWrite, TakesEveryMixture) {
  Cpu cpu;
  for (const int32_t dtype : kFloats) {
    for (const int32_t cache : kFloats) {
      for (const int32_t weight : kFloats) {
        check_precision(cpu, {dtype, cache, weight, 0, VN_ROPE_NEOX, 9, 2, 2, 64, 48, 32, true});
        check_precision(cpu, {dtype, cache, 0, weight, VN_ROPE_INTERLEAVED, 9, 6, 3, 20, 33, 20});
      }
    }
  }
  check_precision(cpu, {VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_F32, VN_DTYPE_F32, VN_ROPE_NEOX, 0, 4, 2, 64, 64, 64});
  check_precision(cpu, {VN_DTYPE_BF16, VN_DTYPE_BF16, 0, 0, VN_ROPE_NEOX, 7, 0, 2, 64, 64, 0});  // nothing but the cache
}

// The steps one at a time: vn_rms_norm of each head's columns, rotation as f32 products and sums, vn_cache_write.
void take_single_steps(Cpu& cpu, Operands& o) {
  const Case& c = o.c;
  const auto p = o.params();
  for (int64_t h = 0; h < c.q_heads + c.kv_heads; ++h) {
    const vn_tensor& weight = h < c.q_heads ? p.q_norm : p.k_norm;
    if (weight.data) {
      auto norm = params_of<vn_rms_norm_params>();
      norm.eps = p.eps;
      norm.weight_offset = p.weight_offset;
      norm.x = norm.out = o.qkv.columns(h * c.dim, c.dim);
      norm.weight = weight;
      ASSERT_EQ(VN_OK, vn_rms_norm(cpu.stream, &norm)) << vn_last_error();
    }
    for (int64_t t = 0; t < c.tokens; ++t) {
      for (int64_t i = 0; i < c.rot / 2; ++i) {
        const int64_t head = t * o.width + h * c.dim, low = head + o.pair(i).first, high = head + o.pair(i).second;
        const auto a = static_cast<float>(o.qkv.at(low)), b = static_cast<float>(o.qkv.at(high));
        const auto cosine = static_cast<float>(o.cos_sin.at(t * c.rot + i));
        const auto sine = static_cast<float>(o.cos_sin.at(t * c.rot + c.rot / 2 + i));
        const float a_cos = a * cosine, b_sin = b * sine, b_cos = b * cosine, a_sin = a * sine;
        o.qkv.set(low, double(a_cos - b_sin));
        o.qkv.set(high, double(b_cos + a_sin));
      }
    }
  }
  auto write = params_of<vn_cache_write_params>();
  write.key = o.k();
  write.value = o.v();
  write.slot_mapping = o.slots.tensor();
  write.cache = o.cache();
  ASSERT_EQ(VN_OK, vn_cache_write(cpu.stream, &write)) << vn_last_error();
}

void check_bits(Cpu& cpu, const Case& c) {
  SCOPED_TRACE(name_of(c));
  Operands fused(c), single(c);
  const auto p = fused.params();
  ASSERT_EQ(VN_OK, vn_rope_cache_write(cpu.stream, &p)) << vn_last_error();
  take_single_steps(cpu, single);
  for (int64_t t = 0; t < c.tokens; ++t) {
    const int64_t n = c.q_heads * c.dim;
    ASSERT_EQ(single.qkv.slice(t * single.width, n), fused.qkv.slice(t * fused.width, n)) << t;
  }
  EXPECT_EQ(single.pool.slice(0, single.pool.count()), fused.pool.slice(0, fused.pool.count()));
}

TEST(RopeCacheWrite, HasTheBitsOfSingleSteps) {
  Cpu cpu;
  for (const int32_t dtype : kFloats) {
    for (const int32_t cache : kCaches) {
      for (const int32_t style : {VN_ROPE_NEOX, VN_ROPE_INTERLEAVED}) {
        check_bits(cpu, {dtype, cache, VN_DTYPE_F32, VN_DTYPE_BF16, style, 12, 6, 2, 128, 128, 128});
        check_bits(cpu, {dtype, cache, VN_DTYPE_F16, VN_DTYPE_F32, style, 5, 3, 3, 77, 40, 50, true});
        check_bits(cpu, {dtype, cache, 0, 0, style, 5, 4, 1, 96, 96, 48});
      }
    }
  }
}

TEST(RopeCacheWrite, ATokenDoesNotDependOnTheBatch) {
  Cpu cpu(3), alone(1);
  const Case c{VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_F32, VN_DTYPE_F32, VN_ROPE_NEOX, 50, 6, 2, 128, 128, 128};
  Operands batch(c), single(c);
  const auto p = batch.params();
  ASSERT_EQ(VN_OK, vn_rope_cache_write(cpu.stream, &p)) << vn_last_error();
  for (int64_t t = 0; t < c.tokens; ++t) {
    auto one = single.params();
    for (vn_tensor* tensor : {&one.q, &one.k, &one.v, &one.cos_sin, &one.slot_mapping}) {
      tensor->data = static_cast<char*>(tensor->data) + t * tensor->stride[0] * size_of(tensor->dtype);
      tensor->shape[0] = 1;
    }
    ASSERT_EQ(VN_OK, vn_rope_cache_write(alone.stream, &one)) << vn_last_error();
  }
  EXPECT_EQ(batch.qkv.slice(0, batch.qkv.count()), single.qkv.slice(0, single.qkv.count()));
  EXPECT_EQ(batch.pool.slice(0, batch.pool.count()), single.pool.slice(0, single.pool.count()));
}

TEST(RopeCacheWrite, RefusesWhatDoesNotFit) {
  Cpu cpu;
  const Case c{VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_F32, VN_DTYPE_F32, VN_ROPE_NEOX, 3, 4, 2, 64, 64, 64};
  const auto refused = [&](int32_t status, const char* message, auto&& change) {
    Operands o(c);
    auto p = o.params();
    change(p);
    EXPECT_EQ(status, vn_rope_cache_write(cpu.stream, &p)) << message;
    EXPECT_NE(std::string::npos, std::string(vn_last_error()).find(message)) << vn_last_error();
    EXPECT_TRUE(o.pool.poisoned(0, o.pool.count()));
  };
  refused(VN_INVALID_ARGUMENT, "style is 3", [](auto& p) { p.style = 3; });
  refused(VN_INVALID_ARGUMENT, "cache.key_dim is 257, expected 1..256", [](auto& p) { p.cache.key_dim = 257; });
  refused(VN_INVALID_ARGUMENT, "eps is not finite", [](auto& p) { p.eps = INFINITY; });
  refused(VN_SHAPE, "q has shape [3, 4, 64], expected [3, any, 65]", [](auto& p) { p.cache.key_dim = 65; });
  refused(VN_UNSUPPORTED, "k has dtype F16 (2), expected one of BF16", [](auto& p) { p.k.dtype = VN_DTYPE_F16; });
  refused(VN_SHAPE, "v has shape [3, 2, 64], expected [3, 2, 63]", [](auto& p) { p.cache.value_dim = 63; });
  refused(VN_SHAPE, "k_norm has shape [64], expected [32]", [](auto& p) {
    p.cache.key_dim = 32;
    p.q.shape[2] = p.k.shape[2] = p.q_norm.shape[0] = 32;
  });
  refused(VN_SHAPE, "cos_sin has 66 columns, expected an even number up to head dimension 64", [](auto& p) {
    p.cos_sin.shape[1] = p.cos_sin.stride[0] = 66;
  });
  refused(VN_SHAPE, "cos_sin has 63 columns", [](auto& p) { p.cos_sin.shape[1] = p.cos_sin.stride[0] = 63; });
  refused(VN_SHAPE, "cos_sin has shape [2, 64], expected [3, any]", [](auto& p) { p.cos_sin.shape[0] = 2; });
}

}  // namespace
