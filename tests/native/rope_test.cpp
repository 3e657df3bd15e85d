// Rotary embedding against double precision.
#include "ops_support.h"

namespace {

using namespace ops_test;

Array frequencies(int64_t half) {
  Array inv_freq(VN_DTYPE_F32, {half});
  for (int64_t i = 0; i < half; ++i) inv_freq.set(i, std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half)));
  return inv_freq;
}

TEST(Rope, CosSinOfFloatAngles) {
  Cpu cpu;
  for (const int64_t tokens : {0, 1, 300}) {
    for (const int64_t half : {1, 3, 32, 64}) {
      Array inv_freq = frequencies(half), positions(VN_DTYPE_I32, {tokens}), out(VN_DTYPE_F32, {tokens, 2 * half});
      for (int64_t t = 0; t < tokens; ++t) positions.ints()[t] = static_cast<int32_t>(t * 437);
      auto p = params_of<vn_rope_cos_sin_params>();
      p.scale = 1.25f;
      p.positions = positions.tensor();
      p.inv_freq = inv_freq.tensor();
      p.out = out.tensor();
      ASSERT_EQ(VN_OK, vn_rope_cos_sin(cpu.stream, &p)) << vn_last_error();
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t i = 0; i < half; ++i) {
          const float angle = static_cast<float>(t * 437) * static_cast<float>(inv_freq.at(i));
          ASSERT_NEAR(1.25 * std::cos(double(angle)), out.at(t * 2 * half + i), 2e-7);
          ASSERT_NEAR(1.25 * std::sin(double(angle)), out.at(t * 2 * half + half + i), 2e-7);
        }
      }
      EXPECT_TRUE(out.guards_intact());
    }
  }
}

void check_rope(Cpu& cpu, int32_t style, int32_t dtype, int64_t tokens, int64_t dim, int64_t rot, bool with_k) {
  SCOPED_TRACE(::testing::Message() << "style " << style << " dtype " << dtype << " T " << tokens << " D " << dim << " rot " << rot);
  constexpr int64_t kQ = 4, kK = 2;
  const int64_t stride = (kQ + kK + kK) * dim + 1;  // a merged projection
  std::mt19937 engine(static_cast<uint32_t>(dim + rot));
  Array x(dtype, {tokens, stride}), cos_sin(VN_DTYPE_F32, {tokens, rot});
  x.randomize(engine);
  cos_sin.randomize(engine);
  const Array before = x;
  auto p = params_of<vn_rope_params>();
  p.style = style;
  p.cos_sin = cos_sin.tensor();
  p.q = x.columns(0, kQ * dim, kQ);
  if (with_k) p.k = x.columns(kQ * dim, kK * dim, kK);
  ASSERT_EQ(VN_OK, vn_rope(cpu.stream, &p)) << vn_last_error();
  const int64_t half = rot / 2, heads = kQ + (with_k ? kK : 0);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t first = t * stride + h * dim;
      for (int64_t i = 0; i < half; ++i) {
        const int64_t low = first + (style == VN_ROPE_INTERLEAVED ? 2 * i : i);
        const int64_t high = style == VN_ROPE_INTERLEAVED ? low + 1 : low + half;
        const double c = cos_sin.at(t * rot + i), s = cos_sin.at(t * rot + half + i);
        ASSERT_TRUE(close(x.at(low), before.at(low) * c - before.at(high) * s, dtype, 3e-7)) << t << " " << h << " " << i;
        ASSERT_TRUE(close(x.at(high), before.at(high) * c + before.at(low) * s, dtype, 3e-7)) << t << " " << h << " " << i;
      }
      EXPECT_EQ(before.slice(first + rot, dim - rot), x.slice(first + rot, dim - rot));
    }
    EXPECT_EQ(before.slice(t * stride + heads * dim, stride - heads * dim), x.slice(t * stride + heads * dim, stride - heads * dim));
  }
  EXPECT_TRUE(x.guards_intact());
}

TEST(Rope, RotatesPairs) {
  Cpu cpu;
  for (const int32_t style : {VN_ROPE_NEOX, VN_ROPE_INTERLEAVED}) {
    for (const int32_t dtype : kFloats) {
      for (const auto& [dim, rot] : {std::pair{2, 2}, std::pair{5, 4}, std::pair{64, 64}, std::pair{80, 32},
                                     std::pair{128, 128}, std::pair{256, 64}, std::pair{96, 0}}) {
        for (const int64_t tokens : {0, 1, 33}) check_rope(cpu, style, dtype, tokens, dim, rot, tokens != 1);
      }
    }
  }
  check_rope(cpu, VN_ROPE_NEOX, VN_DTYPE_BF16, 2, 2600, 2600, true);
  check_rope(cpu, VN_ROPE_INTERLEAVED, VN_DTYPE_BF16, 2, 2600, 2600, true);
}

}  // namespace
