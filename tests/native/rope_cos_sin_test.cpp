// The table of rotary embedding against double precision.
#include "ops_support.h"

namespace {

using namespace ops_test;

Array frequencies(int64_t half) {
  Array inv_freq(VN_DTYPE_F32, {half});
  for (int64_t i = 0; i < half; ++i) inv_freq.set(i, std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half)));
  return inv_freq;
}

TEST(RopeCosSin, OfFloatAngles) {
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

}  // namespace
