// Paged attention on the CPU device: bytes of K/V read each second while decoding, against what plain loops over the same
// memory reach, and FLOP/s of a prefill. Not part of the tests; from the root of the repository:
//   g++ -std=c++20 -O3 -march=native -Inative/include tests/native/bench/attention_bench.cpp -o build/attention_bench
//       -Lbuild/native -lvllm_native -Wl,-rpath,$PWD/build/native -pthread && build/attention_bench   (one command)
// On a busy machine: build/attention_bench 1 cpu
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "vllm_native.h"

namespace {

void check(int32_t status) {
  if (status == VN_OK) return;
  std::fprintf(stderr, "%s\n", vn_last_error());
  std::exit(1);
}

bool g_cpu_time = false;  // count the process's processor time: on a busy machine, with one thread

double now() {
  timespec t{};
  clock_gettime(g_cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Median seconds of a call.
double median_seconds(const std::function<void()>& body, int times) {
  std::vector<double> seconds;
  body();
  for (int i = 0; i < times; ++i) {
    const double start = now();
    body();
    seconds.push_back(now() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

struct Setup {
  int64_t rows, query, length, q_heads, kv_heads, dim, block_size = 16;
};

struct Bench {
  vn_device* device = nullptr;
  vn_stream* stream = nullptr;

  void* memory(int64_t bytes) {
    vn_buffer* buffer = nullptr;
    void* data = nullptr;
    check(vn_buffer_create(device, VN_MEMORY_DEVICE, bytes, &buffer));
    check(vn_buffer_data(buffer, &data));
    return data;  // lives as long as the program
  }

  void run(const Setup& s, int times) {
    const int64_t blocks_per_row = (s.length + s.block_size - 1) / s.block_size, blocks = s.rows * blocks_per_row;
    const int64_t block_elements = 2 * s.kv_heads * s.block_size * s.dim, tokens = s.rows * s.query;
    auto* pool = static_cast<uint16_t*>(memory(blocks * block_elements * 2));
    std::mt19937 engine(1);
    for (int64_t i = 0; i < blocks * block_elements; ++i) pool[i] = static_cast<uint16_t>(0x3e00 + (engine() & 0x80ff));
    auto* q = static_cast<uint16_t*>(memory(tokens * s.q_heads * s.dim * 2));
    for (int64_t i = 0; i < tokens * s.q_heads * s.dim; ++i) q[i] = static_cast<uint16_t>(0x3e00 + (engine() & 0x80ff));
    auto* out = static_cast<uint16_t*>(memory(tokens * s.q_heads * s.dim * 2));
    std::vector<int32_t> table(static_cast<size_t>(blocks)), starts, lengths, step;
    for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<int32_t>(i);
    std::shuffle(table.begin(), table.end(), engine);
    for (int64_t r = 0; r <= s.rows; ++r) starts.push_back(static_cast<int32_t>(r * s.query));
    for (int64_t r = 0; r < s.rows; ++r) {
      lengths.push_back(static_cast<int32_t>(s.length));
      step.insert(step.end(), {static_cast<int32_t>(r), static_cast<int32_t>(s.query), 0, 0});
    }
    vn_attention_params p{};
    p.struct_size = sizeof p;
    p.max_query_len = static_cast<int32_t>(s.query);
    p.max_seq_len = static_cast<int32_t>(s.length);
    p.q = {q, VN_DTYPE_BF16, 3, {tokens, s.q_heads, s.dim}, {s.q_heads * s.dim, s.dim, 1}};
    p.out = p.q;
    p.out.data = out;
    p.query_start = {starts.data(), VN_DTYPE_I32, 1, {s.rows + 1}, {1}};
    p.seq_lens = {lengths.data(), VN_DTYPE_I32, 1, {s.rows}, {1}};
    p.step_rows = {step.data(), VN_DTYPE_I32, 2, {s.rows, 4}, {4, 1}};
    p.block_table = {table.data(), VN_DTYPE_I32, 2, {s.rows, blocks_per_row}, {blocks_per_row, 1}};
    p.cache.struct_size = sizeof p.cache;
    p.cache.dtype = VN_DTYPE_BF16;
    p.cache.key = pool;
    p.cache.value = pool + block_elements / 2;
    p.cache.num_blocks = blocks;
    p.cache.block_size = static_cast<int32_t>(s.block_size);
    p.cache.num_heads = static_cast<int32_t>(s.kv_heads);
    p.cache.key_dim = p.cache.value_dim = static_cast<int32_t>(s.dim);
    p.cache.key_block_stride = p.cache.value_block_stride = block_elements;
    p.cache.key_head_stride = p.cache.value_head_stride = s.block_size * s.dim;
    p.cache.key_slot_stride = p.cache.value_slot_stride = s.dim;
    check(vn_attention_workspace_size(device, tokens, static_cast<int32_t>(s.q_heads), static_cast<int32_t>(s.dim), s.length,
                                      &p.workspace_bytes));
    p.workspace = memory(p.workspace_bytes);
    const double seconds = median_seconds([&] { check(vn_attention_paged(stream, &p)); }, times);
    const double bytes = 2.0 * 2.0 * static_cast<double>(s.rows * s.length * s.kv_heads * s.dim);
    double pairs = 0;
    for (int64_t i = 0; i < s.query; ++i) pairs += static_cast<double>(s.length - s.query + i + 1);
    const double flops = 4.0 * static_cast<double>(s.rows * s.q_heads * s.dim) * pairs;
    std::printf("rows %3lld query %4lld length %5lld heads %lld/%lld dim %3lld: %8.1f us, K/V %5.1f GB/s, %6.1f GFLOP/s\n",
                static_cast<long long>(s.rows), static_cast<long long>(s.query), static_cast<long long>(s.length),
                static_cast<long long>(s.q_heads), static_cast<long long>(s.kv_heads), static_cast<long long>(s.dim),
                seconds * 1e6, bytes / seconds * 1e-9, flops / seconds * 1e-9);
  }
};

// Threads sum disjoint parts of `bytes` of memory.
double read_bandwidth(int64_t bytes, int threads, int times) {
  std::vector<uint64_t> memory(static_cast<size_t>(bytes / 8), 1);
  std::vector<uint64_t> sums(static_cast<size_t>(threads) * 8);
  const double seconds = median_seconds([&] {
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; ++t) {
      workers.emplace_back([&, t] {
        const size_t part = memory.size() / static_cast<size_t>(threads), first = static_cast<size_t>(t) * part;
        uint64_t sum = 0;
        for (size_t i = first; i < first + part; ++i) sum += memory[i];
        sums[static_cast<size_t>(t) * 8] = sum;
      });
    }
    for (auto& worker : workers) worker.join();
  }, times);
  return static_cast<double>(bytes) / seconds;
}

}  // namespace

// argv[1]: threads (default: one for each core). argv[2]: "cpu" counts processor time.
int main(int argc, char** argv) {
  Bench bench;
  const int threads = argc > 1 ? std::atoi(argv[1]) : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  g_cpu_time = argc > 2;
  vn_device_options options{sizeof(vn_device_options), threads, nullptr};
  check(vn_device_create(VN_DEVICE_CPU, 0, &options, &bench.device));
  check(vn_stream_create(bench.device, VN_STREAM_COMPUTE, nullptr, &bench.stream));
  std::printf("plain reads of 512 MB: %.1f GB/s\n", read_bandwidth(int64_t{512} << 20, threads, 9) * 1e-9);
  bench.run({64, 1, 2048, 32, 4, 64}, 15);
  bench.run({1, 1, 2048, 32, 4, 64}, 101);
  bench.run({64, 1, 2048, 32, 8, 128}, 9);
  bench.run({64, 1, 2048, 8, 8, 64}, 15);
  bench.run({1, 1, 16384, 32, 4, 64}, 31);
  bench.run({64, 1, 128, 32, 4, 64}, 101);
  bench.run({1, 1024, 1024, 32, 4, 64}, 9);
  bench.run({1, 1024, 1024, 32, 8, 128}, 9);
  bench.run({1, 1024, 1024, 8, 8, 64}, 9);
  bench.run({1, 256, 4096, 32, 4, 64}, 9);
}
