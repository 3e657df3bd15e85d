// Copies whole KV blocks, within a pool and between the pool and swap space. No destination is a source and destinations are
// distinct, so pairs may run in any order; a block is cut into pieces, so that one large copy uses every thread.
#include <algorithm>
#include <cstring>

#include "cpu/ops.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {
namespace {

struct BlockPair {
  const char* source;  // null: skip the pair
  char* destination;
};

// pair_at(i) gives the blocks of pair i.
template <typename PairAt>
void copy_blocks(Device& device, int64_t num_pairs, int64_t block_bytes, PairAt&& pair_at) {
  constexpr int64_t kPiece = 256 * 1024;  // bytes
  constexpr int64_t kWorthAThread = 64 * 1024;
  const int64_t pieces = (block_bytes + kPiece - 1) / kPiece;
  const int64_t grain = std::max<int64_t>(1, kWorthAThread / block_bytes);
  device.pool.parallel_for(num_pairs * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const BlockPair pair = pair_at(item / pieces);
      if (!pair.source) continue;
      const int64_t first = item % pieces * kPiece;
      std::memcpy(pair.destination + first, pair.source + first,
                  static_cast<size_t>(std::min(kPiece, block_bytes - first)));
    }
  });
}

}  // namespace

void block_copy(Device& device, const vn_block_copy_params& p) {
  auto* pool = static_cast<char*>(p.pool);
  copy_blocks(device, p.num_pairs, p.block_bytes, [&](int64_t pair) -> BlockPair {
    const int64_t source = int_at(p.pairs, pair, 0), destination = int_at(p.pairs, pair, 1);
    if (!in_range(source, p.num_blocks) || !in_range(destination, p.num_blocks) || source == destination) return {};
    return {pool + source * p.block_bytes, pool + destination * p.block_bytes};
  });
}

void block_swap(Device& device, const vn_block_swap_params& p) {
  const bool out = p.direction == VN_COPY_DEVICE_TO_HOST;
  const auto* from = static_cast<const char*>(out ? p.device_pool : p.host_pool);
  auto* to = static_cast<char*>(out ? p.host_pool : p.device_pool);
  copy_blocks(device, p.num_pairs, p.block_bytes, [&](int64_t pair) -> BlockPair {
    return {from + p.pairs[2 * pair] * p.block_bytes, to + p.pairs[2 * pair + 1] * p.block_bytes};
  });
}

}  // namespace vn::cpu
