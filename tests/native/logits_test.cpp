// vn_logits_edit, vn_token_counts, vn_logits_penalties.
#include "sampling_support.h"

namespace {

using namespace vn_test;

void edit(Cpu& cpu, std::vector<float>& logits, int64_t rows, int64_t vocab, int64_t stride,
          std::vector<int32_t> positions, std::vector<float> values) {
  vn_logits_edit_params params{};
  params.struct_size = sizeof params;
  params.num_edits = static_cast<int32_t>(values.size());
  params.logits = tensor(logits.data(), VN_DTYPE_F32, rows, vocab, stride);
  params.positions = tensor(positions.data(), VN_DTYPE_I32, static_cast<int64_t>(values.size()), 2);
  params.values = tensor(values.data(), VN_DTYPE_F32, static_cast<int64_t>(values.size()));
  ASSERT_EQ(VN_OK, vn_logits_edit(cpu.stream, &params)) << vn_last_error();
}

void count(Cpu& cpu, std::vector<int32_t>& counts, int64_t slots, int64_t vocab, std::vector<int32_t> updates) {
  vn_token_counts_params params{};
  params.struct_size = sizeof params;
  params.num_updates = static_cast<int32_t>(updates.size() / 4);
  params.counts = tensor(counts.data(), VN_DTYPE_I32, slots, vocab);
  params.updates = tensor(updates.data(), VN_DTYPE_I32, params.num_updates, 4);
  ASSERT_EQ(VN_OK, vn_token_counts(cpu.stream, &params)) << vn_last_error();
}

void penalise(Cpu& cpu, std::vector<float>& logits, int64_t vocab, std::vector<int32_t> sample_rows,
              std::vector<int32_t> counts, const std::vector<vn_sampling_row>& rows) {
  const auto count_rows = static_cast<int64_t>(sample_rows.size()) / 4;
  vn_logits_penalties_params params{};
  params.struct_size = sizeof params;
  params.logits = tensor(logits.data(), VN_DTYPE_F32, count_rows, vocab);
  params.sample_rows = tensor(sample_rows.data(), VN_DTYPE_I32, count_rows, 4);
  params.counts = tensor(counts.data(), VN_DTYPE_I32, static_cast<int64_t>(counts.size()) / vocab, vocab);
  params.sampling = rows.data();
  params.max_seqs = static_cast<int64_t>(rows.size());
  ASSERT_EQ(VN_OK, vn_logits_penalties(cpu.stream, &params)) << vn_last_error();
}

vn_sampling_row penalties(int32_t slot, float repetition, float frequency, float presence) {
  vn_sampling_row row = sampling(1);
  row.count_slot = slot;
  row.repetition_penalty = repetition;
  row.frequency_penalty = frequency;
  row.presence_penalty = presence;
  return row;
}

TEST(LogitsEdit, AddsInOrderAndSkipsWhatIsOutside) {
  Cpu cpu;
  constexpr int64_t kVocab = 7, kStride = 9;
  std::vector<float> logits(2 * kStride + 4, 1.0f);
  edit(cpu, logits, 2, kVocab, kStride,
       {0, 0, 0, 6, 1, 3, 1, 3, /* outside */ -1, 0, 2, 0, 0, 7, 1, -1, 1, INT32_MAX, INT32_MIN, INT32_MIN},
       {2.5f, -kInf, 0.25f, -4.0f, 9, 9, 9, 9, 9, 9});
  for (size_t i = 0; i < logits.size(); ++i) {
    const float expected = i == 0 ? 3.5f : i == 6 ? -kInf : i == kStride + 3 ? -2.75f : 1.0f;
    EXPECT_EQ(expected, logits[i]) << i;
  }
  edit(cpu, logits, 2, kVocab, kStride, {0, 6}, {100.0f});
  EXPECT_EQ(-kInf, logits[6]) << "a bias does not lift a ban";
}

TEST(LogitsMask, BansWhatTheMaskDoesNotAllow) {
  Cpu cpu;
  constexpr int64_t kVocab = 70, kStride = 72;
  std::vector<float> logits(3 * kStride, 1.0f);
  std::vector<int32_t> rows = {2, 0, 3, -1};
  std::vector<int32_t> bits = {1 << 5, INT32_MIN, 1 << 5, -1, -1, 0, 0, 0, 0, 0, 0, 0};
  vn_logits_mask_params params{};
  params.struct_size = sizeof params;
  params.num_masks = 4;
  params.logits = tensor(logits.data(), VN_DTYPE_F32, 3, kVocab, kStride);
  params.rows = tensor(rows.data(), VN_DTYPE_I32, 4);
  params.bits = tensor(bits.data(), VN_DTYPE_I32, 4, 3);
  ASSERT_EQ(VN_OK, vn_logits_mask(cpu.stream, &params)) << vn_last_error();
  for (int64_t id = 0; id < kStride; ++id) {
    EXPECT_EQ(id < 64 || id >= kVocab ? 1.0f : -kInf, logits[id]) << id;
    EXPECT_EQ(1.0f, logits[kStride + id]) << id;
    EXPECT_EQ(id == 5 || id == 63 || id == 69 || id >= kVocab ? 1.0f : -kInf, logits[2 * kStride + id]) << id;
  }
  params.num_masks = 5;
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_logits_mask(cpu.stream, &params));
}

