// CUDA against the CPU: sampled ids and flags must be the same without exception, for well over 100,000 rows of all settings;
// log-probabilities within 1e-6, their ids and ranks exactly.
#include <algorithm>
#include <cstdio>
#include <random>
#include <string>

#include "parity_support.h"
#include "sampling_support.h"

namespace {

using namespace parity;

using vn_test::kInf;
using vn_test::kNan;
using vn_test::sampling;

class SampleParity : public parity::Test {};
class LogprobsParity : public parity::Test {};

enum class Kind { kNormal, kTied, kEqual, kNarrow, kMasked, kPeaked, kTwoLevels, kFewLeft, kKinds };

std::vector<float> logits_of(Kind kind, int64_t vocab, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> out(static_cast<size_t>(vocab));
  for (float& x : out) x = normal(random);
  for (size_t i = 0; i < out.size(); ++i) {
    float& x = out[i];
    switch (kind) {
      case Kind::kNormal: x *= 2.5f; break;
      case Kind::kTied: x = std::nearbyint(x * 4) / 2; break;
      case Kind::kEqual: x = -1.5f; break;
      case Kind::kNarrow: x *= 0.01f; break;
      case Kind::kMasked: x = random() % 3 != 0 ? -kInf : x * 6; break;
      case Kind::kPeaked: x = random() % 997 == 0 ? 15 + x : x - 5; break;
      case Kind::kTwoLevels: x = random() % 2 == 0 ? 0.0f : -0.0f - (random() % 2 == 0 ? 1.0f : 0.0f); break;
      default: x = i % 701 == 5 || i == 0 ? x : -kInf; break;
    }
  }
  return out;
}

std::vector<vn_sampling_row> settings() {
  std::vector<vn_sampling_row> rows;
  for (const float temperature : {0.0f, 0.01f, 0.7f, 1.0f, 2.0f, kInf}) {
    for (const int32_t top_k : {0, 1, 2, 50, 1000, 2048, 2049, 20000, 1 << 24}) {
      for (const float top_p : {0.0f, 1e-6f, 0.3f, 0.9f, 0.999f, 1.0f}) {
        for (const float min_p : {0.0f, 0.05f, 1.0f}) {
          rows.push_back(sampling(temperature, top_k, top_p, min_p, rows.size() * 0x9E3779B97F4A7C15u));
        }
      }
    }
  }
  return rows;
}

std::string text_of(const vn_sampling_row& row) {
  char text[128];
  std::snprintf(text, sizeof text, "t %g k %d p %g min_p %g", static_cast<double>(row.temperature), row.top_k,
                static_cast<double>(row.top_p), static_cast<double>(row.min_p));
  return text;
}

// Samples every row of the batch on both sides; returns how many rows there were. Row i uses setting i % settings.
class Sampler {
 public:
  Sampler(int64_t rows, int64_t vocab, int64_t stride, std::vector<vn_sampling_row> rows_of_state)
      : rows_(rows), vocab_(vocab), logits_(VN_DTYPE_F32, {rows, stride}), sample_rows_(VN_DTYPE_I32, {rows, 4}),
        state_(std::move(rows_of_state)), workspace_(bytes_on(devices().cpu), bytes_on(devices().cuda)) {
    for (int64_t r = 0; r < rows; ++r) {
      int32_t* row = sample_rows_.host().ints() + 4 * r;
      row[0] = row[3] = 0;
      row[1] = static_cast<int32_t>(r % static_cast<int64_t>(state_.host().size()));
    }
  }

  float* row(int64_t r) { return static_cast<float*>(logits_.host().data()) + r * (logits_.host().count() / rows_); }
  int32_t* sample_row(int64_t r) { return sample_rows_.host().ints() + 4 * r; }
  // Row r = base, moved r places.
  void fill(const std::vector<float>& base) {
    for (int64_t r = 0; r < rows_; ++r) {
      std::rotate_copy(base.begin(), base.begin() + r % vocab_, base.end(), row(r));
    }
  }
  void upload() { logits_.upload(); }

