// Whole KV blocks: vn_block_copy, vn_block_swap.
#include <algorithm>

#include "capi/op.h"

using vn::BackendTable;
using vn::Checker;
using vn::kAny;
using vn::kI32;
using vn::Layout;

namespace {

// A pool that can be addressed: its size in bytes stays far from an int64's end.
void check_pool(const Checker& check, const char* name, const void* pool, const char* count_name, int64_t num_blocks,
                int64_t block_bytes) {
  check.pointer(name, pool);
  check.range(count_name, num_blocks, 1, INT32_MAX);
  check.range("block_bytes", block_bytes, 1, (int64_t{1} << 46) / num_blocks);
}

[[noreturn]] void fail_pair(const Checker& check, int64_t pair, const char* end, int32_t block, int64_t num_blocks) {
  vn::fail(VN_INVALID_ARGUMENT, "%s: pairs[%lld] has %s block %d, expected 0..%lld", check.op(),
           static_cast<long long>(pair), end, block, static_cast<long long>(num_blocks - 1));
}

// Destinations must be distinct. Block ids are marked in a bitmap on the stack, a window of ids at a time, so that a pool of
// any size is checked without allocating.
void check_distinct(const Checker& check, const int32_t* pairs, int64_t num_pairs, int64_t num_blocks) {
  constexpr int64_t kWindow = int64_t{1} << 18;  // ids, in 32 KiB
  constexpr int64_t kBits = 64;
  uint64_t seen[kWindow / kBits];
  for (int64_t first = 0; first < num_blocks; first += kWindow) {
    const int64_t ids = std::min(kWindow, num_blocks - first);
    std::fill_n(seen, (ids + kBits - 1) / kBits, uint64_t{0});
    for (int64_t pair = 0; pair < num_pairs; ++pair) {
      const int64_t id = pairs[2 * pair + 1] - first;
      if (id < 0 || id >= ids) continue;
      const uint64_t bit = uint64_t{1} << (id % kBits);
      if (seen[id / kBits] & bit) {
        vn::fail(VN_INVALID_ARGUMENT, "%s: pairs[%lld] has destination block %d, as an earlier pair has; expected distinct ones",
                 check.op(), static_cast<long long>(pair), pairs[2 * pair + 1]);
      }
      seen[id / kBits] |= bit;
    }
  }
}

void check_pairs(const Checker& check, const int32_t* pairs, int64_t num_pairs, int64_t num_sources,
                 int64_t num_destinations) {
  for (int64_t pair = 0; pair < num_pairs; ++pair) {
    const int32_t source = pairs[2 * pair], destination = pairs[2 * pair + 1];
    if (source < 0 || source >= num_sources) fail_pair(check, pair, "source", source, num_sources);
    if (destination < 0 || destination >= num_destinations) {
      fail_pair(check, pair, "destination", destination, num_destinations);
    }
  }
  check_distinct(check, pairs, num_pairs, num_destinations);
}

}  // namespace

int32_t vn_block_copy(vn_stream* stream, const vn_block_copy_params* params) {
  return vn::run_op("block_copy", &BackendTable::block_copy, stream, params,
                    [](const Checker& check, vn_block_copy_params& p) {
    check.tensor("pairs", p.pairs, kI32, {kAny, 2}, Layout::kDense);
    check.range("num_pairs", p.num_pairs, 0, p.pairs.shape[0]);
    check_pool(check, "pool", p.pool, "num_blocks", p.num_blocks, p.block_bytes);
  });
}

int32_t vn_block_swap(vn_stream* stream, const vn_block_swap_params* params) {
  return vn::run_op("block_swap", &BackendTable::block_swap, stream, params,
                    [](const Checker& check, vn_block_swap_params& p) {
    check.range("direction", p.direction, VN_COPY_HOST_TO_DEVICE, VN_COPY_DEVICE_TO_HOST);
    check_pool(check, "device_pool", p.device_pool, "num_device_blocks", p.num_device_blocks, p.block_bytes);
    check_pool(check, "host_pool", p.host_pool, "num_host_blocks", p.num_host_blocks, p.block_bytes);
    const bool out = p.direction == VN_COPY_DEVICE_TO_HOST;
    const int64_t num_sources = out ? p.num_device_blocks : p.num_host_blocks;
    const int64_t num_destinations = out ? p.num_host_blocks : p.num_device_blocks;
    check.range("num_pairs", p.num_pairs, 0, num_destinations);
    if (p.num_pairs == 0) return;
    check.pointer("pairs", p.pairs);
    check_pairs(check, p.pairs, p.num_pairs, num_sources, num_destinations);
  });
}
