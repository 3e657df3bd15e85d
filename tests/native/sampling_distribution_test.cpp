// 100000 draws at fixed seeds against probabilities in double precision, and nothing drawn outside the kept set.
#include <algorithm>

#include "distribution_support.h"

namespace {

using namespace vn_test;

TEST(SamplingDistribution, DrawsFollowTheReference) {
  Cpu cpu;
  for (const int64_t vocab : {2, 150, 1536}) {
    const auto logits = normal_logits(vocab, static_cast<uint32_t>(vocab) + 1, 2);
    for (const DistributionCase& c : distribution_cases()) {
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
