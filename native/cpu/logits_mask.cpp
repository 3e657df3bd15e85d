// vn_logits_mask: what a bit mask does not allow becomes -inf.
#include <algorithm>
#include <limits>

#include "cpu/ops.h"

namespace vn::cpu {

void logits_mask(Device& device, const vn_logits_mask_params& params) {
  constexpr int64_t kGrain = int64_t{1} << 18;  // logits that one thread takes: less is not worth a pool's wake-up
  auto* logits = static_cast<float*>(params.logits.data);
  const auto* rows = static_cast<const int32_t*>(params.rows.data);
  const auto* bits = static_cast<const uint32_t*>(params.bits.data);
  const int64_t vocab = params.logits.shape[1];
  const int64_t words = params.bits.shape[1];
  device.pool.parallel_for(params.num_masks, std::max<int64_t>(1, kGrain / vocab), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (rows[i] < 0 || rows[i] >= params.logits.shape[0]) continue;
      float* row = logits + rows[i] * params.logits.stride[0];
      const uint32_t* mask = bits + i * words;
      for (int64_t word = 0; word < words; ++word) {
        if (mask[word] == ~uint32_t{0}) continue;
        const int64_t first = word * 32, last = std::min(first + 32, vocab);
        for (int64_t id = first; id < last; ++id) {
          if ((mask[word] >> (id - first) & 1) == 0) row[id] = -std::numeric_limits<float>::infinity();
        }
      }
    }
  });
}

}  // namespace vn::cpu
