// The E4M3 conversions of core/fp8.h: all 256 codes, and rounding against double precision.
#include "core/fp8.h"

#include "ops_support.h"

namespace {

using namespace ops_test;

TEST(Fp8, EveryCodeIsReadExactly) {
  for (int code = 0; code < 256; ++code) {
    const double expected = read_e4m3(static_cast<uint8_t>(code));
    const float got = vn::e4m3_to_float(static_cast<uint8_t>(code));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(got)) << code;
      EXPECT_EQ(0x7f, vn::e4m3_from_float(got)) << code;
      continue;
    }
    EXPECT_EQ(expected, static_cast<double>(got)) << code;
    EXPECT_EQ(std::signbit(expected), std::signbit(got)) << code;
    EXPECT_EQ(code, vn::e4m3_from_float(got));
  }
}

TEST(Fp8, RoundsToNearestEvenAndSaturates) {
  std::vector<float> values = {0.0f, 447.9f, 448.0f, 455.0f, 464.0f, 465.0f, 480.0f, 1e9f, 3e38f, INFINITY,
                               0x1p-149f, 0x1p-127f, 0x1p-10f, 0x1.000002p-10f, 0x0.fffffep-10f};
  for (int code = 0; code < 0x7e; ++code) {  // neighbours, what lies between them, and beside that
    const float low = vn::e4m3_to_float(static_cast<uint8_t>(code)), high = vn::e4m3_to_float(static_cast<uint8_t>(code + 1));
    const float middle = low + (high - low) / 2;
    for (const float x : {low, middle, low + (high - low) / 4}) {
      for (const float y : {x, std::nextafterf(x, -1.0f), std::nextafterf(x, 1000.0f)}) values.push_back(y);
    }
  }
  std::mt19937 engine(5);
  for (int i = 0; i < 200000; ++i) {
    float x;
    const auto bits = static_cast<uint32_t>(engine());
    std::memcpy(&x, &bits, sizeof x);
    values.push_back(x);
    values.push_back(std::ldexp(static_cast<float>(engine() & 0xffffff), -24 - static_cast<int>(engine() % 16)) * 1024.0f);
  }
  for (const float x : values) {
    ASSERT_EQ(nearest_e4m3(x), vn::e4m3_from_float(x)) << x;
    ASSERT_EQ(nearest_e4m3(-x), vn::e4m3_from_float(-x)) << x;
  }
}

TEST(Fp8, NanStaysNan) {
  for (const uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xffffffffu}) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    EXPECT_EQ(0x7f, vn::e4m3_from_float(x)) << bits;
    EXPECT_EQ(0x7f, vn::e4m3_quantize(x, 0.5f)) << bits;
  }
}

TEST(Fp8, QuantizingDividesByTheScale) {
  EXPECT_EQ(3.0f, vn::e4m3_to_float(vn::e4m3_quantize(0.75f, 0.25f)));
  EXPECT_EQ(448.0f, vn::e4m3_to_float(vn::e4m3_quantize(1e30f, 1e-30f)));
  EXPECT_EQ(0x80, vn::e4m3_quantize(-0.0f, 7.0f));
}

}  // namespace
