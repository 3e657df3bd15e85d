// Times vn_attention_paged, vn_cache_write and vn_block_copy on a CUDA device. Launches are replayed from a graph where the
// device has graphs, so that the host's share is not counted; caches rotate beyond the second-level cache; medians of
// kReplays replays. One JSON line a case on stdout. gbps: bytes of K and V that a batch must read (or bytes moved) per second;
// tflops: multiply-adds of visible (query, position) pairs, times two.
// Usage: bench_cuda_attention [prefix of the cases' names].
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "vllm_native.h"

namespace {

constexpr int64_t kRotate = int64_t{256} << 20;  // bytes of cache that a case goes through before it repeats one
constexpr int kReplays = 11;
constexpr int kBlockSize = 16;

// vn_attention_params.reserved: the kernel for long rows.
enum Kernel : int64_t { kAny = 0, kMmaSync = 1, kWgmma = 2 };
constexpr const char* kKernelNames[] = {"any", "mma.sync", "wgmma"};

vn_device* g_device = nullptr;
vn_stream* g_stream = nullptr;
std::string g_prefix;

void require(int32_t status) {
  if (status == VN_OK) return;
  std::fprintf(stderr, "%s\n", vn_last_error());
  std::exit(1);
}

struct Buffer {
  explicit Buffer(int64_t bytes) {
    require(vn_buffer_create(g_device, VN_MEMORY_DEVICE, bytes, &handle));
    require(vn_buffer_data(handle, &data));
  }
  explicit Buffer(const std::vector<int32_t>& values) : Buffer(static_cast<int64_t>(values.size() * sizeof(int32_t))) {
    upload(values.data(), static_cast<int64_t>(values.size() * sizeof(int32_t)));
  }
  ~Buffer() { vn_buffer_destroy(handle); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void upload(const void* source, int64_t bytes) {
    require(vn_copy(g_stream, data, source, bytes, VN_COPY_HOST_TO_DEVICE));
    require(vn_stream_synchronize(g_stream));
  }
  // BF16 values in (-2, 2), the same 16 MB over and over: zeros would run cooler than any model. Read as fp8 codes there is
  // no NaN among them.
  void randomize(int64_t bytes) {
    static const std::vector<uint16_t> pattern = [] {
      std::vector<uint16_t> values(size_t{8} << 20);
      std::mt19937 engine(1);
      for (uint16_t& value : values) value = static_cast<uint16_t>((engine() & 0x80f7) | 0x3f00);
      return values;
    }();
    const auto step = static_cast<int64_t>(pattern.size() * sizeof(uint16_t));
    for (int64_t at = 0; at < bytes; at += step) {
      require(vn_copy(g_stream, static_cast<char*>(data) + at, pattern.data(), std::min(step, bytes - at),
                      VN_COPY_HOST_TO_DEVICE));
    }
    require(vn_stream_synchronize(g_stream));
  }

  vn_buffer* handle = nullptr;
  void* data = nullptr;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Microseconds of one launch: the median over replays of `count` launches. launch(i) is the i-th.
double microseconds(int count, const std::function<void(int)>& launch) {
  launch(0);
  require(vn_stream_synchronize(g_stream));
  vn_device_info info{};
  info.struct_size = sizeof info;
  require(vn_device_get_info(g_device, &info));
  vn_graph* graph = nullptr;
  if ((info.flags & VN_DEVICE_HAS_GRAPHS) && vn_graph_begin(g_stream) == VN_OK) {
    for (int i = 0; i < count; ++i) launch(i);
    require(vn_graph_end(g_stream, &graph));
  }
  const auto replay = [&] {
    if (graph) return require(vn_graph_launch(graph, g_stream));
    for (int i = 0; i < count; ++i) launch(i);
  };
  vn_event *start = nullptr, *end = nullptr;
  require(vn_event_create(g_device, &start));
  require(vn_event_create(g_device, &end));
  for (int i = 0; i < 2; ++i) replay();
  std::vector<double> times;
  for (int i = 0; i < kReplays; ++i) {
    require(vn_event_record(start, g_stream));
    replay();
    require(vn_event_record(end, g_stream));
    require(vn_event_synchronize(end));
    float milliseconds = 0;
    require(vn_event_elapsed(start, end, &milliseconds));
    times.push_back(1e3 * static_cast<double>(milliseconds) / count);
  }
  vn_event_destroy(start);
  vn_event_destroy(end);
  vn_graph_destroy(graph);
  return median(times);
}

bool wanted(const std::string& name) { return name.rfind(g_prefix, 0) == 0; }

struct Heads {
  int q, kv, dim;
};

struct Request {
  int query, length;
};

vn_tensor ints(const Buffer& buffer, int64_t rows, int64_t columns = 0) {
  if (columns == 0) return {buffer.data, VN_DTYPE_I32, 1, {rows, 0, 0, 0}, {1, 0, 0, 0}};
  return {buffer.data, VN_DTYPE_I32, 2, {rows, columns, 0, 0}, {columns, 1, 0, 0}};
}

int64_t size_of(int32_t dtype) { return dtype == VN_DTYPE_F8_E4M3 ? 1 : 2; }

vn_kv_cache cache_of(char* pool, const Heads& heads, int64_t num_blocks, int32_t dtype) {
  vn_kv_cache cache{};
  cache.struct_size = sizeof cache;
  cache.dtype = dtype;
  cache.num_blocks = num_blocks;
  cache.block_size = kBlockSize;
  cache.num_heads = heads.kv;
  cache.key_dim = cache.value_dim = heads.dim;
  cache.key_slot_stride = cache.value_slot_stride = heads.dim;
  cache.key_head_stride = cache.value_head_stride = int64_t{kBlockSize} * heads.dim;
  cache.key_block_stride = cache.value_block_stride = 2 * heads.kv * cache.key_head_stride;
  cache.key = pool;
  cache.value = pool + heads.kv * cache.key_head_stride * size_of(dtype);
  cache.key_scale = cache.value_scale = 0x1p-8f;
  return cache;
}

void bench_attention(const std::string& name, const Heads& heads, const std::vector<Request>& requests, int window = 0,
                     int32_t cache_dtype = VN_DTYPE_BF16, Kernel kernel = kAny) {
  if (!wanted(name)) return;
  std::vector<int32_t> start = {0}, lengths, rows;
  int64_t blocks = 0, width = 1, tokens = 0;
  int longest_query = 0, longest = 0, longest_prefill = 0;
  double pairs = 0, positions = 0;
  for (const Request& request : requests) {
    rows.insert(rows.end(), {static_cast<int32_t>(lengths.size()), 0, 0, request.length - request.query});
    lengths.push_back(request.length);
    tokens += request.query;
    start.push_back(static_cast<int32_t>(tokens));
    blocks += (request.length + kBlockSize - 1) / kBlockSize;
    longest_query = std::max(longest_query, request.query);
    if (request.query > 1) longest_prefill = std::max(longest_prefill, request.length);
    longest = std::max(longest, request.length);
    positions += window > 0 ? std::min(request.length, window + request.query - 1) : request.length;
    for (int i = 0; i < request.query; ++i) {
      const int seen = request.length - request.query + i + 1;
      pairs += window > 0 ? std::min(seen, window) : seen;
    }
  }
  width = (longest + kBlockSize - 1) / kBlockSize;
  std::vector<int32_t> ids(static_cast<size_t>(blocks)), table(requests.size() * static_cast<size_t>(width), 0);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  std::shuffle(ids.begin(), ids.end(), std::mt19937(5));
  size_t next = 0;
  for (size_t r = 0; r < requests.size(); ++r) {
    for (int b = 0; b * kBlockSize < requests[r].length; ++b) {
      table[r * static_cast<size_t>(width) + static_cast<size_t>(b)] = ids[next++];
    }
  }
  const int64_t pool_bytes = blocks * 2 * heads.kv * kBlockSize * heads.dim * size_of(cache_dtype);
  const int64_t layers = std::clamp<int64_t>(kRotate / pool_bytes, 1, 64);
  Buffer pool(pool_bytes * layers), q(tokens * (heads.q + 2 * heads.kv) * heads.dim * 2), out(tokens * heads.q * heads.dim * 2);
  pool.randomize(pool_bytes * layers);
  q.randomize(tokens * (heads.q + 2 * heads.kv) * heads.dim * 2);
  const Buffer start_buffer(start), lengths_buffer(lengths), rows_buffer(rows), table_buffer(table);
  const auto count = static_cast<int64_t>(requests.size());
  vn_attention_params p{};
  p.struct_size = sizeof p;
  p.window = window;
  p.reserved = kernel;
  p.max_query_len = longest_query;
  p.max_prefill_seq_len = longest_prefill;
  p.max_seq_len = longest;
  const int64_t q_stride = int64_t{heads.q + 2 * heads.kv} * heads.dim;
  p.q = {q.data, VN_DTYPE_BF16, 3, {tokens, heads.q, heads.dim, 0}, {q_stride, heads.dim, 1, 0}};
  p.out = {out.data, VN_DTYPE_BF16, 3, {tokens, heads.q, heads.dim, 0}, {int64_t{heads.q} * heads.dim, heads.dim, 1, 0}};
  p.query_start = ints(start_buffer, count + 1);
  p.seq_lens = ints(lengths_buffer, count);
  p.step_rows = ints(rows_buffer, count, 4);
  p.block_table = ints(table_buffer, count, width);
  require(vn_attention_workspace_size(g_device, tokens, heads.q, heads.dim, longest, &p.workspace_bytes));
  Buffer workspace(p.workspace_bytes);
  p.workspace = workspace.data;
  const double bytes = positions * heads.kv * heads.dim * 2 * static_cast<double>(size_of(cache_dtype));
  const double flops = 4.0 * pairs * heads.q * heads.dim;
  const double expected_us = std::max(bytes / 3e6, flops / 3e8) + 5;
  const int launches = std::clamp(static_cast<int>(10000 / expected_us), 2, 64);
  const double us = microseconds(launches, [&](int i) {
    p.cache = cache_of(static_cast<char*>(pool.data) + i % layers * pool_bytes, heads, blocks, cache_dtype);
    require(vn_attention_paged(g_stream, &p));
  });
  std::printf("{\"name\":\"%s\",\"rows\":%ld,\"tokens\":%ld,\"longest\":%d,\"heads\":\"%d/%d\",\"dim\":%d,\"window\":%d,"
              "\"kernel\":\"%s\",\"us\":%.2f,\"gbps\":%.0f,\"tflops\":%.1f}\n",
              name.c_str(), static_cast<long>(count), static_cast<long>(tokens), longest, heads.q, heads.kv, heads.dim,
              window, kKernelNames[kernel], us, 1e-3 * bytes / us, 1e-6 * flops / us);
  std::fflush(stdout);
}

std::vector<Request> rows_of(int count, int query, int length) {
  return std::vector<Request>(static_cast<size_t>(count), Request{query, length});
}

// The device's choice, and where it has two kernels for these heads each of them.
void bench_prefill(const std::string& name, const Heads& heads, const std::vector<Request>& requests, int window = 0) {
  bench_attention(name, heads, requests, window);
  vn_device_info info{};
  info.struct_size = sizeof info;
  require(vn_device_get_info(g_device, &info));
  if (info.capability != 90 || (heads.dim != 64 && heads.dim != 128)) return;
  for (const Kernel kernel : {kMmaSync, kWgmma}) bench_attention(name, heads, requests, window, VN_DTYPE_BF16, kernel);
}

// Lengths of a busy server: most short, some long.
std::vector<Request> uneven(int count) {
  std::vector<Request> requests;
  for (int i = 0; i < count; ++i) requests.push_back({1, i % 8 == 0 ? 8000 : 100 + 233 * i % 1500});
  return requests;
}

void bench_cache_write(int64_t tokens, int32_t cache_dtype = VN_DTYPE_BF16) {
  if (!wanted("cache_write")) return;
  constexpr Heads kHeads = {32, 8, 128};
  const int64_t blocks = std::max<int64_t>(2 * tokens / kBlockSize, 64) + 1;
  const int64_t pool_bytes = blocks * 2 * kHeads.kv * kBlockSize * kHeads.dim * size_of(cache_dtype);
  const int64_t layers = std::clamp<int64_t>(kRotate / pool_bytes, 1, 64);
  const int64_t stride = int64_t{kHeads.q + 2 * kHeads.kv} * kHeads.dim;
  Buffer pool(pool_bytes * layers), qkv(tokens * stride * 2), slots(tokens * 8);
  std::vector<int64_t> order(static_cast<size_t>(blocks * kBlockSize));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  if (tokens <= 256) std::shuffle(order.begin(), order.end(), std::mt19937(5));  // decode; a prompt's slots are neighbours
  slots.upload(order.data(), tokens * 8);
  vn_cache_write_params p{};
  p.struct_size = sizeof p;
  auto* base = static_cast<char*>(qkv.data);
  p.key = {base + int64_t{kHeads.q} * kHeads.dim * 2, VN_DTYPE_BF16, 3, {tokens, kHeads.kv, kHeads.dim, 0}, {stride, kHeads.dim, 1, 0}};
  p.value = p.key;
  p.value.data = static_cast<char*>(p.key.data) + int64_t{kHeads.kv} * kHeads.dim * 2;
  p.slot_mapping = {slots.data, VN_DTYPE_I64, 1, {tokens, 0, 0, 0}, {1, 0, 0, 0}};
  const double us = microseconds(32, [&](int i) {
    p.cache = cache_of(static_cast<char*>(pool.data) + i % layers * pool_bytes, kHeads, blocks, cache_dtype);
    require(vn_cache_write(g_stream, &p));
  });
  const double bytes = static_cast<double>(tokens * 2 * kHeads.kv * kHeads.dim * (2 + size_of(cache_dtype)));
  std::printf("{\"name\":\"cache_write%s\",\"tokens\":%ld,\"us\":%.2f,\"gbps\":%.0f}\n",
              cache_dtype == VN_DTYPE_F8_E4M3 ? "_fp8" : "", static_cast<long>(tokens), us, 1e-3 * bytes / us);
  std::fflush(stdout);
}

void bench_block_copy(int32_t pairs) {
  if (!wanted("block_copy")) return;
  constexpr int64_t kBytes = int64_t{2} << 20, kBlocks = 256;
  Buffer pool(kBytes * kBlocks);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < pairs; ++i) ids.insert(ids.end(), {i, i + static_cast<int32_t>(kBlocks) / 2});
  const Buffer list(ids);
  vn_block_copy_params p{};
  p.struct_size = sizeof p;
  p.num_pairs = pairs;
  p.pairs = ints(list, pairs, 2);
  p.pool = pool.data;
  p.block_bytes = kBytes;
  p.num_blocks = kBlocks;
  const double us = microseconds(16, [&](int) { require(vn_block_copy(g_stream, &p)); });
  std::printf("{\"name\":\"block_copy\",\"pairs\":%d,\"us\":%.2f,\"gbps\":%.0f}\n", pairs, us,
              1e-3 * 2 * static_cast<double>(kBytes) * pairs / us);
  std::fflush(stdout);
}

void bench_all() {
  constexpr Heads kLlama = {32, 8, 128};  // Llama-3.1-8B, Qwen3-8B
  for (const int rows : {1, 8, 32, 128, 256}) bench_attention("decode", kLlama, rows_of(rows, 1, 2048));
  for (const int length : {256, 512, 576, 600, 640, 1024}) {
    for (const int rows : {1, 32, 128}) bench_attention("decode_" + std::to_string(length), kLlama, rows_of(rows, 1, length));
  }
  bench_attention("decode_short", kLlama, rows_of(1, 1, 128));
  bench_attention("decode_short", kLlama, rows_of(32, 1, 128));
  bench_attention("decode_short", kLlama, rows_of(256, 1, 256));
  bench_attention("decode_long", kLlama, rows_of(1, 1, 65536));
  bench_attention("decode_uneven", kLlama, uneven(32));
  bench_attention("decode_window", kLlama, rows_of(32, 1, 8192), 1024);
  bench_attention("decode_mha", {32, 32, 128}, rows_of(32, 1, 1024));
  bench_attention("decode_mqa", {32, 1, 128}, rows_of(32, 1, 2048));
  bench_attention("decode_qwen3_0.6b", {16, 8, 128}, rows_of(32, 1, 2048));
  bench_attention("decode_qwen2.5_0.5b", {14, 2, 64}, rows_of(32, 1, 2048));
  bench_attention("decode_dim64", {32, 8, 64}, rows_of(32, 1, 2048));
  bench_attention("decode_dim96", {32, 32, 96}, rows_of(32, 1, 1024));
  bench_attention("decode_dim256", {8, 4, 256}, rows_of(32, 1, 2048));
  bench_attention("decode_4_tokens", kLlama, rows_of(32, 4, 2048));
  for (const int length : {128, 512, 2048, 8192, 32768}) bench_prefill("prefill", kLlama, rows_of(1, length, length));
  bench_prefill("prefill_batch", kLlama, rows_of(4, 2048, 2048));
  bench_prefill("prefill_batch", kLlama, rows_of(16, 512, 512));
  bench_prefill("prefill_chunk", kLlama, rows_of(1, 512, 8192));
  bench_prefill("prefill_window", kLlama, rows_of(1, 8192, 8192), 1024);
  bench_prefill("prefill_mha", {32, 32, 128}, rows_of(1, 2048, 2048));
  bench_prefill("prefill_dim64", {32, 8, 64}, rows_of(1, 2048, 2048));
  bench_prefill("prefill_dim96", {32, 32, 96}, rows_of(1, 2048, 2048));
  bench_prefill("prefill_dim256", {8, 4, 256}, rows_of(1, 2048, 2048));
  std::vector<Request> mixed = rows_of(64, 1, 2048);
  mixed.push_back({512, 1024});
  bench_prefill("mixed", kLlama, mixed);
  constexpr int32_t kFp8 = VN_DTYPE_F8_E4M3;
  bench_attention("mixed_decodes", kLlama, rows_of(64, 1, 1024));
  bench_attention("mixed_decodes_fp8", kLlama, rows_of(64, 1, 1024), 0, kFp8);
  for (const int query : {16, 32, 64, 128, 256, 384, 512}) {
    const Request chunk = {query, query + 16384};
    bench_prefill("chunk", kLlama, {chunk});
    bench_attention("chunk_fp8", kLlama, {chunk}, 0, kFp8);
    std::vector<Request> rows = rows_of(64, 1, 1024);
    rows.push_back(chunk);
    bench_attention("mixed_chunk", kLlama, rows);
    bench_attention("mixed_chunk_fp8", kLlama, rows, 0, kFp8);
  }
  std::vector<Request> fresh = rows_of(64, 1, 1024);  // beside a prompt's beginning
  fresh.push_back({256, 256});
  bench_attention("mixed_fresh", kLlama, fresh);
  bench_attention("mixed_fresh_fp8", kLlama, fresh, 0, kFp8);
  bench_attention("plain_decode", {32, 8, 80}, rows_of(32, 1, 2048));
  for (const int rows : {1, 32, 128, 256}) bench_attention("decode_fp8", kLlama, rows_of(rows, 1, 2048), 0, kFp8);
  bench_attention("decode_long_fp8", kLlama, rows_of(1, 1, 65536), 0, kFp8);
  bench_attention("decode_uneven_fp8", kLlama, uneven(32), 0, kFp8);
  bench_attention("decode_mha_fp8", {32, 32, 128}, rows_of(32, 1, 1024), 0, kFp8);
  bench_attention("decode_dim64_fp8", {32, 8, 64}, rows_of(32, 1, 2048), 0, kFp8);
  bench_attention("decode_dim96_fp8", {32, 32, 96}, rows_of(32, 1, 1024), 0, kFp8);
  bench_attention("decode_dim256_fp8", {8, 4, 256}, rows_of(32, 1, 2048), 0, kFp8);
  for (const int length : {512, 2048, 8192}) bench_attention("prefill_fp8", kLlama, rows_of(1, length, length), 0, kFp8);
  bench_attention("prefill_dim64_fp8", {32, 8, 64}, rows_of(1, 2048, 2048), 0, kFp8);
  bench_attention("prefill_dim256_fp8", {8, 4, 256}, rows_of(1, 2048, 2048), 0, kFp8);
  for (const int64_t tokens : {1, 32, 256, 2048, 8192}) bench_cache_write(tokens);
  for (const int64_t tokens : {1, 256, 8192}) bench_cache_write(tokens, kFp8);
  for (const int32_t pairs : {1, 16, 64}) bench_block_copy(pairs);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) g_prefix = argv[1];
  if (vn_device_create(VN_DEVICE_CUDA, 0, nullptr, &g_device) != VN_OK) {
    std::printf("{\"skipped\":\"%s\"}\n", vn_last_error());
    return 0;
  }
  require(vn_stream_create(g_device, VN_STREAM_COMPUTE, nullptr, &g_stream));
  bench_all();
  vn_stream_destroy(g_stream);
  vn_device_destroy(g_device);
}
