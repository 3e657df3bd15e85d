// Copying whole KV blocks.
#include "ops_support.h"

namespace {

using namespace ops_test;

TEST(BlockCopy, CopiesPairsAndSkipsBadOnes) {
  Cpu cpu;
  for (const int64_t block_bytes : {int64_t{1}, int64_t{7}, int64_t{4096}, int64_t{256 * 1024 + 3}, int64_t{600 * 1024}}) {
    constexpr int64_t kBlocks = 12;
    std::mt19937 engine(2);
    std::vector<unsigned char> pool(static_cast<size_t>(kBlocks * block_bytes + 64), 0xa5);
    for (int64_t i = 0; i < kBlocks * block_bytes; ++i) pool[static_cast<size_t>(i)] = static_cast<unsigned char>(engine());
    std::vector<unsigned char> expected = pool;
    const std::vector<int32_t> list = {3, 7, 0, 1, 3, 11, -1, 2, 4, -1, 12, 5, 4, INT32_MAX, INT32_MIN, 6, 9, 9, 0, 8};
    for (const auto& [from, to] : {std::pair{3, 7}, std::pair{0, 1}, std::pair{3, 11}}) {
      std::memcpy(expected.data() + to * block_bytes, pool.data() + from * block_bytes, static_cast<size_t>(block_bytes));
    }
    Array pairs(VN_DTYPE_I32, {10, 2});
    pairs.fill(list);
    auto p = params_of<vn_block_copy_params>();
    p.num_pairs = 9;  // the last is beyond
    p.pairs = pairs.tensor();
    p.pool = pool.data();
    p.block_bytes = block_bytes;
    p.num_blocks = kBlocks;
    ASSERT_EQ(VN_OK, vn_block_copy(cpu.stream, &p)) << vn_last_error();
    EXPECT_TRUE(expected == pool) << block_bytes;
    p.num_pairs = 0;
    ASSERT_EQ(VN_OK, vn_block_copy(cpu.stream, &p));
    EXPECT_TRUE(expected == pool) << block_bytes;
  }
}

}  // namespace