TEST(TokenCounts, UpdatesInOrder) {
  Cpu cpu;
  constexpr int64_t kVocab = 6;
  std::vector<int32_t> counts(3 * kVocab + 8, 5);
  count(cpu, counts, 3, kVocab,
        {0, -1, 0, 0, 0, 2, 1, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 1, 0, 0, 4, 1, 0,  //
         2, 1, 0, 0, 2, -1, 0, 0, 2, 5, 0, 0,                                                  //
         -1, 0, 0, 0, 3, -1, 0, 0, 0, 6, 0, 0, 0, -2, 1, 0, INT32_MAX, 0, 0, 0});
  const std::vector<int32_t> first = {0, 0, INT32_MIN + 2, 1, INT32_MIN, 0};
  for (size_t i = 0; i < kVocab; ++i) {
    EXPECT_EQ(first[i], counts[i]) << i;
    EXPECT_EQ(5, counts[kVocab + i]) << "untouched slot";
    EXPECT_EQ(i == 5 ? 1 : 0, counts[2 * kVocab + i]) << "cleared, then counted";
  }
  for (size_t i = 3 * kVocab; i < counts.size(); ++i) EXPECT_EQ(5, counts[i]) << "guard";
}

TEST(TokenCounts, FullCounterDoesNotReachThePromptBit) {
  Cpu cpu;
  std::vector<int32_t> counts = {INT32_MAX, -1};
  count(cpu, counts, 1, 2, {0, 0, 0, 0, 0, 1, 0, 0});
  EXPECT_EQ((std::vector<int32_t>{INT32_MAX, -1}), counts);
}

TEST(LogitsPenalties, MatchReferenceInEveryRow) {
  Cpu cpu;
  for (const int64_t vocab : {1, 2, 15, 1536, 40000}) {
    constexpr int64_t kRows = 7, kSlots = 3;
    std::mt19937 random(static_cast<uint32_t>(vocab));
    const auto before = normal_logits(kRows * vocab, random(), 4);
    std::vector<int32_t> counts(static_cast<size_t>(kSlots * vocab));
    for (int32_t& c : counts) {
      const uint32_t kind = random() % 8;
      c = kind == 0 ? 1 + static_cast<int32_t>(random() % 900) : kind == 1 ? INT32_MIN : kind == 2 ? INT32_MIN + 3 : 0;
    }
    const std::vector<vn_sampling_row> rows = {penalties(2, 1.3f, 0, 0),  penalties(0, 0, 0.37f, 0),   penalties(1, 1, 0, -1.5f),
                                               penalties(1, 0.8f, -0.1f, 2), penalties(-1, 2, 1, 1),   penalties(3, 2, 1, 1)};
    // Request 6 does not exist, 4 counts nothing, 5 names a slot that does not exist: unchanged.
    const std::vector<int32_t> sample_rows = {0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 6, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0};
    auto after = before;
    penalise(cpu, after, vocab, sample_rows, counts, rows);
    for (int64_t r = 0; r < kRows; ++r) {
      const int32_t request = sample_rows[static_cast<size_t>(4 * r + 1)];
      for (int64_t i = 0; i < vocab; ++i) {
        const auto at = static_cast<size_t>(r * vocab + i);
        double expected = before[at];
        if (request < 4) {
          const vn_sampling_row& row = rows[static_cast<size_t>(request)];
          const int32_t c = counts[static_cast<size_t>(row.count_slot * vocab + i)];
          const double p = row.repetition_penalty == 0 ? 1 : row.repetition_penalty;
          if (c != 0) expected = expected > 0 ? expected / p : expected * p;
          const int32_t generated = c & INT32_MAX;
          if (generated > 0) expected -= static_cast<double>(row.frequency_penalty) * generated + row.presence_penalty;
        }
        ASSERT_NEAR(expected, after[at], 1e-6 * (std::fabs(expected) + 20)) << "V " << vocab << " row " << r << " id " << i;
        if (request >= 4) {
          ASSERT_EQ(before[at], after[at]);
        }
      }
    }
  }
}

TEST(LogitsPenalties, BannedTokensStayBanned) {
  Cpu cpu;
  std::vector<float> logits = {-kInf, 2.0f, -kInf};
  penalise(cpu, logits, 3, {0, 0, 0, 0}, {3, INT32_MIN + 2, INT32_MIN}, {penalties(0, 2, -0.5f, -0.25f)});
  EXPECT_EQ(-kInf, logits[0]);
  EXPECT_EQ(2.25f, logits[1]) << "2 / 2 + 0.5 * 2 + 0.25";
  EXPECT_EQ(-kInf, logits[2]);
}

}  // namespace