  // Positions first, first + 1, ...
  int64_t compare(const std::string& what, int32_t first, bool all_greedy = false) {
    for (int64_t r = 0; r < rows_; ++r) sample_row(r)[2] = first + static_cast<int32_t>(r);
    sample_rows_.upload();
    Twin ids(VN_DTYPE_I32, {rows_}), flags(VN_DTYPE_I32, {rows_});
    auto p = params_of<vn_sample_params>();
    p.all_greedy = all_greedy;
    p.max_seqs = static_cast<int64_t>(state_.host().size());
    if (!run(vn_sample, p, [&](auto& q, Side side) {
          q.logits = logits_.view(logits_.host().columns(0, vocab_), side);
          q.sample_rows = sample_rows_.tensor(side);
          q.sampling = all_greedy ? nullptr : state_.data(side);
          q.out_ids = ids.tensor(side);
          q.out_flags = flags.tensor(side);
          q.workspace = workspace_.data(side);
          q.workspace_bytes = workspace_.bytes(side);
        })) {
      return 0;
    }
    EXPECT_TRUE(workspace_.guard_intact()) << what;
    expect_same(flags, what + ": flags");
    const Array got = ids.download();
    EXPECT_TRUE(got.guards_intact()) << what;
    int wrong = 0;
    for (int64_t r = 0; r < rows_; ++r) {
      const int32_t expected = ids.host().ints()[r], found = got.as_ints()[static_cast<size_t>(r)];
      if (expected == found) continue;
      if (++wrong > 5) continue;
      ADD_FAILURE() << what << ", row " << r << " (" << text_of(state_.host()[static_cast<size_t>(sample_row(r)[1]) %
                                                                              state_.host().size()])
                    << "): CPU " << expected << ", CUDA " << found;
    }
    EXPECT_EQ(0, wrong) << what;
    return rows_;
  }

 private:
  int64_t bytes_on(vn_device* device) const {
    int64_t bytes = -1;
    EXPECT_EQ(VN_OK, vn_sample_workspace_size(device, rows_, vocab_, &bytes)) << vn_last_error();
    return bytes;
  }

