// A draw depends on seed, position, logits and parameters of its row alone: the same on the CPU and on CUDA, alone and in any
// batch. Rows go the way of a step: edits, penalties, sampling. And what CUDA draws has the distribution that was asked for.
#include <algorithm>
#include <cstdio>
#include <random>
#include <string>

#include "distribution_support.h"
#include "parity_support.h"

namespace {

using namespace parity;

class DrawsParity : public parity::Test {};

// Uniform numbers, quick enough for hundreds of millions of logits.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t x = state_ += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
  }
  int64_t below(int64_t n) { return static_cast<int64_t>(next() % static_cast<uint64_t>(n)); }
  float uniform(float low, float high) { return low + (high - low) * static_cast<float>(next() >> 40) * 0x1p-24f; }
  // Nearly normal, with deviation 1.
  float bell() {
    const uint64_t x = next();
    const auto sum = static_cast<int32_t>((x & 0xffff) + (x >> 16 & 0xffff) + (x >> 32 & 0xffff) + (x >> 48));
    return static_cast<float>(sum - 131070) * (1.0f / 37837);
  }
  template <typename T, size_t n>
  T of(const T (&values)[n]) { return values[below(n)]; }

 private:
  uint64_t state_;
};

vn_sampling_row random_setting(Random& random, int64_t vocab, int32_t slots) {
  constexpr float kTemperatures[] = {0, 0.01f, 0.3f, 0.6f, 0.7f, 1, 1, 1.3f, 2};
  constexpr int32_t kTopK[] = {0, 0, 0, 1, 2, 10, 20, 50, 200, 256, 257, 400, 1000, 2049};
  constexpr float kTopP[] = {0, 0, 1, 1e-6f, 0.1f, 0.5f, 0.8f, 0.9f, 0.95f, 0.999f};
  constexpr float kMinP[] = {0, 0, 0, 0.01f, 0.05f, 0.3f, 1};
  vn_sampling_row row{};
  row.seed = random.next();
  row.temperature = random.below(3) == 0 ? random.uniform(0.05f, 2) : random.of(kTemperatures);
  row.top_k = random.below(8) == 0 ? static_cast<int32_t>(random.below(vocab + 2)) : random.of(kTopK);
  row.top_p = random.below(3) == 0 ? random.uniform(1e-3f, 1) : random.of(kTopP);
  row.min_p = random.below(5) == 0 ? random.uniform(0, 1) : random.of(kMinP);
  row.count_slot = random.below(2) == 0 ? -1 : static_cast<int32_t>(random.below(slots));
  row.repetition_penalty = random.below(2) == 0 ? 1 : random.uniform(0.5f, 2);
  row.frequency_penalty = random.below(2) == 0 ? 0 : random.uniform(-2, 2);
  row.presence_penalty = random.below(2) == 0 ? 0 : random.uniform(-2, 2);
  return row;
}

// What models give: spread in different degrees, with a few that stand out, in full precision or as a bf16 head gives them
// (many ties), whole parts masked or not.
void random_logits(Random& random, float* row, int64_t vocab) {
  const float deviation = random.uniform(0.2f, 4), base = random.uniform(-20, 20);
  for (int64_t i = 0; i < vocab; ++i) row[i] = base + deviation * random.bell();
  for (int64_t i = random.below(40); i > 0; --i) row[random.below(vocab)] += random.uniform(0, 15);
  switch (random.below(6)) {
    case 0:
      for (int64_t i = 0; i < vocab; ++i) row[i] = std::nearbyint(row[i] * 8) / 8;
      break;
    case 1:
      std::fill_n(row + vocab / 3, vocab / 2, -vn_test::kInf);
      break;
    default: break;
  }
}

int64_t workspace_bytes(vn_device* device, int64_t rows, int64_t vocab) {
  int64_t bytes = -1;
  EXPECT_EQ(VN_OK, vn_sample_workspace_size(device, rows, vocab, &bytes)) << vn_last_error();
  return bytes;
}

// A batch on both sides: row r of the logits samples as request r of the state.
class Batch {
 public:
  static constexpr int32_t kSlots = 6;

