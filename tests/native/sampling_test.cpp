// vn_sample against its definition (sorted, one token at a time): exact ids, ties, flags, independence of the batch.
#include <algorithm>
#include <array>
#include <numeric>
#include <set>

#include "core/fixed_exp.h"
#include "core/philox.h"
#include "sampling_support.h"

namespace {

using namespace vn_test;

// The definition in cpu/sampling_row.cpp, followed naively over a fully sorted row.
int32_t reference_id(const float* logits, int64_t vocab, const vn_sampling_row& row, int32_t position) {
  const float max = *std::max_element(logits, logits + vocab);
  if (row.temperature == 0) return static_cast<int32_t>(std::find(logits, logits + vocab, max) - logits);
  const float scale = vn::mass_scale(row.temperature);
  const auto count = static_cast<size_t>(vocab);
  std::vector<uint64_t> mass(count);
  const double least = row.min_p > 0 ? static_cast<double>(row.min_p) * 0x1p39 : 1.0;
  for (size_t i = 0; i < count; ++i) {
    mass[i] = vn::mass_integer(vn::raw_mass(logits[i], max, scale));
    if (static_cast<double>(mass[i]) < least) mass[i] = 0;
  }
  std::vector<float> sorted(logits, logits + vocab);
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  if (row.top_k > 0 && row.top_k < vocab) {
    for (size_t i = 0; i < count; ++i) {
      if (logits[i] < sorted[static_cast<size_t>(row.top_k - 1)]) mass[i] = 0;
    }
  }
  if (row.top_p > 0 && row.top_p < 1) {
    // cumulative >= top_p * total in exact arithmetic: top_p = digits / 2^shift.
    int exponent;
    const auto digits = static_cast<unsigned>(std::frexp(row.top_p, &exponent) * 0x1p24f);
    const int shift = 24 - exponent;
    std::vector<uint64_t> by_mass = mass;
    std::sort(by_mass.begin(), by_mass.end(), std::greater<>());
    __extension__ typedef unsigned __int128 Wide;
    const Wide total = std::accumulate(mass.begin(), mass.end(), Wide{0});
    Wide sum = 0;
    uint64_t threshold = 0;
    for (const uint64_t m : by_mass) {
      sum += m;
      threshold = m;
      if (sum << shift >= total * digits) break;
    }
    for (uint64_t& m : mass) m = m >= threshold ? m : 0;
  }
  const uint64_t total = std::accumulate(mass.begin(), mass.end(), uint64_t{0});
  const uint64_t r = vn::mul_high(vn::draw_bits(row.seed, position), total);
  uint64_t sum = 0;
  for (size_t i = 0; i < count; ++i) {
    sum += mass[i];
    if (sum > r) return static_cast<int32_t>(i);
  }
  return -1;
}

std::vector<vn_sampling_row> variants() {
  std::vector<vn_sampling_row> rows;
  for (const float temperature : {0.0f, 0.01f, 0.7f, 1.0f, 2.0f}) {
    for (const int32_t top_k : {0, 1, 2, 50, 1000, 100000}) {
      for (const float top_p : {0.0f, 1e-6f, 0.3f, 0.9f, 0.999f, 1.0f}) {
        for (const float min_p : {0.0f, 0.05f, 1.0f}) {
          rows.push_back(sampling(temperature, top_k, top_p, min_p, rows.size() * 0x9E3779B97F4A7C15u));
        }
      }
    }
  }
  return rows;
}

TEST(Sampling, PhiloxMatchesPublishedVectors) {
  const auto zero = vn::philox4x32_10({{0, 0, 0, 0}}, 0, 0);
  EXPECT_EQ((std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), std::to_array(zero.v));
  const auto ones = vn::philox4x32_10({{~0u, ~0u, ~0u, ~0u}}, ~0u, ~0u);
  EXPECT_EQ((std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}), std::to_array(ones.v));
  const auto pi = vn::philox4x32_10({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0);
  EXPECT_EQ((std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}), std::to_array(pi.v));
}