  int64_t rows_, vocab_;
  Twin logits_, sample_rows_;
  TwinOf<vn_sampling_row> state_;
  Workspace workspace_;
};

std::string batch_text(int64_t vocab, int64_t stride, int64_t rows, int kind) {
  return "V " + std::to_string(vocab) + " stride " + std::to_string(stride) + " S " + std::to_string(rows) + " kind " +
         std::to_string(kind);
}

TEST_F(SampleParity, AllSettingsOnManyVocabularies) {
  const auto state = settings();
  const auto rows = static_cast<int64_t>(state.size());
  int64_t sampled = 0;
  for (const int64_t vocab : parity::sizes({1, 2, 3, 15, 16, 17, 127, 1000, 1023, 1025, 3001, 5000})) {
    for (const int64_t stride : {vocab, (vocab + 7) / 4 * 4}) {
      Sampler sampler(rows, vocab, stride, state);
      for (int kind = 0; kind < static_cast<int>(Kind::kKinds); ++kind) {
        sampler.fill(logits_of(static_cast<Kind>(kind), vocab, static_cast<uint32_t>(vocab) + 31 * static_cast<uint32_t>(kind)));
        sampler.upload();
        sampled += sampler.compare(batch_text(vocab, stride, rows, kind), 1000 * kind);
        if (HasFatalFailure()) return;
      }
    }
  }
  std::printf("rows sampled: %lld\n", static_cast<long long>(sampled));
  EXPECT_GE(sampled, 100000);
}

TEST_F(SampleParity, LargeVocabulariesInOneBatch) {
  const auto state = settings();
  for (const int64_t vocab : parity::sizes({32000, 50257, 128256})) {
    const int64_t rows = vocab == 128256 ? 324 : static_cast<int64_t>(state.size());
    Sampler sampler(rows, vocab, vocab, state);
    for (int kind = 0; kind < static_cast<int>(Kind::kKinds); ++kind) {
      if (vocab == 128256) {  // each kind tests another third of the settings
        for (int64_t r = 0; r < rows; ++r) sampler.sample_row(r)[1] = static_cast<int32_t>(3 * r + kind % 3);
      }
      sampler.fill(logits_of(static_cast<Kind>(kind), vocab, 77 + static_cast<uint32_t>(kind)));
      sampler.upload();
      sampler.compare(batch_text(vocab, vocab, rows, kind), 50);
    }
  }
}

// Small batches are cut among more blocks: all sizes of a team.
TEST_F(SampleParity, BatchesOfEverySize) {
  auto state = settings();
  std::mt19937 random(12);
  std::shuffle(state.begin(), state.end(), random);
  for (const int64_t vocab : parity::sizes({4097, 151936})) {
    for (const int64_t rows : {1, 2, 5, 33, 34, 66, 67, 132, 133}) {
      Sampler sampler(rows, vocab, vocab + 3, state);
      for (int kind = 0; kind < static_cast<int>(Kind::kKinds); ++kind) {
        sampler.fill(logits_of(static_cast<Kind>(kind), vocab, 5 + static_cast<uint32_t>(kind)));
        sampler.upload();
        for (int64_t r = 0; r < rows; ++r) {
          sampler.sample_row(r)[1] = static_cast<int32_t>(random() % state.size());
        }
        sampler.compare(batch_text(vocab, vocab + 3, rows, kind), 9);
      }
    }
  }
}

TEST_F(SampleParity, GreedyTakesTheLowestIdAmongEquals) {
  for (const int64_t vocab : parity::sizes({1, 2, 5, 1000, 128256})) {
    for (const int64_t rows : {1, 40, 150}) {
      for (const int64_t stride : {vocab, vocab + 1, (vocab + 7) / 4 * 4}) {
        if (rows * stride > 7000000 && stride != vocab) continue;
        Sampler sampler(rows, vocab, stride, {sampling(0, 0, 0, 0, 1)});
        for (const Kind kind : {Kind::kNormal, Kind::kTied, Kind::kEqual, Kind::kTwoLevels, Kind::kFewLeft}) {
          sampler.fill(logits_of(kind, vocab, 3));
          sampler.upload();
          sampler.compare(batch_text(vocab, stride, rows, static_cast<int>(kind)), 0, true);
          sampler.compare(batch_text(vocab, stride, rows, static_cast<int>(kind)) + " by setting", 0, false);
        }
      }
    }
  }
}

TEST_F(SampleParity, BadRowsAreFlaggedAndOthersUnharmed) {
  for (const int64_t vocab : parity::sizes({1, 3, 40, 1100, 50001})) {
    constexpr int64_t kRows = 12;
    std::vector<vn_sampling_row> state(kRows, sampling(1, 0, 0, 0, 5));
    state[1] = state[6] = sampling(0, 0, 0, 0, 5);
    state[2] = sampling(1, 2, 0.5f, 0, 5);
    state[7] = sampling(kNan, -4, kNan, kNan, 5);
    state[8] = sampling(-1, 7, 2, -3, 5);
    state[9] = sampling(1, -4, -0.5f, kNan, 5);
    state[10] = sampling(1e-6f, 7, 0.5f, 0.5f, 5);
    Sampler sampler(kRows, vocab, vocab, state);
    sampler.fill(logits_of(Kind::kNormal, vocab, 9));
    sampler.row(0)[vocab - 1] = kNan;
    sampler.row(1)[vocab / 2] = kNan;
    sampler.row(2)[0] = kInf;
    std::fill_n(sampler.row(3), vocab, -kInf);
    sampler.upload();
    sampler.sample_row(4)[1] = kRows;
    sampler.sample_row(5)[1] = -1;
    sampler.compare("V " + std::to_string(vocab), 5);
    sampler.compare("V " + std::to_string(vocab) + " greedy", 5, true);
  }
}

TEST_F(SampleParity, AnEmptyBatch) {
  Sampler sampler(0, 100, 100, {sampling(1, 0, 0, 0, 1)});
  sampler.compare("no rows", 0);
}

TEST_F(LogprobsParity, IdsRanksAndValues) {
  for (const int64_t vocab : parity::sizes({1, 5, 1000, 4097, 128256})) {
    for (const int64_t stride : {vocab, (vocab + 7) / 4 * 4}) {
      for (const int64_t top : {0, 1, 5, 20, 300, 3000}) {
        if (top > vocab || (vocab > 5000 && top > 300)) continue;
        constexpr int64_t kKinds = static_cast<int64_t>(Kind::kKinds), kRows = kKinds + 5;
        const std::string what = batch_text(vocab, stride, kRows, -1) + " N " + std::to_string(top);
        SCOPED_TRACE(what);
        Twin logits(VN_DTYPE_F32, {kRows, stride}), ids(VN_DTYPE_I32, {kRows});
        Twin logprob(VN_DTYPE_F32, {kRows}), rank(VN_DTYPE_I32, {kRows});
        Twin top_ids(VN_DTYPE_I32, {kRows, top}), top_logprobs(VN_DTYPE_F32, {kRows, top});
        auto* data = static_cast<float*>(logits.host().data());
        for (int64_t r = 0; r < kRows; ++r) {
          const auto row = logits_of(static_cast<Kind>(r % kKinds), vocab, static_cast<uint32_t>(r));
          std::copy(row.begin(), row.end(), data + r * stride);
          ids.host().ints()[r] = static_cast<int32_t>((r * 7919) % vocab);
        }
        data[kKinds * stride + vocab / 2] = kNan;
        data[(kKinds + 1) * stride] = kInf;
        std::fill_n(data + (kKinds + 2) * stride, vocab, -kInf);
        ids.host().ints()[kKinds + 3] = -1;
        ids.host().ints()[kKinds + 4] = static_cast<int32_t>(vocab);
        logits.upload();
        ids.upload();
        if (!run(vn_logprobs, params_of<vn_logprobs_params>(), [&](auto& q, Side side) {
              q.logits = logits.view(logits.host().columns(0, vocab), side);
              q.ids = ids.tensor(side);
              q.out_logprob = logprob.tensor(side);
              q.out_rank = rank.tensor(side);
              if (top > 0) {
                q.out_top_ids = top_ids.tensor(side);
                q.out_top_logprobs = top_logprobs.tensor(side);
              }
            })) {
          return;
        }
        expect_close(logprob, {1e-6, 1e-6}, what + ": logprob");
        expect_same(rank, what + ": rank");
        expect_same(top_ids, what + ": top ids");
        expect_close(top_logprobs, {1e-6, 1e-6}, what + ": top logprobs");
      }
    }
  }
}

}  // namespace
