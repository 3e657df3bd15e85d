// What the tests of logits and sampling share: a device, tensors over vectors, guarded calls of vn_sample.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "core/fixed_exp.h"
#include "cpu_device.h"
#include "vllm_native.h"

namespace vn_test {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline vn_tensor tensor(void* data, int32_t dtype, int64_t n) { return {data, dtype, 1, {n}, {1}}; }

inline vn_tensor tensor(void* data, int32_t dtype, int64_t rows, int64_t columns, int64_t stride = 0) {
  return {data, dtype, 2, {rows, columns}, {stride ? stride : columns, 1}};
}

inline std::vector<float> normal_logits(int64_t n, uint32_t seed, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = normal(random);
  return out;
}

// Few distinct values, so that thresholds fall on ties.
inline std::vector<float> tied_logits(int64_t n, uint32_t seed, float deviation) {
  auto out = normal_logits(n, seed, deviation);
  for (float& x : out) x = std::nearbyint(x * 2) / 2;
  return out;
}

inline vn_sampling_row sampling(float temperature, int32_t top_k = 0, float top_p = 0, float min_p = 0, uint64_t seed = 7) {
  vn_sampling_row row{};
  row.seed = seed;
  row.temperature = temperature;
  row.top_k = top_k;
  row.top_p = top_p;
  row.min_p = min_p;
  row.count_slot = -1;
  return row;
}

// A logit <= 0 that has just this mass at temperature 1 beside a largest logit of 0.
inline float logit_of_mass(float mass) {
  const float scale = vn::mass_scale(1.0f);
  float logit = std::log(mass / vn::kMassOne);
  while (vn::raw_mass(logit, 0, scale) < mass) logit = std::nextafter(logit, 0.0f);
  while (vn::raw_mass(logit, 0, scale) > mass) logit = std::nextafter(logit, -kInf);
  EXPECT_EQ(mass, vn::raw_mass(logit, 0, scale));
  return logit;
}

struct Sampled {
  std::vector<int32_t> ids;
  std::vector<int32_t> flags;
};

// sample_rows: [S, 4]; logits: S rows of vocab, stride apart. The workspace has guard bytes behind it, the outputs poison.
inline Sampled run_sample(Cpu& cpu, const float* logits, int64_t vocab, int64_t stride, std::vector<int32_t> sample_rows,
                          const std::vector<vn_sampling_row>& rows, bool all_greedy = false) {
  const int64_t count = static_cast<int64_t>(sample_rows.size()) / 4;
  int64_t bytes = -1;
  EXPECT_EQ(VN_OK, vn_sample_workspace_size(cpu.device, count, vocab, &bytes)) << vn_last_error();
  constexpr int64_t kGuard = 256;
  std::vector<uint8_t> workspace(static_cast<size_t>(bytes + 64 + kGuard), 0xcd);
  uint8_t* aligned = workspace.data() + (64 - reinterpret_cast<uintptr_t>(workspace.data()) % 64) % 64;
  Sampled out{std::vector<int32_t>(static_cast<size_t>(count) + 1, -77), std::vector<int32_t>(static_cast<size_t>(count) + 1, -78)};

  vn_sample_params params{};
  params.struct_size = sizeof params;
  params.all_greedy = all_greedy;
  params.logits = tensor(const_cast<float*>(logits), VN_DTYPE_F32, count, vocab, stride);
  params.sample_rows = tensor(sample_rows.data(), VN_DTYPE_I32, count, 4);
  params.sampling = all_greedy ? nullptr : rows.data();
  params.max_seqs = static_cast<int64_t>(rows.size());
  params.out_ids = tensor(out.ids.data(), VN_DTYPE_I32, count);
  params.out_flags = tensor(out.flags.data(), VN_DTYPE_I32, count);
  params.workspace = aligned;
  params.workspace_bytes = bytes;
  EXPECT_EQ(VN_OK, vn_sample(cpu.stream, &params)) << vn_last_error();
  EXPECT_EQ(-77, out.ids.back());
  EXPECT_EQ(-78, out.flags.back());
  for (int64_t i = 0; i < kGuard; ++i) EXPECT_EQ(0xcd, aligned[bytes + i]) << "workspace overrun at " << i;
  out.ids.pop_back();
  out.flags.pop_back();
  return out;
}

// One row of logits drawn at many positions, in batches.
inline std::vector<int32_t> draw_many(Cpu& cpu, const std::vector<float>& logits, const vn_sampling_row& row,
                                      int32_t draws, int32_t batch) {
  const auto vocab = static_cast<int64_t>(logits.size());
  std::vector<float> repeated;
  for (int32_t i = 0; i < batch; ++i) repeated.insert(repeated.end(), logits.begin(), logits.end());
  std::vector<int32_t> ids;
  for (int32_t first = 0; first < draws; first += batch) {
    std::vector<int32_t> sample_rows;
    for (int32_t i = 0; i < batch; ++i) sample_rows.insert(sample_rows.end(), {i, 0, first + i, 0});
    const Sampled out = run_sample(cpu, repeated.data(), vocab, vocab, sample_rows, {row});
    for (const int32_t flag : out.flags) EXPECT_EQ(0, flag);
    ids.insert(ids.end(), out.ids.begin(), out.ids.end());
  }
  return ids;
}

}  // namespace vn_test
