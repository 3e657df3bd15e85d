// Every instruction set's logit kernels return the same bits as the scalar ones.
#include "cpu/logits_kernels.h"

#include <cstring>

#include "sampling_support.h"

namespace {

using namespace vn_test;
using vn::cpu::Isa;
using vn::cpu::LogitKernels;

std::vector<const LogitKernels*> vector_tables() {
  std::vector<const LogitKernels*> out;
  for (const Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
    if (vn::cpu::detect_isa() >= isa) out.push_back(&vn::cpu::logit_kernels(isa));
  }
  return out;
}

const LogitKernels& scalar() { return vn::cpu::logit_kernels(Isa::kScalar); }

std::vector<float> mixed_logits(int64_t n, uint32_t seed) {
  auto x = normal_logits(n, seed, 5);
  std::mt19937 random(seed);
  for (float& v : x) {
    const uint32_t pick = random() % 16;
    v = pick == 0 ? -kInf : pick == 1 ? -0.0f : pick == 2 ? v * 1e30f : pick == 3 ? v * 1e-30f : v;
  }
  return x;
}

TEST(LogitKernels, MassesAgreeForEveryBitPatternRange) {
  // Strided sweep over all non-positive floats, and a few scales.
  std::vector<float> x, a, b;
  for (uint32_t bits = 0x80000000u; bits < 0xff800000u; bits += 9973) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    x.push_back(value);
  }
  const auto n = static_cast<int64_t>(x.size());
  a.resize(x.size());
  b.resize(x.size());
  for (const float scale : {1.442695f, 0.3f, 144.2695f, 0.0f, kInf}) {
    scalar().masses(x.data(), n, 0, scale, a.data());
    for (const LogitKernels* table : vector_tables()) {
      table->masses(x.data(), n, 0, scale, b.data());
      ASSERT_EQ(0, std::memcmp(a.data(), b.data(), x.size() * 4)) << scale;
      for (const float least : {1.0f, 3.0f, 1000.0f, 0x1p30f, 0x1p39f}) {
        EXPECT_EQ(scalar().mass_sum(x.data(), n, 0, scale, least), table->mass_sum(x.data(), n, 0, scale, least));
        EXPECT_EQ(scalar().mass_sum(x.data(), n, 0, scale, least), table->list_sum(a.data(), n, least));
      }
    }
  }
}

TEST(LogitKernels, AllLengthsAgree) {
  for (int64_t n = 1; n <= 1024; n += n < 70 ? 1 : 53) {
    const auto x = mixed_logits(n, static_cast<uint32_t>(n));
    for (const LogitKernels* table : vector_tables()) {
      float lanes_a[16], lanes_b[16];
      EXPECT_FALSE(scalar().lane_maxima(x.data(), n, lanes_a));
      EXPECT_FALSE(table->lane_maxima(x.data(), n, lanes_b));
      for (int i = 0; i < 16; ++i) EXPECT_EQ(lanes_a[i], lanes_b[i]);
      for (const float wrong : {kInf, kNan}) {
        auto bad = x;
        bad[static_cast<size_t>(n * 7 / 9)] = wrong;
        EXPECT_TRUE(table->lane_maxima(bad.data(), n, lanes_b));
      }
      auto capped = x;  // no logit exceeds the largest
      for (float& v : capped) v = v > 12 ? 12 : v;
      EXPECT_EQ(scalar().mass_sum(capped.data(), n, 12, 1.3f, 5), table->mass_sum(capped.data(), n, 12, 1.3f, 5));
      for (const float bound : {-kInf, -2.0f, 0.0f, 4.0f}) {
        EXPECT_EQ(scalar().count_above(x.data(), n, bound), table->count_above(x.data(), n, bound));
        const auto room = static_cast<size_t>(n + vn::cpu::kLogitSlack);
        std::vector<float> va(room), vb(room);
        std::vector<int32_t> ia(room), ib(room);
        const int64_t count = scalar().collect(x.data(), n, 0.5f, bound, 70, va.data(), ia.data());
        ASSERT_EQ(count, table->collect(x.data(), n, 0.5f, bound, 70, vb.data(), ib.data()));
        EXPECT_EQ(0, std::memcmp(va.data(), vb.data(), static_cast<size_t>(count) * 4));
        EXPECT_EQ(0, std::memcmp(ia.data(), ib.data(), static_cast<size_t>(count) * 4));
      }
      std::vector<int32_t> counts(x.size());
      for (size_t i = 0; i < counts.size(); ++i) {
        counts[i] = i % 5 == 0 ? static_cast<int32_t>(i % 7) : i % 11 == 0 ? INT32_MIN + static_cast<int32_t>(i % 3) : 0;
      }
      auto a = x, b = x;
      scalar().penalise(a.data(), counts.data(), n, {1.3f, 0.1f, -0.7f});
      table->penalise(b.data(), counts.data(), n, {1.3f, 0.1f, -0.7f});
      EXPECT_EQ(0, std::memcmp(a.data(), b.data(), a.size() * 4));
    }
  }
}

}  // namespace
