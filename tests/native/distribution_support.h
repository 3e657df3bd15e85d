// What draws are compared with: probabilities in double precision, and Pearson's chi-square over the draws at fixed seeds. The
// distribution of the statistic is approximated after Wilson and Hilferty.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "sampling_support.h"

namespace vn_test {

constexpr int32_t kDraws = 100000;
constexpr double kAccept = 4.0;  // standard deviations, either way

struct DistributionCase {
  const char* name;
  vn_sampling_row row;
};

inline std::vector<double> probabilities(const std::vector<float>& logits, const vn_sampling_row& row) {
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
inline double deviation(const std::vector<int32_t>& ids, const std::vector<double>& p) {
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

inline std::vector<DistributionCase> distribution_cases() {
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

}  // namespace vn_test
