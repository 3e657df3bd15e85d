// RMS norm against double precision: residuals, dtypes, rows that do not depend on their batch.
#include "ops_support.h"

namespace {

using namespace ops_test;

struct Case {
  int32_t x, residual, weight, out;  // dtypes; residual 0 = absent
  int64_t tokens, width;
  float offset = 0;
};

void run_case(Cpu& cpu, const Case& c) {
  SCOPED_TRACE(::testing::Message() << c.x << c.residual << c.weight << c.out << " [" << c.tokens << ", " << c.width << "]");
  std::mt19937 engine(static_cast<uint32_t>(c.width * 31 + c.tokens));
  Array x(c.x, {c.tokens, c.width + 2}), weight(c.weight, {c.width}), out(c.out, {c.tokens, c.width + 3});
  Array residual(c.residual ? c.residual : VN_DTYPE_F32, {c.tokens, c.width});
  x.randomize(engine, -2, 2);
  weight.randomize(engine, 0.5, 1.5);
  residual.randomize(engine, -2, 2);
  Array before = residual;
  auto p = params_of<vn_rms_norm_params>();
  p.eps = 1e-5f;
  p.weight_offset = c.offset;
  p.x = x.columns(1, c.width);
  p.weight = weight.tensor();
  if (c.residual) p.residual = residual.tensor();
  p.out = out.columns(2, c.width);
  ASSERT_EQ(VN_OK, vn_rms_norm(cpu.stream, &p)) << vn_last_error();
  for (int64_t t = 0; t < c.tokens; ++t) {
    std::vector<double> row(static_cast<size_t>(c.width));
    double squares = 0;
    for (int64_t i = 0; i < c.width; ++i) {
      double v = x.at(t * (c.width + 2) + 1 + i);
      if (c.residual) {
        v += before.at(t * c.width + i);
        ASSERT_TRUE(close(residual.at(t * c.width + i), v, c.residual, 3e-7)) << t << " " << i;
        v = residual.at(t * c.width + i);  // what was stored is normalised
      }
      row[static_cast<size_t>(i)] = v;
      squares += v * v;
    }
    const double factor = 1 / std::sqrt(squares / static_cast<double>(c.width) + 1e-5);
    for (int64_t i = 0; i < c.width; ++i) {
      const double want = row[static_cast<size_t>(i)] * factor * (weight.at(i) + double(c.offset));
      ASSERT_TRUE(close(out.at(t * (c.width + 3) + 2 + i), want, c.out, 2e-6 * (1 + std::fabs(want)))) << t << " " << i;
    }
    EXPECT_TRUE(out.poisoned(t * (c.width + 3), 2));
    EXPECT_TRUE(out.poisoned(t * (c.width + 3) + 2 + c.width, 1));
  }
  EXPECT_TRUE(out.guards_intact() && residual.guards_intact() && x.guards_intact());
}

TEST(RmsNorm, AllDtypes) {
  Cpu cpu;
  for (const int32_t x : kFloats) {
    for (const int32_t residual : {0, VN_DTYPE_F32, VN_DTYPE_F16, VN_DTYPE_BF16}) {
      for (const int32_t weight : kFloats) {
        for (const int32_t out : kFloats) run_case(cpu, {x, residual, weight, out, 3, 77});
      }
    }
  }
}

TEST(RmsNorm, Widths) {
  Cpu cpu;
  for (const int64_t width : {1, 2, 15, 16, 17, 64, 255, 511, 512, 513, 1000, 1024, 4096, 5120}) {
    for (const int64_t tokens : {0, 1, 5}) {
      run_case(cpu, {VN_DTYPE_F32, 0, VN_DTYPE_F32, VN_DTYPE_F32, tokens, width});
      run_case(cpu, {VN_DTYPE_BF16, VN_DTYPE_F32, VN_DTYPE_BF16, VN_DTYPE_BF16, tokens, width, 1.0f});
    }
  }
}

TEST(RmsNorm, RowsDoNotDependOnTheBatch) {
  Cpu cpu(3), alone(1);
  constexpr int64_t kTokens = 64, kWidth = 1030;
  std::mt19937 engine(5);
  Array x(VN_DTYPE_BF16, {kTokens, kWidth}), weight(VN_DTYPE_F32, {kWidth}), out(VN_DTYPE_F32, {kTokens, kWidth});
  x.randomize(engine);
  weight.randomize(engine);
  auto p = params_of<vn_rms_norm_params>();
  p.eps = 1e-6f;
  p.x = x.tensor();
  p.weight = weight.tensor();
  p.out = out.tensor();
  ASSERT_EQ(VN_OK, vn_rms_norm(cpu.stream, &p));
  for (const int64_t t : {0, 1, 31, 63}) {
    Array row(VN_DTYPE_F32, {1, kWidth});
    p.x.data = static_cast<char*>(x.data()) + t * kWidth * 2;
    p.x.shape[0] = 1;
    p.out = row.tensor();
    ASSERT_EQ(VN_OK, vn_rms_norm(alone.stream, &p));
    EXPECT_EQ(out.slice(t * kWidth, kWidth), row.slice(0, kWidth)) << t;
  }
}

TEST(RmsNorm, NaNStaysInItsRow) {
  Cpu cpu;
  std::mt19937 engine(3);
  Array x(VN_DTYPE_BF16, {3, 600}), weight(VN_DTYPE_F32, {600}), out(VN_DTYPE_BF16, {3, 600});
  x.randomize(engine);
  weight.randomize(engine);
  x.set(600 + 590, std::nan(""));
  auto p = params_of<vn_rms_norm_params>();
  p.x = x.tensor();
  p.weight = weight.tensor();
  p.out = out.tensor();
  ASSERT_EQ(VN_OK, vn_rms_norm(cpu.stream, &p));
  for (int64_t i = 0; i < 600; ++i) {
    EXPECT_TRUE(std::isfinite(out.at(i)) && std::isnan(out.at(600 + i)) && std::isfinite(out.at(1200 + i)));
  }
}

}  // namespace
