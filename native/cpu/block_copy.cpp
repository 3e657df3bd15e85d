// Copies whole KV blocks. No destination is a source and destinations are distinct, so pairs may run in any order; a block
// is cut into pieces, so that one large copy uses every thread.
#include <algorithm>
#include <cstring>

#include "cpu/ops.h"
#include "cpu/tensor_rows.h"

namespace vn::cpu {

void block_copy(Device& device, const vn_block_copy_params& p) {
  constexpr int64_t kPiece = 256 * 1024;  // bytes
  constexpr int64_t kWorthAThread = 64 * 1024;
  auto* pool = static_cast<char*>(p.pool);
  const int64_t pieces = (p.block_bytes + kPiece - 1) / kPiece;
  const int64_t grain = std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(1, p.block_bytes));
  device.pool.parallel_for(p.num_pairs * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t source = int_at(p.pairs, item / pieces, 0), destination = int_at(p.pairs, item / pieces, 1);
      if (!in_range(source, p.num_blocks) || !in_range(destination, p.num_blocks) || source == destination) continue;
      const int64_t first = item % pieces * kPiece;
      std::memcpy(pool + destination * p.block_bytes + first, pool + source * p.block_bytes + first,
                  static_cast<size_t>(std::min(kPiece, p.block_bytes - first)));
    }
  });
}

}  // namespace vn::cpu
