// Blocks between the pool and pinned host memory: CUDA against the CPU, byte for byte, and in the order that events ask for.
#include <chrono>
#include <numeric>
#include <random>
#include <string>

#include "parity_support.h"

namespace {

using parity::devices;
using parity::DeviceBytes;
using parity::Side;

constexpr int32_t kOut = VN_COPY_DEVICE_TO_HOST;
constexpr int32_t kIn = VN_COPY_HOST_TO_DEVICE;
constexpr int64_t kGuard = 4096;

// Pinned memory of the CUDA device.
class Pinned {
 public:
  explicit Pinned(int64_t bytes) {
    EXPECT_EQ(VN_OK, vn_buffer_create(devices().cuda, VN_MEMORY_HOST, bytes, &buffer_)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_buffer_data(buffer_, &data_)) << vn_last_error();
  }
  ~Pinned() { vn_buffer_destroy(buffer_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  unsigned char* data() const { return static_cast<unsigned char*>(data_); }

 private:
  vn_buffer* buffer_ = nullptr;
  void* data_ = nullptr;
};

class SwapParity : public parity::Test {
 protected:
  void SetUp() override {
    parity::Test::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(VN_OK, vn_stream_create(devices().cuda, VN_STREAM_COPY, nullptr, &copies_)) << vn_last_error();
  }
  void TearDown() override { vn_stream_destroy(copies_); }

  vn_stream* copies_ = nullptr;
};

struct Case {
  int64_t block_bytes;
  int64_t device_blocks;
  int64_t host_blocks;
  int64_t offset;  // of both pools from an aligned address
  std::vector<int32_t> pairs;
};

std::vector<unsigned char> random_bytes(int64_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<unsigned char> bytes(static_cast<size_t>(count));
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(engine() >> 7);
  return bytes;
}

// Distinct destinations in any order, any sources.
std::vector<int32_t> random_pairs(int64_t count, int64_t sources, int64_t destinations, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<int32_t> order(static_cast<size_t>(destinations));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), engine);
  std::vector<int32_t> pairs;
  for (int64_t i = 0; i < count; ++i) {
    pairs.push_back(static_cast<int32_t>(engine() % static_cast<uint32_t>(sources)));
    pairs.push_back(order[static_cast<size_t>(i)]);
  }
  return pairs;
}

// count blocks from a first one on each side.
std::vector<int32_t> run_of(int32_t source, int32_t destination, int32_t count) {
  std::vector<int32_t> pairs;
  for (int32_t i = 0; i < count; ++i) pairs.insert(pairs.end(), {source + i, destination + i});
  return pairs;
}

vn_block_swap_params params_for(const Case& c, int32_t direction, void* device_pool, void* host_pool) {
  auto p = ops_test::params_of<vn_block_swap_params>();
  p.direction = direction;
  p.pairs = c.pairs.data();
  p.num_pairs = static_cast<int64_t>(c.pairs.size()) / 2;
  p.device_pool = device_pool;
  p.num_device_blocks = c.device_blocks;
  p.host_pool = host_pool;
  p.num_host_blocks = c.host_blocks;
  p.block_bytes = c.block_bytes;
  return p;
}

void compare(vn_stream* copies, const Case& c, int32_t direction) {
  SCOPED_TRACE(::testing::Message() << c.pairs.size() / 2 << " pairs of " << c.block_bytes << " bytes, offset " << c.offset
                                    << ", direction " << direction);
  const int64_t device_bytes = c.device_blocks * c.block_bytes + c.offset + kGuard;
  const int64_t host_bytes = c.host_blocks * c.block_bytes + c.offset + kGuard;
  std::vector<unsigned char> device = random_bytes(device_bytes, 1), host = random_bytes(host_bytes, 2);
  DeviceBytes cuda_device(device_bytes);
  Pinned cuda_host(host_bytes);
  cuda_device.upload(device.data());
  std::memcpy(cuda_host.data(), host.data(), host.size());

  const auto on_cpu = params_for(c, direction, device.data() + c.offset, host.data() + c.offset);
  ASSERT_EQ(VN_OK, vn_block_swap(devices().cpu_stream, &on_cpu)) << vn_last_error();
  const auto on_cuda = params_for(c, direction, cuda_device.data() + c.offset, cuda_host.data() + c.offset);
  ASSERT_EQ(VN_OK, vn_block_swap(copies, &on_cuda)) << vn_last_error();
  ASSERT_EQ(VN_OK, vn_stream_synchronize(copies)) << vn_last_error();

  std::vector<unsigned char> got(device.size());
  cuda_device.download(got.data());
  EXPECT_TRUE(device == got) << "the device's pool differs";
  EXPECT_EQ(0, std::memcmp(host.data(), cuda_host.data(), host.size())) << "the host's pool differs";
}

TEST_F(SwapParity, SingleBlocksAndRuns) {
  for (const int64_t block_bytes : {1, 7, 48, 4096, 70000, 1 << 18}) {
    for (const int64_t offset : {0, 3}) {
      for (const int32_t direction : {kOut, kIn}) {
        compare(copies_, {block_bytes, 12, 9, offset, {}}, direction);
        compare(copies_, {block_bytes, 12, 9, offset, {8, 0}}, direction);
        compare(copies_, {block_bytes, 12, 9, offset, run_of(2, 1, 7)}, direction);
        // A run, then steps that are consecutive on one side only, or backwards.
        compare(copies_, {block_bytes, 12, 9, offset, {0, 5, 1, 6, 2, 7, 5, 4, 6, 2, 7, 1, 8, 0}}, direction);
      }
    }
  }
}

// Enough small runs that a kernel moves them: fewer and more than one launch takes, one byte-sized remainder of everything.
TEST_F(SwapParity, ManySmallBlocks) {
  for (const int64_t block_bytes : {16, 48, 4096, 16400}) {
    for (const int64_t pairs : {3, 4, 64}) {
      for (const int32_t direction : {kOut, kIn}) {
        compare(copies_, {block_bytes, 80, 80, 0, random_pairs(pairs, 80, 80, 5)}, direction);
        compare(copies_, {block_bytes, 80, 80, 8, random_pairs(pairs, 80, 80, 5)}, direction);  // not aligned to 16 bytes
      }
    }
  }
  for (const int64_t block_bytes : {int64_t{512 * 1024 - 16}, int64_t{512 * 1024}}) {
    for (const int64_t pairs : {3, 4, 9}) {
      for (const int32_t direction : {kOut, kIn}) compare(copies_, {block_bytes, 12, 12, 0, random_pairs(pairs, 12, 12, 5)}, direction);
    }
  }
  for (const int64_t pairs : {499, 500, 501, 1203}) {
    for (const int32_t direction : {kOut, kIn}) {
      compare(copies_, {2064, 1300, 1250, 16, random_pairs(pairs, 1250, 1250, 6)}, direction);
    }
  }
}

TEST_F(SwapParity, SmallBlocksSomeOfThemInRuns) {
  std::vector<int32_t> pairs;
  for (int32_t i = 0; i < 40; ++i) {
    const std::vector<int32_t> run = run_of(i * 5, 195 - i * 5, 1 + i % 4);
    pairs.insert(pairs.end(), run.begin(), run.end());
  }
  for (const int32_t direction : {kOut, kIn}) compare(copies_, {8192, 200, 200, 0, pairs}, direction);
}

TEST_F(SwapParity, LargeBlocks) {
  constexpr int64_t kBlock = int64_t{2} << 20;
  for (const int32_t direction : {kOut, kIn}) {
    compare(copies_, {kBlock, 24, 24, 0, random_pairs(20, 24, 24, 8)}, direction);
    compare(copies_, {kBlock, 24, 24, 0, run_of(3, 1, 20)}, direction);
  }
}

TEST_F(SwapParity, PageableMemoryIsRefusedInWords) {
  const Case c{64, 4, 4, 0, {0, 1}};
  DeviceBytes device(256);
  std::vector<unsigned char> pageable(256);
  const auto p = params_for(c, kOut, device.data(), pageable.data());
  EXPECT_EQ(VN_INVALID_ARGUMENT, vn_block_swap(copies_, &p));
  EXPECT_NE(nullptr, std::strstr(vn_last_error(), "host_pool is not pinned")) << vn_last_error();
  EXPECT_EQ(VN_OK, vn_stream_synchronize(copies_)) << vn_last_error();
}

TEST_F(SwapParity, CanBeRecordedInAGraph) {
  for (const int64_t block_bytes : {4096, 1 << 16}) {  // by the kernel, by copies
    Case c{block_bytes, 32, 32, 0, random_pairs(20, 32, 32, 9)};
    const std::vector<unsigned char> source = random_bytes(32 * block_bytes, 3);
    DeviceBytes device(32 * block_bytes);
    Pinned host(32 * block_bytes);
    vn_graph* graph = nullptr;
    const std::vector<int32_t> pairs = c.pairs;
    ASSERT_EQ(VN_OK, vn_graph_begin(copies_)) << vn_last_error();
    const auto p = params_for(c, kOut, device.data(), host.data());
    EXPECT_EQ(VN_OK, vn_block_swap(copies_, &p)) << vn_last_error();
    ASSERT_EQ(VN_OK, vn_graph_end(copies_, &graph)) << vn_last_error();
    std::fill(c.pairs.begin(), c.pairs.end(), 0);  // recorded, so not read again
    device.upload(source.data());
    EXPECT_EQ(VN_OK, vn_graph_launch(graph, copies_)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_stream_synchronize(copies_)) << vn_last_error();
    for (size_t i = 0; i < pairs.size(); i += 2) {
      EXPECT_EQ(0, std::memcmp(source.data() + pairs[i] * block_bytes, host.data() + pairs[i + 1] * block_bytes,
                               static_cast<size_t>(block_bytes)))
          << block_bytes << " bytes, pair " << i / 2;
    }
    vn_graph_destroy(graph);
  }
}

// Keeps the compute stream busy for milliseconds, so that whoever does not wait for it reads or writes too early.
class Load {
 public:
  void enqueue() {
    for (int i = 0; i < 40; ++i) {
      EXPECT_EQ(VN_OK, vn_copy(devices().cuda_stream, to_.data(), from_.data(), kBytes, VN_COPY_DEVICE_TO_DEVICE));
    }
  }

