// vn_logprobs: log p_i = logit_i - max - ln(sum of masses / 2^39), the sum being an integer (core/fixed_exp.h) and the rest
// done in f64 and rounded once, so that no order of summation shows. logits [S, V] F32; one thread does one row.
// The N largest are kept in a heap inside the output row. What enters must reach the N-th largest of the lane maxima, and a
// group of columns without such a logit is skipped.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/fixed_exp.h"
#include "cpu/logits_kernels.h"
#include "cpu/ops.h"
#include "cpu/sampling_thresholds.h"

namespace vn::cpu {

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kGrain = int64_t{1} << 17;  // logits that one thread takes: about 50 us
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Maxima of the row: the blocks are cut into at most kGroups groups, each with 16 lanes. On the stack, 17 KiB.
constexpr int64_t kGroups = 256;
struct Maxima {
  float lanes[kGroups * kLogitLanes];
  float groups[kGroups];
  int64_t columns;  // of a group
  int64_t count;    // of groups
  float max;
  bool bad;  // a NaN, +inf, or no finite logit
};

void find_maxima(const LogitKernels& kernels, const float* logits, int64_t vocab, Maxima& out) {
  const int64_t blocks = (vocab + kLogitBlock - 1) / kLogitBlock;
  out.columns = (blocks + kGroups - 1) / kGroups * kLogitBlock;
  out.count = (vocab + out.columns - 1) / out.columns;
  out.max = -kInfinity;
  out.bad = false;
  for (int64_t g = 0; g < out.count; ++g) {
    float* lanes = out.lanes + g * kLogitLanes;
    std::fill_n(lanes, kLogitLanes, -kInfinity);
    const int64_t end = std::min(vocab, (g + 1) * out.columns);
    for (int64_t at = g * out.columns; at < end; at += kLogitBlock) {
      float block[kLogitLanes];
      out.bad |= kernels.lane_maxima(logits + at, std::min(kLogitBlock, end - at), block);
      for (int64_t i = 0; i < kLogitLanes; ++i) lanes[i] = std::max(lanes[i], block[i]);
    }
    out.groups[g] = *std::max_element(lanes, lanes + kLogitLanes);
    out.max = std::max(out.max, out.groups[g]);
  }
  out.bad |= !(out.max > -kInfinity);
  out.max += 0.0f;  // never -0
}

struct Normaliser {
  float max;
  double log_sum;

  float operator()(float logit) const {
    return static_cast<float>((static_cast<double>(logit) - static_cast<double>(max)) - log_sum);
  }
};

Normaliser normalise(const LogitKernels& kernels, const float* logits, int64_t vocab, const Maxima& maxima) {
  if (maxima.bad) return {kNan, 0.0};
  const uint64_t total = kernels.mass_sum(logits, vocab, maxima.max, mass_scale(1.0f), 1.0f);
  return {maxima.max, std::log(static_cast<double>(total) / static_cast<double>(kMassOne))};
}

// The N largest so far as a heap over two parallel arrays, the worst at the root.
class TopHeap {
 public:
  TopHeap(float* values, int32_t* ids, int64_t capacity) : values_(values), ids_(ids), capacity_(capacity) {}

  int64_t size() const { return size_; }
  bool full() const { return size_ == capacity_; }
  float worst() const { return values_[0]; }

  // Ids come in ascending order, so among equals the one that is already in wins.
  void add(float value, int32_t id) {
    if (!full()) {
      int64_t at = size_++;
      for (; at > 0; at = (at - 1) / 2) {
        const int64_t parent = (at - 1) / 2;
        if (!worse(value, id, values_[parent], ids_[parent])) break;
        set(at, values_[parent], ids_[parent]);
      }
      set(at, value, id);
    } else if (value > worst()) {
      sink(value, id, size_);
    }
  }