  Batch(int64_t rows, int64_t vocab, uint64_t seed)
      : rows_(rows), vocab_(vocab), logits_(VN_DTYPE_F32, {rows, vocab}), sample_rows_(VN_DTYPE_I32, {rows, 4}),
        counts_(VN_DTYPE_I32, {kSlots, vocab}), state_(settings(rows, vocab, seed)) {
    Random random(seed ^ 1);
    auto* logits = static_cast<float*>(logits_.host().data());
    for (int64_t r = 0; r < rows; ++r) {
      random_logits(random, logits + r * vocab, vocab);
      const int32_t row[] = {0, static_cast<int32_t>(r), static_cast<int32_t>(random.below(100000)), 0};
      std::copy_n(row, 4, sample_rows_.host().ints() + 4 * r);
    }
    for (int64_t i = 0; i < counts_.host().count(); ++i) {
      counts_.host().ints()[i] = random.below(9) ? 0 : static_cast<int32_t>(random.below(5)) | (random.below(2) ? 0 : INT32_MIN);
    }
    for (Twin* twin : {&logits_, &sample_rows_, &counts_}) twin->upload();
  }

  int64_t vocab() const { return vocab_; }

  bool edit_and_penalise(uint64_t seed) {
    Random random(seed);
    const int64_t edits = 3 * rows_;
    Twin positions(VN_DTYPE_I32, {edits, 2}), values(VN_DTYPE_F32, {edits});
    for (int64_t i = 0; i < edits; ++i) {
      positions.host().ints()[2 * i] = static_cast<int32_t>(random.below(rows_));
      positions.host().ints()[2 * i + 1] = static_cast<int32_t>(random.below(vocab_));
      values.host().set(i, random.below(4) == 0 ? -vn_test::kInf : random.uniform(-8, 8));
    }
    positions.upload();
    values.upload();
    auto edit = params_of<vn_logits_edit_params>();
    edit.num_edits = static_cast<int32_t>(edits);
    auto penalise = params_of<vn_logits_penalties_params>();
    penalise.max_seqs = rows_;
    return run(vn_logits_edit, edit, [&](auto& p, Side side) {
             p.logits = logits_.tensor(side);
             p.positions = positions.tensor(side);
             p.values = values.tensor(side);
           }) &&
           run(vn_logits_penalties, penalise, [&](auto& p, Side side) {
             p.logits = logits_.tensor(side);
             p.sample_rows = sample_rows_.tensor(side);
             p.counts = counts_.tensor(side);
             p.sampling = state_.data(side);
           });
  }

  void expect_same_logits(const std::string& what) { expect_same(logits_, what); }

  // The ids of rows [first, first + count) in a batch of their own, those of the CPU and of CUDA.
  struct Ids {
    std::vector<int32_t> cpu, cuda;
  };
  Ids sample(int64_t first, int64_t count) {
    Twin ids(VN_DTYPE_I32, {count}), flags(VN_DTYPE_I32, {count});
    Workspace workspace(workspace_bytes(devices().cpu, count, vocab_), workspace_bytes(devices().cuda, count, vocab_));
    auto params = params_of<vn_sample_params>();
    params.max_seqs = rows_;
    const bool good = run(vn_sample, params, [&](auto& p, Side side) {
      p.logits = part(logits_, first, count, side);
      p.sample_rows = part(sample_rows_, first, count, side);
      p.sampling = state_.data(side);
      p.out_ids = ids.tensor(side);
      p.out_flags = flags.tensor(side);
      p.workspace = workspace.data(side);
      p.workspace_bytes = workspace.bytes(side);
    });
    EXPECT_TRUE(workspace.guard_intact());
    expect_same(flags, "flags");
    if (!good) return {std::vector<int32_t>(static_cast<size_t>(count), -1), std::vector<int32_t>(static_cast<size_t>(count), -2)};
    return {ids.host().as_ints(), ids.download().as_ints()};
  }

