// Microseconds and bytes per second of the CUDA operations on logits, V = 128256. The bytes are those of one reading of the
// logits, so that GB/s says how many passes a method takes. Not a test.
#include <random>

#include "bench_cuda_support.h"

namespace {

using namespace bench;

constexpr int64_t kVocab = 128256;

// One row of normal logits, moved along by a prime for each row.
std::vector<float> normal_rows(int64_t rows, float deviation) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> base(static_cast<size_t>(kVocab)), out;
  for (float& x : base) x = normal(random);
  out.reserve(static_cast<size_t>(rows * kVocab));
  for (int64_t r = 0; r < rows; ++r) {
    const auto middle = base.begin() + r * 7919 % kVocab;
    out.insert(out.end(), middle, base.end());
    out.insert(out.end(), base.begin(), middle);
  }
  return out;
}

struct Method {
  const char* name;
  bool all_greedy;
  float temperature;
  int32_t top_k;
  float top_p;
  float min_p;
};

constexpr Method kMethods[] = {
    {"greedy", true, 0, 0, 0, 0},         {"temperature", false, 1, 0, 0, 0},      {"min_p", false, 1, 0, 0, 0.05f},
    {"top_k=50", false, 1, 50, 0, 0},     {"top_p=0.9", false, 1, 0, 0.9f, 0},     {"top_k=50 top_p=0.9", false, 1, 50, 0.9f, 0},
    {"top_k=1000 top_p=0.95", false, 0.7f, 1000, 0.95f, 0}, {"top_k=20000", false, 1, 20000, 0, 0},
};

void samplers(Cuda& cuda, int64_t rows, float deviation) {
  const int64_t bytes = rows * kVocab * 4, copies = copies_for(bytes);
  const auto host = normal_rows(rows * copies, deviation);
  char* logits = cuda.allocate(copies * bytes, host.data());
  std::vector<int32_t> sample_rows(static_cast<size_t>(4 * rows));
  for (int64_t r = 0; r < rows; ++r) sample_rows[static_cast<size_t>(4 * r) + 1] = static_cast<int32_t>(r);
  char* device_rows = cuda.allocate(16 * rows, sample_rows.data());
  int64_t scratch = 0;
  require(vn_sample_workspace_size(cuda.device, rows, kVocab, &scratch));
  for (const Method& method : kMethods) {
    std::vector<vn_sampling_row> state(static_cast<size_t>(rows));
    for (size_t r = 0; r < state.size(); ++r) {
      state[r].seed = r;
      state[r].temperature = method.temperature;
      state[r].top_k = method.top_k;
      state[r].top_p = method.top_p;
      state[r].min_p = method.min_p;
      state[r].count_slot = -1;
    }
    auto p = params_of<vn_sample_params>();
    p.all_greedy = method.all_greedy;
    p.sample_rows = tensor(device_rows, VN_DTYPE_I32, rows, 4);
    p.sampling = reinterpret_cast<vn_sampling_row*>(
        cuda.allocate(rows * static_cast<int64_t>(sizeof(vn_sampling_row)), state.data()));
    p.max_seqs = rows;
    p.out_ids = tensor(cuda.allocate(4 * rows), VN_DTYPE_I32, rows);
    p.out_flags = tensor(cuda.allocate(4 * rows), VN_DTYPE_I32, rows);
    p.workspace = cuda.allocate(scratch);
    p.workspace_bytes = scratch;
    const double us = cuda.time([&](int64_t i) {
      p.logits = tensor(logits + i % copies * bytes, VN_DTYPE_F32, rows, kVocab);
      require(vn_sample(cuda.stream, &p));
    }, 10, 9);
    char deviation_text[32];
    std::snprintf(deviation_text, sizeof deviation_text, " deviation=%g", static_cast<double>(deviation));
    cuda.report(std::string("sample ") + method.name + " S=" + std::to_string(rows) + deviation_text, us,
                 static_cast<double>(bytes));
  }
  cuda.release();
}