TEST(Sampling, MassIsAccurate) {
  const float scale = vn::mass_scale(1.0f);
  EXPECT_EQ(vn::kMassOne, vn::raw_mass(3.5f, 3.5f, scale));
  EXPECT_EQ(0u, vn::mass_integer(vn::raw_mass(-kInf, 3.5f, scale)));
  for (float x = 0; x > -20; x -= 0.000731f) {
    // x * scale rounds: its error grows with |x|.
    EXPECT_NEAR(1.0, vn::raw_mass(x, 0, scale) / (std::exp(static_cast<double>(x)) * 0x1p39), 1.5e-7 * (2 - x)) << x;
  }
}

// With a scale of 1 nothing but the polynomial rounds: every float of an octave, then a sweep down to where masses end.
TEST(Sampling, PowersOfTwoAreWithinOneUnitInTheLastPlace) {
  double worst = 0;
  const auto check = [&](float x) {
    const float mass = vn::raw_mass(x, 0, 1);
    const double unit = std::nextafter(mass, kInf) - mass;
    worst = std::max(worst, std::fabs(mass - std::exp2(static_cast<double>(x)) * 0x1p39) / unit);
  };
  for (float x = -1; x < -0.5f; x = std::nextafter(x, 0.0f)) check(x);
  for (float x = -0.5f; x < -1e-9f; x *= 0.999997f) check(x);
  for (float x = -1; x > -40; x -= 0.0000373f) check(x);
  EXPECT_LT(worst, 1);
  EXPECT_EQ(0x1p38f, vn::raw_mass(-1, 0, 1));
  EXPECT_EQ(1, vn::raw_mass(-39, 0, 1));
}

TEST(Sampling, IdsMatchSortedReference) {
  Cpu cpu;
  const auto rows = variants();
  for (const int64_t vocab : {1, 2, 15, 16, 17, 1023, 1025, 1536, 5000}) {
    for (const uint32_t kind : {0u, 1u, 2u}) {
      const auto seed = static_cast<uint32_t>(vocab * 3) + kind;
      const auto logits = kind == 0 ? normal_logits(vocab, seed, 3) : kind == 1 ? tied_logits(vocab, seed, 2)
                                                                               : std::vector<float>(static_cast<size_t>(vocab), -1.5f);
      std::vector<float> batch;
      std::vector<int32_t> sample_rows;
      for (size_t r = 0; r < rows.size(); ++r) {
        batch.insert(batch.end(), logits.begin(), logits.end());
        const auto i = static_cast<int32_t>(r);
        sample_rows.insert(sample_rows.end(), {i, i, 1000 + i, 0});
      }
      const Sampled out = run_sample(cpu, batch.data(), vocab, vocab, sample_rows, rows);
      for (size_t r = 0; r < rows.size(); ++r) {
        EXPECT_EQ(reference_id(logits.data(), vocab, rows[r], 1000 + static_cast<int32_t>(r)), out.ids[r])
            << "V " << vocab << " kind " << kind << " t " << rows[r].temperature << " k " << rows[r].top_k << " p "
            << rows[r].top_p << " min_p " << rows[r].min_p;
        EXPECT_EQ(0, out.flags[r]);
      }
    }
  }
}

TEST(Sampling, LargeVocabularyMatchesReferenceWithAnyThreads) {
  constexpr int64_t kVocab = 128256;
  Cpu one(1), two(2), five(5);
  const auto all = variants();
  for (const uint32_t kind : {0u, 1u, 2u, 3u}) {
    auto logits = kind == 1 ? tied_logits(kVocab, 5, 2) : normal_logits(kVocab, kind, kind == 3 ? 0.01f : 2);
    if (kind == 2) {
      for (size_t i = 0; i < logits.size(); ++i) logits[i] = i % 3 == 0 ? -kInf : logits[i] * 3;
    }
    for (size_t r = kind; r < all.size(); r += 23) {
      const std::vector<int32_t> sample_rows = {0, 0, static_cast<int32_t>(r), 0};
      const int32_t expected = reference_id(logits.data(), kVocab, all[r], static_cast<int32_t>(r));
      for (Cpu* cpu : {&one, &two, &five}) {
        EXPECT_EQ(expected, run_sample(*cpu, logits.data(), kVocab, kVocab, sample_rows, {all[r]}).ids[0])
            << "kind " << kind << " t " << all[r].temperature << " k " << all[r].top_k << " p " << all[r].top_p;
      }
    }
  }
}

