// Blocks between the pool and swap space: every pair arrives whole, nothing else changes, and bad pairs are refused in words.
#include <numeric>
#include <string>

#include "ops_support.h"

namespace {

using namespace ops_test;

constexpr int32_t kOut = VN_COPY_DEVICE_TO_HOST;
constexpr int32_t kIn = VN_COPY_HOST_TO_DEVICE;

bool message_has(const char* text) { return std::string(vn_last_error()).find(text) != std::string::npos; }

// A pool of random bytes with a guard behind.
struct Pool {
  Pool(int64_t num_blocks, int64_t block_bytes, uint32_t seed)
      : blocks(num_blocks), bytes(static_cast<size_t>(num_blocks * block_bytes + 64)) {
    std::mt19937 engine(seed);
    for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(engine());
  }
  unsigned char* block(int64_t id, int64_t block_bytes) { return bytes.data() + id * block_bytes; }

  int64_t blocks;
  std::vector<unsigned char> bytes;
};

// The params point into pairs.
vn_block_swap_params params_for(Pool& device, Pool& host, int64_t block_bytes, int32_t direction,
                                const std::vector<int32_t>& pairs) {
  auto p = params_of<vn_block_swap_params>();
  p.direction = direction;
  p.pairs = pairs.data();
  p.num_pairs = static_cast<int64_t>(pairs.size()) / 2;
  p.device_pool = device.bytes.data();
  p.num_device_blocks = device.blocks;
  p.host_pool = host.bytes.data();
  p.num_host_blocks = host.blocks;
  p.block_bytes = block_bytes;
  return p;
}

TEST(BlockSwap, MovesEveryPairAndNothingElse) {
  Cpu cpu;
  std::mt19937 engine(3);
  for (const int64_t block_bytes : {int64_t{1}, int64_t{7}, int64_t{4096}, int64_t{256 * 1024 + 3}, int64_t{600 * 1024}}) {
    for (const int32_t direction : {kOut, kIn}) {
      Pool device(13, block_bytes, 1), host(9, block_bytes, 2);
      Pool& from = direction == kOut ? device : host;
      Pool& to = direction == kOut ? host : device;
      std::vector<int32_t> destinations(static_cast<size_t>(to.blocks));
      std::iota(destinations.begin(), destinations.end(), 0);
      std::shuffle(destinations.begin(), destinations.end(), engine);
      std::vector<unsigned char> expected = to.bytes;
      const std::vector<unsigned char> source = from.bytes;
      std::vector<int32_t> pairs;
      for (int64_t i = 0; i < 7; ++i) {  // a source may be named twice
        const auto id = static_cast<int32_t>(engine() % static_cast<uint32_t>(from.blocks));
        pairs.insert(pairs.end(), {id, destinations[static_cast<size_t>(i)]});
        std::memcpy(expected.data() + pairs.back() * block_bytes, from.block(id, block_bytes), static_cast<size_t>(block_bytes));
      }
      const auto p = params_for(device, host, block_bytes, direction, pairs);
      ASSERT_EQ(VN_OK, vn_block_swap(cpu.stream, &p)) << vn_last_error();
      EXPECT_TRUE(expected == to.bytes) << block_bytes << " bytes, direction " << direction;
      EXPECT_TRUE(source == from.bytes) << block_bytes << " bytes, direction " << direction;
    }
  }
}

TEST(BlockSwap, NoPairsMoveNothing) {
  Cpu cpu;
  Pool device(2, 16, 1), host(2, 16, 2);
  const std::vector<unsigned char> before = host.bytes;
  const std::vector<int32_t> none;
  const auto p = params_for(device, host, 16, kOut, none);
  EXPECT_EQ(VN_OK, vn_block_swap(cpu.stream, &p)) << vn_last_error();
  EXPECT_TRUE(before == host.bytes);
}

TEST(BlockSwap, BadPairsAreNamedAndNothingMoves) {
  Cpu cpu;
  Pool device(6, 32, 1), host(4, 32, 2);
  const std::vector<unsigned char> device_before = device.bytes, host_before = host.bytes;
  const auto refuses = [&](int32_t direction, const std::vector<int32_t>& pairs, const char* words) {
    const auto p = params_for(device, host, 32, direction, pairs);
    EXPECT_EQ(VN_INVALID_ARGUMENT, vn_block_swap(cpu.stream, &p));
    EXPECT_TRUE(message_has(words)) << vn_last_error();
  };
  refuses(kOut, {0, 0, 6, 1}, "block_swap: pairs[1] has source block 6, expected 0..5");
  refuses(kOut, {0, 4}, "pairs[0] has destination block 4, expected 0..3");
  refuses(kOut, {-1, 0}, "pairs[0] has source block -1");
  refuses(kIn, {4, 0}, "pairs[0] has source block 4, expected 0..3");
  refuses(kIn, {0, 6}, "pairs[0] has destination block 6, expected 0..5");
  refuses(kIn, {0, 5, 1, INT32_MIN}, "pairs[1] has destination block -2147483648");
  refuses(kOut, {0, 3, 1, 2, 5, 3}, "pairs[2] has destination block 3, as an earlier pair has");
  refuses(kOut, {0, 0, 1, 1, 2, 2, 3, 3, 4, 0}, "num_pairs is 5, expected 0..4");
  EXPECT_TRUE(device_before == device.bytes);
  EXPECT_TRUE(host_before == host.bytes);
}

// Ids are marked a window at a time: a pool larger than a window is checked as well as a small one.
TEST(BlockSwap, RepeatedDestinationsAreFoundInLargePools) {
  Cpu cpu;
  constexpr int64_t kBlocks = 3 * (int64_t{1} << 18) + 5;
  Pool device(kBlocks, 1, 1), host(2, 1, 2);
  for (const int32_t id : {0, (1 << 18) - 1, 1 << 18, 2 << 18, static_cast<int32_t>(kBlocks - 1)}) {
    const std::vector<int32_t> repeated = {0, id, 1, 17, 1, id}, distinct = {0, id, 1, 17};
    const auto twice = params_for(device, host, 1, kIn, repeated);
    EXPECT_EQ(VN_INVALID_ARGUMENT, vn_block_swap(cpu.stream, &twice)) << id;
    EXPECT_TRUE(message_has("pairs[2] has destination")) << vn_last_error();
    const auto once = params_for(device, host, 1, kIn, distinct);
    EXPECT_EQ(VN_OK, vn_block_swap(cpu.stream, &once)) << vn_last_error();
    EXPECT_EQ(host.bytes[0], device.bytes[static_cast<size_t>(id)]);
  }
}

TEST(BlockSwap, MissingArgumentsAreNamed) {
  Cpu cpu;
  Pool device(2, 16, 1), host(2, 16, 2);
  const std::vector<int32_t> pairs = {0, 1};
  const auto refuses = [&](auto&& spoil, const char* words) {
    auto p = params_for(device, host, 16, kOut, pairs);
    spoil(p);
    EXPECT_EQ(VN_INVALID_ARGUMENT, vn_block_swap(cpu.stream, &p));
    EXPECT_TRUE(message_has(words)) << vn_last_error();
  };
  refuses([](auto& p) { p.direction = 0; }, "direction is 0, expected 1..2");
  refuses([](auto& p) { p.direction = VN_COPY_DEVICE_TO_DEVICE; }, "direction is 3, expected 1..2");
  refuses([](auto& p) { p.pairs = nullptr; }, "pairs is NULL");
  refuses([](auto& p) { p.device_pool = nullptr; }, "device_pool is NULL");
  refuses([](auto& p) { p.host_pool = nullptr; }, "host_pool is NULL");
  refuses([](auto& p) { p.block_bytes = 0; }, "block_bytes is 0");
  refuses([](auto& p) { p.num_device_blocks = 0; }, "num_device_blocks is 0");
  refuses([](auto& p) { p.num_host_blocks = -1; }, "num_host_blocks is -1");
  refuses([](auto& p) { p.num_pairs = -1; }, "num_pairs is -1");
}

}  // namespace
