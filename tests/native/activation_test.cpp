// Gated activations against double precision.
#include "ops_support.h"

namespace {

using namespace ops_test;

double activation(int32_t kind, double x) {
  switch (kind) {
    case VN_ACTIVATION_SILU: return x / (1 + std::exp(-x));
    // x (1 + tanh u) / 2, without the cancellation.
    case VN_ACTIVATION_GELU_TANH: return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    default: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  }
}

constexpr int32_t kKinds[] = {VN_ACTIVATION_SILU, VN_ACTIVATION_GELU_TANH, VN_ACTIVATION_GELU};

void run(Cpu& cpu, int32_t kind, vn_tensor x, vn_tensor out) {
  auto p = params_of<vn_gated_activation_params>();
  p.activation = kind;
  p.x = x;
  p.out = out;
  ASSERT_EQ(VN_OK, vn_gated_activation(cpu.stream, &p)) << vn_last_error();
}

TEST(GatedActivation, AllDtypesAndWidths) {
  Cpu cpu;
  for (const int32_t kind : kKinds) {
    for (const int32_t in : kFloats) {
      for (const int32_t out_dtype : kFloats) {
        for (const auto& [tokens, width] : {std::pair{0, 8}, std::pair{1, 1}, std::pair{1, 2050}, std::pair{3, 17},
                                            std::pair{5, 512}, std::pair{2, 1030}}) {
          SCOPED_TRACE(::testing::Message() << kind << " " << in << out_dtype << " " << tokens << "x" << width);
          std::mt19937 engine(static_cast<uint32_t>(width));
          Array x(in, {tokens, 2 * width + 1}), out(out_dtype, {tokens, width + 2});
          x.randomize(engine, -6, 6);
          run(cpu, kind, x.columns(1, 2 * width), out.columns(1, width));
          for (int64_t t = 0; t < tokens; ++t) {
            for (int64_t i = 0; i < width; ++i) {
              const int64_t at = t * (2 * width + 1) + 1 + i;
              const double want = activation(kind, x.at(at)) * x.at(at + width);
              ASSERT_TRUE(close(out.at(t * (width + 2) + 1 + i), want, out_dtype, 1e-6 * std::fabs(want) + 1e-7)) << t << " " << i;
            }
            EXPECT_TRUE(out.poisoned(t * (width + 2), 1) && out.poisoned(t * (width + 2) + 1 + width, 1));
          }
          EXPECT_TRUE(out.guards_intact());
        }
      }
    }
  }
}

// The functions alone (up = 1) over the range of f32, and where they end.
TEST(GatedActivation, RelativeErrorOverTheWholeRange) {
  Cpu cpu;
  constexpr int64_t kCount = 400000;
  for (const int32_t kind : kKinds) {
    Array x(VN_DTYPE_F32, {1, 2 * kCount}), out(VN_DTYPE_F32, {1, kCount});
    for (int64_t i = 0; i < kCount; ++i) {
      x.set(i, -12.0 + 24.0 * static_cast<double>(i) / kCount);
      x.set(kCount + i, 1.0);
    }
    run(cpu, kind, x.tensor(), out.tensor());
    double worst = 0;
    for (int64_t i = 0; i < kCount; ++i) {
      const double want = activation(kind, x.at(i));
      if (std::fabs(want) < 1e-30) continue;
      // An exponential's relative error grows with its argument: a rounding of that argument is worth |u| ulp.
      const double u = kind == VN_ACTIVATION_SILU ? 0 : x.at(i) * x.at(i) / 2 + (kind == VN_ACTIVATION_GELU_TANH ? x.at(i) * x.at(i) : 0);
      worst = std::max(worst, std::fabs(out.at(i) - want) / std::fabs(want) / (1 + (x.at(i) < 0 ? u : 0)));
    }
    EXPECT_LT(worst, 4e-7) << kind;
  }
}

TEST(GatedActivation, Extremes) {
  Cpu cpu;
  const double inputs[] = {0.0, -0.0, 1e-40, -1e-40, 1e-20, 88.0, -88.0, 104.0, -104.0, 3e38, -3e38, INFINITY, std::nan("")};
  constexpr int64_t kCount = std::size(inputs);
  for (const int32_t kind : kKinds) {
    Array x(VN_DTYPE_F32, {1, 2 * kCount}), out(VN_DTYPE_F32, {1, kCount});
    for (int64_t i = 0; i < kCount; ++i) {
      x.set(i, inputs[i]);
      x.set(kCount + i, 1.0);
    }
    run(cpu, kind, x.tensor(), out.tensor());
    for (int64_t i = 0; i < kCount; ++i) {
      if (std::isnan(inputs[i])) {
        EXPECT_TRUE(std::isnan(out.at(i))) << kind;
      } else if (inputs[i] > 50) {
        EXPECT_EQ(double(static_cast<float>(inputs[i])), out.at(i)) << kind << " " << inputs[i];
      } else {
        EXPECT_NEAR(0.5 * inputs[i] * (std::fabs(inputs[i]) < 1 ? 1 : 0), out.at(i), 1e-27) << kind << " " << inputs[i];
      }
    }
  }
}

}  // namespace