TEST(Sampling, SameAloneInBatchInAnyOrderAndOnAnyDevice) {
  Cpu cpu(1);
  constexpr int64_t kVocab = 5001, kStride = 5050;  // 64 rows are more than one thread does alone
  constexpr int32_t kRows = 64;
  const auto logits = normal_logits(kRows * kStride, 11, 2.5f);
  auto rows = variants();
  std::mt19937 random(3);
  std::shuffle(rows.begin(), rows.end(), random);
  rows.resize(kRows);
  std::vector<int32_t> order(kRows), expected(kRows);
  for (int32_t r = 0; r < kRows; ++r) {
    order[static_cast<size_t>(r)] = r;
    expected[static_cast<size_t>(r)] =
        run_sample(cpu, logits.data() + r * kStride, kVocab, kStride, {0, r, 40 + r, 0}, rows).ids[0];
  }
  struct {
    int threads, isa;
  } constexpr kDevices[] = {{1, 1}, {2, 1}, {5, 2}, {16, 3}, {3, 0}};  // scalar, AVX2, AVX-512, the best
  for (const auto& d : kDevices) {
    Cpu several(d.threads, d.isa);
    std::vector<float> batch;
    std::vector<int32_t> sample_rows;
    for (const int32_t r : order) {
      batch.insert(batch.end(), logits.begin() + r * kStride, logits.begin() + (r + 1) * kStride);
      sample_rows.insert(sample_rows.end(), {0, r, 40 + r, 0});
    }
    const Sampled out = run_sample(several, batch.data(), kVocab, kStride, sample_rows, rows);
    for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(expected[static_cast<size_t>(order[i])], out.ids[i]) << "row " << order[i];
    std::shuffle(order.begin(), order.end(), random);
  }
}

// A target that masses reach to the unit: 2^39 and four times 2^37 are 2^40.
TEST(Sampling, TopPStopsWhereItsTargetIsReached) {
  Cpu cpu;
  const float quarter = logit_of_mass(0x1p37f);
  const std::vector<float> logits = {quarter, quarter, 0, quarter, -kInf, quarter};
  const auto drawn = [&](float top_p) {
    const auto ids = draw_many(cpu, logits, sampling(1, 0, top_p), 300, 100);
    return std::set<int32_t>(ids.begin(), ids.end());
  };
  EXPECT_EQ((std::set<int32_t>{2}), drawn(0.5f));
  EXPECT_EQ((std::set<int32_t>{0, 1, 2, 3, 5}), drawn(std::nextafter(0.5f, 1.0f))) << "equal tokens stay together";
}

TEST(Sampling, SeedAndPositionChangeTheDraw) {
  Cpu cpu;
  const std::vector<float> flat(50000, 0.0f);
  const auto a = draw_many(cpu, flat, sampling(1, 0, 0, 0, 1), 64, 16);
  const auto b = draw_many(cpu, flat, sampling(1, 0, 0, 0, 2), 64, 16);
  const auto high = draw_many(cpu, flat, sampling(1, 0, 0, 0, (1ull << 32) + 1), 64, 16);
  EXPECT_EQ(a, draw_many(cpu, flat, sampling(1, 0, 0, 0, 1), 64, 64));
  int same = 0;
  for (size_t i = 0; i < a.size(); ++i) same += a[i] == b[i] || a[i] == high[i] || (i > 0 && a[i] == a[i - 1]);
  EXPECT_LE(same, 1);
}