  // Best first.
  void sort() {
    for (int64_t last = size_ - 1; last > 0; --last) {
      const float value = values_[last];
      const int32_t id = ids_[last];
      set(last, values_[0], ids_[0]);
      sink(value, id, last);
    }
  }

 private:
  static bool worse(float a, int32_t a_id, float b, int32_t b_id) { return a < b || (a == b && a_id > b_id); }
  void set(int64_t at, float value, int32_t id) {
    values_[at] = value;
    ids_[at] = id;
  }

  // Puts an entry in at the root of a heap of `size` entries, in place of what is there.
  void sink(float value, int32_t id, int64_t size) {
    int64_t at = 0;
    for (;;) {
      int64_t child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && worse(values_[child + 1], ids_[child + 1], values_[child], ids_[child])) ++child;
      if (!worse(values_[child], ids_[child], value, id)) break;
      set(at, values_[child], ids_[child]);
      at = child;
    }
    set(at, value, id);
  }

  float* values_;
  int32_t* ids_;
  int64_t capacity_;
  int64_t size_ = 0;
};

// Reorders the lane maxima.
void top_logits(const LogitKernels& kernels, const float* logits, int64_t vocab, int64_t top, Maxima& maxima, TopHeap& heap) {
  float values[kLogitBlock + kLogitSlack];
  int32_t ids[kLogitBlock + kLogitSlack];
  const int64_t lanes = maxima.count * kLogitLanes;
  float bound = top <= lanes ? kth_largest(maxima.lanes, lanes, top) : -kInfinity;
  for (int64_t at = 0; at < vocab; at += kLogitBlock) {
    if (heap.full()) bound = std::max(bound, heap.worst());
    if (maxima.groups[at / maxima.columns] < bound) continue;
    const int64_t count = kernels.collect(logits + at, std::min(kLogitBlock, vocab - at), 0.0f, bound,
                                          static_cast<int32_t>(at), values, ids);
    for (int64_t i = 0; i < count; ++i) heap.add(values[i], ids[i]);
  }
}

}  // namespace

void logprobs(Device& device, const vn_logprobs_params& params) {
  const auto* ids = static_cast<const int32_t*>(params.ids.data);
  auto* out_logprob = static_cast<float*>(params.out_logprob.data);
  auto* out_rank = static_cast<int32_t*>(params.out_rank.data);
  const int64_t vocab = params.logits.shape[1];
  const int64_t top = params.out_top_ids.data ? params.out_top_ids.shape[1] : 0;
  const LogitKernels& kernels = logit_kernels(device.isa);

  device.pool.parallel_for(params.logits.shape[0], std::max<int64_t>(1, kGrain / vocab), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* logits = static_cast<const float*>(params.logits.data) + row * params.logits.stride[0];
      Maxima maxima;
      find_maxima(kernels, logits, vocab, maxima);
      const Normaliser normaliser = normalise(kernels, logits, vocab, maxima);
      const int32_t id = ids[row];
      const bool known = id >= 0 && id < vocab;
      out_logprob[row] = known ? normaliser(logits[id]) : kNan;
      out_rank[row] = known ? 1 + static_cast<int32_t>(kernels.count_above(logits, vocab, logits[id])) : 0;
      if (top == 0) continue;

      int32_t* top_ids = static_cast<int32_t*>(params.out_top_ids.data) + row * params.out_top_ids.stride[0];
      float* top_values = static_cast<float*>(params.out_top_logprobs.data) + row * params.out_top_logprobs.stride[0];
      if (maxima.bad) {  // no order among NaNs: the first ids
        for (int64_t i = 0; i < top; ++i) {
          top_ids[i] = static_cast<int32_t>(i);
          top_values[i] = kNan;
        }
        continue;
      }
      TopHeap heap(top_values, top_ids, top);
      top_logits(kernels, logits, vocab, top, maxima, heap);
      heap.sort();
      for (int64_t i = 0; i < top; ++i) top_values[i] = normaliser(top_values[i]);
    }
  });
}

}  // namespace vn::cpu
