// 100000 draws at fixed seeds against probabilities in double precision: Pearson's chi-square, and nothing drawn outside the
// kept set. The distribution of the statistic is approximated after Wilson and Hilferty.
#include <algorithm>
#include <numeric>

#include "sampling_support.h"

namespace {

using namespace vn_test;

constexpr int32_t kDraws = 100000;
constexpr double kAccept = 4.0;  // standard deviations, either way

struct Case {
  const char* name;
  vn_sampling_row row;
};

std::vector<double> probabilities(const std::vector<float>& logits, const vn_sampling_row& row) {
  const double max = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p;
  for (const float x : logits) p.push_back(std::exp((x - max) / row.temperature));
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  for (double& x : p) x = x >= row.min_p ? x : 0;
  if (row.top_k > 0) {
    for (size_t i = static_cast<size_t>(row.top_k); i < order.size(); ++i) p[order[i]] = 0;
  }
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  double sum = 0;
  for (const size_t i : order) {
    if (row.top_p > 0 && sum >= row.top_p * total) p[i] = 0;
    sum += p[i];
  }
  const double kept = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= kept;
  return p;
}

// Standard deviations by which the statistic is off; +100 if an impossible token was drawn.
double deviation(const std::vector<int32_t>& ids, const std::vector<double>& p) {
  std::vector<double> seen(p.size());
  for (const int32_t id : ids) ++seen[static_cast<size_t>(id)];
  double statistic = 0, rare = 0, rare_seen = 0;
  int bins = 0;
  const auto add = [&](double expected, double found) {
    statistic += (found - expected) * (found - expected) / expected;
    ++bins;
  };
  for (size_t i = 0; i < p.size(); ++i) {
    const double expected = p[i] * static_cast<double>(ids.size());
    if (expected == 0 && seen[i] > 0) return 100;
    if (expected >= 10) {
      add(expected, seen[i]);
    } else {
      rare += expected;
      rare_seen += seen[i];
    }
  }
  if (rare >= 10) add(rare, rare_seen);
  if (bins < 2) return 0;
  const double df = bins - 1, spread = 2 / (9 * df);
  return (std::cbrt(statistic / df) - (1 - spread)) / std::sqrt(spread);
}

std::vector<Case> cases() {
  return {{"temperature 1", sampling(1)},
          {"temperature 0.6", sampling(0.6f)},
          {"temperature 1.7", sampling(1.7f)},
          {"top-k 10", sampling(1, 10)},
          {"top-p 0.8", sampling(1, 0, 0.8f)},
          {"min-p 0.1", sampling(1, 0, 0, 0.1f)},
          {"top-k 40 top-p 0.9", sampling(0.8f, 40, 0.9f)},
          {"min-p 0.02 top-p 0.7", sampling(1.3f, 0, 0.7f, 0.02f)},
          {"min-p 0.05 top-k 12", sampling(1.5f, 12, 0, 0.05f)},
          {"min-p 0.01 top-k 60 top-p 0.95", sampling(1.2f, 60, 0.95f, 0.01f, 0xfedcba9876543210u)}};
}

TEST(SamplingDistribution, DrawsFollowTheReference) {
  Cpu cpu;
  for (const int64_t vocab : {2, 150, 1536}) {
    const auto logits = normal_logits(vocab, static_cast<uint32_t>(vocab) + 1, 2);
    for (const Case& c : cases()) {
      const double off = deviation(draw_many(cpu, logits, c.row, kDraws, 1000), probabilities(logits, c.row));
      EXPECT_LT(std::fabs(off), kAccept) << c.name << ", V " << vocab;
    }
  }
}

// The yardstick itself must notice small mistakes.
TEST(SamplingDistribution, WrongReferenceIsNoticed) {
  Cpu cpu;
  const auto logits = normal_logits(150, 151, 2);
  const auto ids = draw_many(cpu, logits, sampling(1), kDraws, 1000);
  EXPECT_GT(deviation(ids, probabilities(logits, sampling(1.03f))), kAccept);
  EXPECT_GT(deviation(ids, probabilities(logits, sampling(1, 140))), kAccept);
  EXPECT_GT(deviation(ids, probabilities(logits, sampling(1, 0, 0.999f))), kAccept);
  auto shifted = probabilities(logits, sampling(1));
  std::rotate(shifted.begin(), shifted.begin() + 1, shifted.end());
  EXPECT_GT(deviation(ids, shifted), kAccept);
}

// Also seeds, at one position, must be independent.
TEST(SamplingDistribution, SeedsAreIndependent) {
  Cpu cpu;
  constexpr int32_t kBatch = 1000;
  const auto logits = normal_logits(64, 3, 1.5f);
  std::vector<float> repeated;
  std::vector<int32_t> sample_rows;
  for (int32_t i = 0; i < kBatch; ++i) {
    repeated.insert(repeated.end(), logits.begin(), logits.end());
    sample_rows.insert(sample_rows.end(), {i, i, 17, 0});
  }
  std::vector<int32_t> ids;
  for (uint64_t first = 0; first < kDraws; first += kBatch) {
    std::vector<vn_sampling_row> rows;
    for (uint64_t i = 0; i < kBatch; ++i) rows.push_back(sampling(1, 0, 0, 0, first + i));
    const auto out = run_sample(cpu, repeated.data(), 64, 64, sample_rows, rows);
    ids.insert(ids.end(), out.ids.begin(), out.ids.end());
  }
  EXPECT_LT(std::fabs(deviation(ids, probabilities(logits, sampling(1)))), kAccept);
}

}  // namespace
