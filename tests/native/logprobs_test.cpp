// vn_logprobs against double precision and a full sort.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "sampling_support.h"

namespace {

using namespace vn_test;

struct Logprobs {
  std::vector<float> logprob;
  std::vector<int32_t> rank;
  std::vector<int32_t> top_ids;
  std::vector<float> top_logprobs;
};

Logprobs run(Cpu& cpu, const float* logits, int64_t vocab, int64_t stride, std::vector<int32_t> ids, int64_t top) {
  const auto rows = static_cast<int64_t>(ids.size());
  const auto n = static_cast<size_t>(rows), m = static_cast<size_t>(rows * top);
  Logprobs out{std::vector<float>(n + 1, 77), std::vector<int32_t>(n + 1, 78), std::vector<int32_t>(m + 1, 79),
               std::vector<float>(m + 1, 80)};
  vn_logprobs_params params{};
  params.struct_size = sizeof params;
  params.logits = tensor(const_cast<float*>(logits), VN_DTYPE_F32, rows, vocab, stride);
  params.ids = tensor(ids.data(), VN_DTYPE_I32, rows);
  params.out_logprob = tensor(out.logprob.data(), VN_DTYPE_F32, rows);
  params.out_rank = tensor(out.rank.data(), VN_DTYPE_I32, rows);
  if (top > 0) {
    params.out_top_ids = tensor(out.top_ids.data(), VN_DTYPE_I32, rows, top);
    params.out_top_logprobs = tensor(out.top_logprobs.data(), VN_DTYPE_F32, rows, top);
  }
  EXPECT_EQ(VN_OK, vn_logprobs(cpu.stream, &params)) << vn_last_error();
  EXPECT_EQ(77, out.logprob.back());
  EXPECT_EQ(78, out.rank.back());
  EXPECT_EQ(79, out.top_ids.back());
  EXPECT_EQ(80, out.top_logprobs.back());
  return out;
}

double log_sum(const float* logits, int64_t vocab) {
  const double max = *std::max_element(logits, logits + vocab);
  double sum = 0;
  for (int64_t i = 0; i < vocab; ++i) sum += std::exp(logits[i] - max);
  return max + std::log(sum);
}

void check(Cpu& cpu, const std::vector<float>& logits, int64_t rows, int64_t vocab, int64_t top) {
  std::vector<int32_t> ids;
  for (int64_t r = 0; r < rows; ++r) ids.push_back(static_cast<int32_t>((r * 7919 + vocab / 2) % vocab));
  const Logprobs out = run(cpu, logits.data(), vocab, vocab, ids, top);
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = logits.data() + r * vocab;
    const double sum = log_sum(row, vocab);
    const float x = row[ids[static_cast<size_t>(r)]];
    const auto near = [&](double expected, float found) {
      if (expected == -kInf) {
        EXPECT_EQ(-kInf, found);
      } else {
        EXPECT_NEAR(expected, found, 4e-7 * (1 + std::fabs(expected)));
      }
    };
    near(x - sum, out.logprob[static_cast<size_t>(r)]);
    EXPECT_EQ(1 + std::count_if(row, row + vocab, [&](float y) { return y > x; }), out.rank[static_cast<size_t>(r)]);
    std::vector<int32_t> order(static_cast<size_t>(vocab));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
    for (int64_t i = 0; i < top; ++i) {
      ASSERT_EQ(order[static_cast<size_t>(i)], out.top_ids[static_cast<size_t>(r * top + i)]) << "V " << vocab << " N " << top << " i " << i;
      near(row[order[static_cast<size_t>(i)]] - sum, out.top_logprobs[static_cast<size_t>(r * top + i)]);
    }
  }
}

TEST(Logprobs, MatchDoubleAndSort) {
  Cpu cpu;
  for (const int64_t vocab : {1, 2, 15, 16, 1023, 1536, 5000}) {
    for (const int64_t top : {0, 1, 2, 5, 20, 1000, 5000}) {
      if (top > vocab) continue;
      check(cpu, normal_logits(3 * vocab, 1, 3), 3, vocab, top);
      check(cpu, tied_logits(3 * vocab, 2, 2), 3, vocab, top);
    }
  }
}

TEST(Logprobs, LargeVocabulary) {
  Cpu cpu;
  for (const int64_t top : {0, 5, 1000}) {
    check(cpu, normal_logits(2 * 128256, 3, 2.5f), 2, 128256, top);
    check(cpu, tied_logits(2 * 128256, 4, 1), 2, 128256, top);
    check(cpu, std::vector<float>(2 * 128256, 0.5f), 2, 128256, top);
  }
  std::vector<float> rising(262144);
  std::iota(rising.begin(), rising.end(), 0.0f);
  for (float& x : rising) x *= 1e-4f;
  check(cpu, rising, 1, 262144, 1000);
}

TEST(Logprobs, MaskedTokens) {
  Cpu cpu;
  auto logits = normal_logits(2 * 700, 5, 2);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = i % 3 == 1 ? -kInf : logits[i];
  check(cpu, logits, 2, 700, 700);
  const Logprobs out = run(cpu, logits.data(), 700, 700, {1}, 0);
  EXPECT_EQ(-kInf, out.logprob[0]);
}

TEST(Logprobs, RowsDoNotDependOnTheBatch) {
  Cpu cpu;
  constexpr int64_t kVocab = 2077, kStride = 2100, kTop = 9;
  const auto logits = normal_logits(32 * kStride, 6, 2);
  std::vector<int32_t> ids;
  for (int32_t r = 0; r < 32; ++r) ids.push_back(r * 5);
  const Logprobs all = run(cpu, logits.data(), kVocab, kStride, ids, kTop);
  for (size_t r = 0; r < 32; ++r) {
    const Logprobs one = run(cpu, logits.data() + r * kStride, kVocab, kStride, {ids[r]}, kTop);
    EXPECT_EQ(0, std::memcmp(&one.logprob[0], &all.logprob[r], 4));
    EXPECT_EQ(one.rank[0], all.rank[r]);
    EXPECT_EQ(0, std::memcmp(one.top_logprobs.data(), &all.top_logprobs[r * kTop], kTop * 4));
    EXPECT_EQ(0, std::memcmp(one.top_ids.data(), &all.top_ids[r * kTop], kTop * 4));
  }
}

TEST(Logprobs, BadRowsAndIdsAreHarmless) {
  Cpu cpu;
  constexpr int64_t kVocab = 1030;
  auto logits = normal_logits(5 * kVocab, 8, 1);
  logits[500] = kNan;
  logits[kVocab + 3] = kInf;
  std::fill_n(logits.begin() + 2 * kVocab, kVocab, -kInf);
  const Logprobs out = run(cpu, logits.data(), kVocab, kVocab, {500, 3, 4, -1, kVocab}, 4);
  for (size_t r = 0; r < 5; ++r) EXPECT_TRUE(std::isnan(out.logprob[r])) << r;
  EXPECT_EQ(0, out.rank[3]);
  EXPECT_EQ(0, out.rank[4]);
  for (size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(static_cast<int32_t>(i % 4), out.top_ids[i]);
    EXPECT_TRUE(std::isnan(out.top_logprobs[i]));
  }
  EXPECT_FALSE(std::isnan(out.top_logprobs[12])) << "a bad id does not spoil its row's top list";
}

}  // namespace