 private:
  static constexpr int64_t kBytes = int64_t{128} << 20;
  DeviceBytes from_{kBytes};
  DeviceBytes to_{kBytes};
};

struct Event {
  Event() { EXPECT_EQ(VN_OK, vn_event_create(devices().cuda, &handle)) << vn_last_error(); }
  ~Event() { vn_event_destroy(handle); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  // What `waiter` is asked for from now on comes after what `writer` was asked for.
  void order(vn_stream* writer, vn_stream* waiter) {
    EXPECT_EQ(VN_OK, vn_event_record(handle, writer)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_event_wait(handle, waiter)) << vn_last_error();
  }
  vn_event* handle = nullptr;
};

// Rounds without a wait of the host: the compute stream writes blocks late, they are swapped out, overwritten, swapped in
// elsewhere, and read by the compute stream.
void swap_under_load(vn_stream* copies, int64_t block_bytes) {
  SCOPED_TRACE(::testing::Message() << "blocks of " << block_bytes << " bytes");
  constexpr int64_t kBlocks = 64;
  constexpr int kRounds = 6;
  const int64_t bytes = kBlocks * block_bytes;
  const std::vector<int32_t> out_pairs = random_pairs(kBlocks, kBlocks, kBlocks, 11);
  std::vector<int32_t> in_pairs;  // host block d goes to device block kBlocks - 1 - d
  for (int32_t i = 0; i < kBlocks; ++i) in_pairs.insert(in_pairs.end(), {i, static_cast<int32_t>(kBlocks) - 1 - i});
  const Case out{block_bytes, kBlocks, kBlocks, 0, out_pairs}, in{block_bytes, kBlocks, kBlocks, 0, in_pairs};

  Load load;
  DeviceBytes pool(bytes), patterns(kRounds * bytes), results(kRounds * bytes);
  Pinned host(bytes);
  const std::vector<unsigned char> source = random_bytes(kRounds * bytes, 12);
  patterns.upload(source.data());
  vn_stream* compute = devices().cuda_stream;
  Event written, swapped_out, overwritten, swapped_in;
  for (int64_t round = 0; round < kRounds; ++round) {
    load.enqueue();
    EXPECT_EQ(VN_OK, vn_copy(compute, pool.data(), patterns.data() + round * bytes, bytes, VN_COPY_DEVICE_TO_DEVICE));
    written.order(compute, copies);
    auto p = params_for(out, kOut, pool.data(), host.data());
    EXPECT_EQ(VN_OK, vn_block_swap(copies, &p)) << vn_last_error();
    swapped_out.order(copies, compute);
    EXPECT_EQ(VN_OK, vn_fill_zero(compute, pool.data(), bytes));
    overwritten.order(compute, copies);
    p = params_for(in, kIn, pool.data(), host.data());
    EXPECT_EQ(VN_OK, vn_block_swap(copies, &p)) << vn_last_error();
    swapped_in.order(copies, compute);
    EXPECT_EQ(VN_OK, vn_copy(compute, results.data() + round * bytes, pool.data(), bytes, VN_COPY_DEVICE_TO_DEVICE));
  }
  ASSERT_EQ(VN_OK, vn_stream_synchronize(compute)) << vn_last_error();
  std::vector<unsigned char> got(static_cast<size_t>(kRounds * bytes));
  results.download(got.data());
  int64_t wrong = 0;
  for (int64_t round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < out_pairs.size(); i += 2) {
      const int64_t arrived = kBlocks - 1 - out_pairs[i + 1];
      wrong += std::memcmp(source.data() + round * bytes + out_pairs[i] * block_bytes,
                           got.data() + round * bytes + arrived * block_bytes, static_cast<size_t>(block_bytes)) != 0;
    }
  }
  EXPECT_EQ(0, wrong) << "of " << kRounds * kBlocks << " blocks";
}

TEST_F(SwapParity, LargeSwapsWaitForTheComputeStreamAndItForThem) {
  swap_under_load(copies_, 4096);     // by the kernel
  swap_under_load(copies_, 1 << 18);  // by copies
}

TEST_F(SwapParity, LargeLoadIsSeenByEventsWithoutWaiting) {
  Load load;
  Event done;
  int32_t happened = -1;
  EXPECT_EQ(VN_OK, vn_event_query(done.handle, &happened));
  EXPECT_EQ(1, happened) << "an event never recorded has happened";
  load.enqueue();
  EXPECT_EQ(VN_OK, vn_event_record(done.handle, devices().cuda_stream)) << vn_last_error();
  EXPECT_EQ(VN_OK, vn_event_query(done.handle, &happened)) << vn_last_error();
  EXPECT_EQ(0, happened) << "gigabytes were copied in no time";
  // The answer "not yet" leaves nothing behind that the next launch takes for its own error.
  const Case c{16, 32, 32, 0, random_pairs(20, 32, 32, 1)};
  DeviceBytes small(32 * 16);
  Pinned host(32 * 16);
  const auto p = params_for(c, kOut, small.data(), host.data());
  EXPECT_EQ(VN_OK, vn_block_swap(devices().cuda_stream, &p)) << vn_last_error();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (happened == 0 && std::chrono::steady_clock::now() < deadline) {
    ASSERT_EQ(VN_OK, vn_event_query(done.handle, &happened)) << vn_last_error();
  }
  EXPECT_EQ(1, happened);
  EXPECT_EQ(VN_OK, vn_event_synchronize(done.handle)) << vn_last_error();
}

}  // namespace