TEST(Sampling, GreedyTakesLowestIdAmongEquals) {
  Cpu cpu;
  for (const int64_t vocab : {1, 2, 15, 1536, 128256}) {
    std::mt19937 random(static_cast<uint32_t>(vocab));
    for (int trial = 0; trial < 20; ++trial) {
      auto logits = normal_logits(vocab, random(), 1);
      const auto at = static_cast<int64_t>(random() % static_cast<uint64_t>(vocab));
      for (int64_t i = at; i < vocab; i += 1 + static_cast<int64_t>(random() % 3000)) logits[static_cast<size_t>(i)] = 50;
      EXPECT_EQ(at, run_sample(cpu, logits.data(), vocab, vocab, {0, 0, 0, 0}, {}, true).ids[0]);
      EXPECT_EQ(at, run_sample(cpu, logits.data(), vocab, vocab, {0, 0, 0, 0}, {sampling(0)}).ids[0]);
      EXPECT_EQ(at, run_sample(cpu, logits.data(), vocab, vocab, {0, 0, 0, 0}, {sampling(1e-6f, 5, 0.5f)}).ids[0]);
    }
  }
  const std::vector<float> zeros = {-kInf, -0.0f, 0.0f, -0.0f};
  EXPECT_EQ(1, run_sample(cpu, zeros.data(), 4, 4, {0, 0, 0, 0}, {}, true).ids[0]);
}

TEST(Sampling, MaskedTokensAreNeverDrawn) {
  Cpu cpu;
  std::vector<float> logits(2000, -kInf);
  logits[1] = -3;
  logits[1700] = -3;
  for (const auto& row : {sampling(1), sampling(1, 50), sampling(1, 0, 0.9f), sampling(2, 3, 0.99f, 0.1f), sampling(kInf)}) {
    const auto ids = draw_many(cpu, logits, row, 200, 20);
    EXPECT_TRUE(std::all_of(ids.begin(), ids.end(), [](int32_t id) { return id == 1 || id == 1700; }));
    EXPECT_NE(ids.end(), std::find(ids.begin(), ids.end(), 1));
    EXPECT_NE(ids.end(), std::find(ids.begin(), ids.end(), 1700));
  }
}

TEST(Sampling, BadRowsAreFlaggedAndOthersUnharmed) {
  Cpu cpu;
  for (const int64_t vocab : {1, 3, 40, 1100}) {
    constexpr int32_t kRows = 8;
    auto logits = normal_logits(kRows * vocab, 9, 1);
    std::vector<int32_t> sample_rows;
    for (int32_t r = 0; r < kRows; ++r) sample_rows.insert(sample_rows.end(), {r, r, 5, 0});
    std::vector<vn_sampling_row> rows(kRows, sampling(1));
    rows[1] = rows[6] = sampling(0);
    rows[2] = sampling(1, 2, 0.5f);
    rows[7] = sampling(kNan, -4, kNan, kNan);  // greedy: nothing is drawn from nonsense
    const Sampled good = run_sample(cpu, logits.data(), vocab, vocab, sample_rows, rows);
    logits[static_cast<size_t>(vocab - 1)] = kNan;
    logits[static_cast<size_t>(2 * vocab - 1)] = kNan;
    logits[static_cast<size_t>(2 * vocab)] = kInf;
    std::fill_n(logits.begin() + 3 * vocab, vocab, -kInf);
    sample_rows[4 * 4 + 1] = kRows;
    sample_rows[4 * 5 + 1] = -1;
    const Sampled out = run_sample(cpu, logits.data(), vocab, vocab, sample_rows, rows);
    for (size_t r = 0; r < kRows; ++r) {
      EXPECT_EQ(r <= 5 ? VN_ROW_NAN : 0, out.flags[r]) << r;
      EXPECT_EQ(r <= 5 ? 0 : good.ids[r], out.ids[r]) << r;
    }
  }
}

TEST(Sampling, EmptyBatch) {
  Cpu cpu;
  EXPECT_TRUE(run_sample(cpu, nullptr, 100, 100, {}, {sampling(1)}).ids.empty());
}

}  // namespace