void others(Cuda& cuda, int64_t rows) {
  constexpr int64_t kSlots = 64, kTop = 20;
  const int64_t bytes = rows * kVocab * 4, copies = copies_for(bytes);
  const auto host = normal_rows(rows * copies, 2.5f);
  char* logits = cuda.allocate(copies * bytes, host.data());
  const std::string size = " S=" + std::to_string(rows);
  const auto logits_at = [&](int64_t i) { return tensor(logits + i % copies * bytes, VN_DTYPE_F32, rows, kVocab); };

  auto probs = params_of<vn_logprobs_params>();
  probs.ids = tensor(cuda.allocate(4 * rows), VN_DTYPE_I32, rows);
  probs.out_logprob = tensor(cuda.allocate(4 * rows), VN_DTYPE_F32, rows);
  probs.out_rank = tensor(cuda.allocate(4 * rows), VN_DTYPE_I32, rows);
  const auto time_probs = [&](const char* name) {
    const double us = cuda.time([&](int64_t i) {
      probs.logits = logits_at(i);
      require(vn_logprobs(cuda.stream, &probs));
    }, 10, 9);
    cuda.report(name + size, us, static_cast<double>(bytes));
  };
  time_probs("logprobs N=0");
  probs.out_top_ids = tensor(cuda.allocate(4 * rows * kTop), VN_DTYPE_I32, rows, kTop);
  probs.out_top_logprobs = tensor(cuda.allocate(4 * rows * kTop), VN_DTYPE_F32, rows, kTop);
  time_probs("logprobs N=20");

  std::vector<vn_sampling_row> state(static_cast<size_t>(rows));
  std::vector<int32_t> sample_rows(static_cast<size_t>(4 * rows));
  for (size_t r = 0; r < state.size(); ++r) {
    state[r].repetition_penalty = 1.1f;
    state[r].count_slot = static_cast<int32_t>(r % kSlots);
    sample_rows[4 * r + 1] = static_cast<int32_t>(r);
  }
  std::vector<int32_t> counts(static_cast<size_t>(kSlots * kVocab));
  for (size_t i = 0; i < counts.size(); i += 97) counts[i] = 1;
  auto penalties = params_of<vn_logits_penalties_params>();
  penalties.sample_rows = tensor(cuda.allocate(16 * rows, sample_rows.data()), VN_DTYPE_I32, rows, 4);
  penalties.counts = tensor(cuda.allocate(4 * kSlots * kVocab, counts.data()), VN_DTYPE_I32, kSlots, kVocab);
  penalties.sampling = reinterpret_cast<vn_sampling_row*>(
      cuda.allocate(rows * static_cast<int64_t>(sizeof(vn_sampling_row)), state.data()));
  penalties.max_seqs = rows;
  double us = cuda.time([&](int64_t i) {
    penalties.logits = logits_at(i);
    require(vn_logits_penalties(cuda.stream, &penalties));
  });
  cuda.report("logits_penalties" + size, us, static_cast<double>(bytes));

  std::vector<int32_t> positions;
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t i = 0; i < 10; ++i) positions.insert(positions.end(), {r, i * 10007 + r});
  }
  const auto num = static_cast<int64_t>(positions.size() / 2);
  auto edits = params_of<vn_logits_edit_params>();
  edits.num_edits = static_cast<int32_t>(num);
  edits.positions = tensor(cuda.allocate(8 * num, positions.data()), VN_DTYPE_I32, num, 2);
  edits.values = tensor(cuda.allocate(4 * num), VN_DTYPE_F32, num);
  us = cuda.time([&](int64_t i) {
    edits.logits = logits_at(i);
    require(vn_logits_edit(cuda.stream, &edits));
  });
  cuda.report("logits_edit 10 a row" + size, us, static_cast<double>(16 * num));

  std::vector<int32_t> updates = {3, -1, 0, 0};
  for (int32_t i = 0; i < 8192; ++i) updates.insert(updates.end(), {3, i * 13 % 100000, 1, 0});
  auto seen = params_of<vn_token_counts_params>();
  seen.num_updates = static_cast<int32_t>(updates.size() / 4);
  seen.counts = penalties.counts;
  seen.updates = tensor(cuda.allocate(static_cast<int64_t>(updates.size() * 4), updates.data()), VN_DTYPE_I32,
                        seen.num_updates, 4);
  us = cuda.time([&](int64_t) { require(vn_token_counts(cuda.stream, &seen)); });
  cuda.report("token_counts prompt=8192 slots=64", us, static_cast<double>(updates.size() * 4 + kVocab * 4));
  cuda.release();
}

}  // namespace

int main() {
  Cuda cuda;
  for (const int64_t rows : {1, 8, 32, 128, 256}) samplers(cuda, rows, 2.5f);
  samplers(cuda, 128, 0.01f);
  for (const int64_t rows : {1, 128}) others(cuda, rows);
  return 0;
}