  std::string text(int64_t r) {
    const vn_sampling_row& row = state_.host()[static_cast<size_t>(r)];
    char text[160];
    std::snprintf(text, sizeof text, "V %ld row %ld: t %g k %d p %g min_p %g", static_cast<long>(vocab_), static_cast<long>(r),
                  static_cast<double>(row.temperature), row.top_k, static_cast<double>(row.top_p), static_cast<double>(row.min_p));
    return text;
  }

 private:
  static std::vector<vn_sampling_row> settings(int64_t rows, int64_t vocab, uint64_t seed) {
    Random random(seed);
    std::vector<vn_sampling_row> out;
    for (int64_t r = 0; r < rows; ++r) out.push_back(random_setting(random, vocab, kSlots));
    return out;
  }
  static vn_tensor part(Twin& twin, int64_t first, int64_t count, Side side) {
    vn_tensor view = twin.tensor(side);
    view.data = static_cast<char*>(view.data) + first * view.stride[0] * 4;
    view.shape[0] = count;
    return view;
  }
  int64_t rows_, vocab_;
  Twin logits_, sample_rows_, counts_;
  TwinOf<vn_sampling_row> state_;
};

// Rows on which the two differ.
int64_t mismatches(Batch& batch, const std::vector<int32_t>& a, const std::vector<int32_t>& b, int64_t first, const char* what) {
  int64_t wrong = 0;
  for (size_t r = 0; r < a.size(); ++r) {
    if (a[r] == b[r]) continue;
    if (wrong++ < 3) ADD_FAILURE() << what << ", " << batch.text(first + static_cast<int64_t>(r)) << ": " << a[r] << " and " << b[r];
  }
  return wrong;
}

TEST_F(DrawsParity, AHundredThousandRowsOfAllSettings) {
  constexpr int64_t kSmallest = 512, kLargest = 128256;
  const auto limits = parity::sizes({kSmallest, 5000, kLargest});
  if (limits.empty()) GTEST_SKIP() << "VN_PARITY_LARGEST is below " << kSmallest;
  const int64_t largest = limits.back();
  const bool whole = largest == kLargest;
  int64_t rows = 0, wrong = 0;
  const auto compare = [&](int64_t count, int64_t vocab, uint64_t seed) {
    Batch batch(count, vocab, seed);
    if (!batch.edit_and_penalise(~seed)) return;
    if (seed % 8 == 0) batch.expect_same_logits("after edits and penalties");
    const Batch::Ids ids = batch.sample(0, count);
    wrong += mismatches(batch, ids.cpu, ids.cuda, 0, "CPU and CUDA");
    rows += count;
  };
  Random random(2026);
  const int64_t spread = std::min<int64_t>(largest, 4096) - kSmallest + 1;
  for (uint64_t i = 0; i < (whole ? 400 : 20); ++i) compare(256, kSmallest + random.below(spread), i);
  // 8, 4, 2 and 1 blocks a row.
  for (const int64_t count : {1, 20, 50, 128, 150}) compare(count, largest, 1000 + static_cast<uint64_t>(count));
  std::printf("rows %lld, mismatches %lld\n", static_cast<long long>(rows), static_cast<long long>(wrong));
  EXPECT_EQ(0, wrong);
  EXPECT_GE(rows, whole ? 100000 : 5000);
}

TEST_F(DrawsParity, SameBitsAloneAsInABatch) {
  for (const int64_t vocab : parity::sizes({700, 5000, 50257})) {
    constexpr int64_t kRows = 150;
    Batch batch(kRows, vocab, static_cast<uint64_t>(vocab));
    const Batch::Ids all = batch.sample(0, kRows);
    for (const int64_t count : {1, 7, 40, 100}) {
      for (int64_t first = 0; first < kRows; first += count == 1 ? 1 : count) {
        const int64_t some = std::min(count, kRows - first);
        const Batch::Ids part = batch.sample(first, some);
        const auto slice = [&](const std::vector<int32_t>& ids) {
          return std::vector<int32_t>(ids.begin() + first, ids.begin() + first + some);
        };
        const std::string what = std::to_string(count) + " of a batch";
        EXPECT_EQ(0, mismatches(batch, slice(all.cpu), part.cpu, first, (what + ", CPU").c_str()));
        EXPECT_EQ(0, mismatches(batch, slice(all.cuda), part.cuda, first, (what + ", CUDA").c_str()));
      }
    }
  }
}

// Draws ids of one row of logits at positions 0, 1, ... on CUDA.
class Drawer {
 public:
  Drawer(const std::vector<float>& logits, int64_t batch)
      : batch_(batch), vocab_(static_cast<int64_t>(logits.size())), logits_(VN_DTYPE_F32, {batch, vocab_}),
        sample_rows_(VN_DTYPE_I32, {batch, 4}), ids_(VN_DTYPE_I32, {batch}), flags_(VN_DTYPE_I32, {batch}),
        workspace_(0, workspace_bytes(devices().cuda, batch, vocab_)) {
    for (int64_t r = 0; r < batch; ++r) {
      std::copy(logits.begin(), logits.end(), static_cast<float*>(logits_.host().data()) + r * vocab_);
    }
    logits_.upload();
  }

  std::vector<int32_t> draw(const vn_sampling_row& row, int32_t draws) {
    TwinOf<vn_sampling_row> state({row});
    std::vector<int32_t> out;
    for (int32_t first = 0; first < draws; first += static_cast<int32_t>(batch_)) {
      for (int64_t r = 0; r < batch_; ++r) {
        const int32_t entry[] = {0, 0, first + static_cast<int32_t>(r), 0};
        std::copy_n(entry, 4, sample_rows_.host().ints() + 4 * r);
      }
      sample_rows_.upload();
      auto p = params_of<vn_sample_params>();
      p.max_seqs = 1;
      p.logits = logits_.tensor(Side::kCuda);
      p.sample_rows = sample_rows_.tensor(Side::kCuda);
      p.sampling = state.data(Side::kCuda);
      p.out_ids = ids_.tensor(Side::kCuda);
      p.out_flags = flags_.tensor(Side::kCuda);
      p.workspace = workspace_.data(Side::kCuda);
      p.workspace_bytes = workspace_.bytes(Side::kCuda);
      EXPECT_EQ(VN_OK, vn_sample(devices().cuda_stream, &p)) << vn_last_error();
      const auto ids = ids_.download().as_ints();
      for (const int32_t flag : flags_.download().as_ints()) EXPECT_EQ(0, flag);
      out.insert(out.end(), ids.begin(), ids.end());
    }
    return out;
  }

 private:
  int64_t batch_, vocab_;
  Twin logits_, sample_rows_, ids_, flags_;
  Workspace workspace_;
};

TEST_F(DrawsParity, LongRunsFollowTheReference) {
  for (const int64_t vocab : parity::sizes({2, 150, 1536, 8000})) {
    const auto logits = vn_test::normal_logits(vocab, static_cast<uint32_t>(vocab) + 1, 2);
    Drawer drawer(logits, vocab == 8000 ? 100 : 1000);  // two blocks a row, and one
    for (const auto& c : vn_test::distribution_cases()) {
      const double off = vn_test::deviation(drawer.draw(c.row, vn_test::kDraws), vn_test::probabilities(logits, c.row));
      EXPECT_LT(std::fabs(off), vn_test::kAccept) << c.name << ", V " << vocab;
    }
  }
}

TEST_F(DrawsParity, TopPStopsWhereItsTargetIsReached) {
  const float quarter = vn_test::logit_of_mass(0x1p37f);
  Drawer drawer({quarter, quarter, 0, quarter, -vn_test::kInf, quarter}, 100);
  const auto drawn = [&](float top_p, int32_t top_k) {
    auto ids = drawer.draw(vn_test::sampling(1, top_k, top_p), 300);
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
  };
  for (const int32_t top_k : {0, 3}) {
    EXPECT_EQ((std::vector<int32_t>{2}), drawn(0.5f, top_k));
    EXPECT_EQ((std::vector<int32_t>{0, 1, 2, 3, 5}), drawn(std::nextafter(0.5f, 1.0f), top_k)) << "equal tokens stay together";
  }
}

}  // namespace
