// Measures vn_gemm against what the machine can do: bytes per second at M = 1 beside a loop that only reads, operations
// per second at prefill beside a loop that only multiplies, and the speed of loading and filling weights. Not a test.
// Usage: bench_gemm [threads [seconds per figure [VN_ISA_... at most | limits]]]. Limits and results are both taken from
// the fastest tenth of repeated runs. `limits` stops after the machine's own.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "vllm_native.h"

#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#endif

namespace {

int g_threads = 2;
int g_isa = 0;
double g_seconds = 0.5;

// With one thread, time on the processor: other processes then disturb caches only.
double now() {
  if (g_threads == 1) {
    timespec at{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return static_cast<double>(at.tv_sec) + 1e-9 * static_cast<double>(at.tv_nsec);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds of one call: the fastest tenth of repeated runs, since other processes can only slow a run down.
double time_of(const std::function<void()>& call) {
  call();
  std::vector<double> times;
  for (const double end = now() + g_seconds; now() < end || times.size() < 5;) {
    const double start = now();
    call();
    times.push_back(now() - start);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 10];
}

// Threads that wait, spinning, for a body to run: starting new ones would take longer than what is measured.
class Crew {
 public:
  explicit Crew(int threads) {
    for (int i = 1; i < threads; ++i) {
      threads_.emplace_back([this, i] {
        for (int64_t seen = 0;;) {
          while (turn_.load() == seen) std::this_thread::yield();
          seen = turn_.load();
          if (!body_) return;
          (*body_)(i);
          ++done_;
        }
      });
    }
  }
  ~Crew() {
    body_ = nullptr;
    ++turn_;
    for (auto& thread : threads_) thread.join();
  }
  void run(const std::function<void(int)>& body) {
    body_ = &body;
    done_ = 0;
    ++turn_;
    body(0);
    while (done_ != static_cast<int>(threads_.size())) std::this_thread::yield();
  }

 private:
  const std::function<void(int)>* body_ = nullptr;
  std::atomic<int64_t> turn_{0};
  std::atomic<int> done_{0};
  std::vector<std::thread> threads_;
};

void require(int32_t status) {
  if (status != VN_OK) {
    std::fprintf(stderr, "%s\n", vn_last_error());
    std::exit(1);
  }
}

#if defined(__x86_64__)
constexpr int kChains = 24;

__attribute__((target("avx512f,avx512bf16"))) double multiply_bf16(int64_t rounds) {
  __m512 sums[kChains];
#pragma GCC unroll 24
  for (int j = 0; j < kChains; ++j) {
    sums[j] = _mm512_setzero_ps();
    asm volatile("" : "+v"(sums[j]));  // or all chains would be found equal and become one
  }
  __m512i x = _mm512_set1_epi32(0x3c003c00), w = _mm512_set1_epi32(0x3c013c01);
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+v"(x), "+v"(w));
#pragma GCC unroll 24
    for (int j = 0; j < kChains; ++j) sums[j] = _mm512_dpbf16_ps(sums[j], (__m512bh)x, (__m512bh)w);
  }
#pragma GCC unroll 24
  for (int i = 1; i < kChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_reduce_add_ps(sums[0]);
}

// As many products of tiles as the other loops have chains; the device has asked for them.
__attribute__((target("amx-tile,amx-bf16"))) double multiply_tiles(int64_t rounds) {
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16};
  } config;
  alignas(64) static const char zeros[1024] = {};
  asm volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, zeros, 64);
  _tile_loadd(5, zeros, 64);
  for (int64_t i = 0; i < rounds * kChains / 4; ++i) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_release();
  return 0;
}

__attribute__((target("avx512f"))) double multiply_f32(int64_t rounds) {
  __m512 sums[kChains];
#pragma GCC unroll 24
  for (int j = 0; j < kChains; ++j) {
    sums[j] = _mm512_setzero_ps();
    asm volatile("" : "+v"(sums[j]));  // or all chains would be found equal and become one
  }
  __m512 x = _mm512_set1_ps(1e-3f), w = _mm512_set1_ps(1e-3f);
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+v"(x), "+v"(w));
#pragma GCC unroll 24
    for (int j = 0; j < kChains; ++j) sums[j] = _mm512_fmadd_ps(x, w, sums[j]);
  }
#pragma GCC unroll 24
  for (int i = 1; i < kChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_reduce_add_ps(sums[0]);
}

// Reads kStreams parts of the range side by side, as the kernels do.
template <int kStreams>
__attribute__((target("avx512f"))) int64_t read_lines(const char* data, size_t bytes) {
  __m512i sums[kStreams];
  for (int j = 0; j < kStreams; ++j) sums[j] = _mm512_setzero_si512();
  const size_t part = bytes / kStreams / 64 * 64;
  for (size_t i = 0; i < part; i += 64) {
#pragma GCC unroll 8
    for (size_t j = 0; j < kStreams; ++j) {
      sums[j] = _mm512_xor_si512(sums[j], _mm512_load_si512(data + j * part + i));
      _mm_prefetch(data + j * part + i + 1024, _MM_HINT_T0);
    }
  }
  for (int j = 1; j < kStreams; ++j) sums[0] = _mm512_xor_si512(sums[0], sums[j]);
  return _mm512_reduce_add_epi64(sums[0]);
}

volatile double g_sink;

double peak(Crew& crew, double (*loop)(int64_t), double operations, int64_t rounds = 100000) {
  const double seconds = time_of([&] { crew.run([&](int) { g_sink = loop(rounds); }); });
  return static_cast<double>(g_threads * rounds * kChains) * operations / seconds;
}

// The best of several ways to read. A run reads the next 16 MB, as much as a product at M = 1 does; pieces are taken as
// they come, so that a slow thread does not hold the other up.
double read_bandwidth(Crew& crew, const char* data, size_t bytes) {
  constexpr size_t kPiece = size_t{256} << 10, kRun = size_t{16} << 20;
  double best = 0;
  size_t start = 0;
  for (int64_t (*loop)(const char*, size_t) : {read_lines<1>, read_lines<2>, read_lines<4>, read_lines<8>}) {
    const double seconds = time_of([&] {
      std::atomic<size_t> next{start};
      crew.run([&](int) {
        for (size_t at = next.fetch_add(kPiece); at < start + kRun; at = next.fetch_add(kPiece)) {
          g_sink = static_cast<double>(loop(data + at, kPiece));
        }
      });
      start = (start + kRun) % bytes;
    });
    best = std::max(best, static_cast<double>(kRun) / seconds);
  }
  return best;
}
#endif

struct Machine {
  Machine() {
    vn_device_options options{};
    options.struct_size = sizeof options;
    options.num_threads = g_threads;
    options.isa_limit = g_isa;
    require(vn_device_create(VN_DEVICE_CPU, 0, &options, &device));
    require(vn_stream_create(device, VN_STREAM_COMPUTE, nullptr, &stream));
  }
  vn_device* device = nullptr;
  vn_stream* stream = nullptr;

  void* buffer(int64_t bytes) {
    vn_buffer* handle = nullptr;
    void* data = nullptr;
    require(vn_buffer_create(device, VN_MEMORY_DEVICE, bytes, &handle));
    require(vn_buffer_data(handle, &data));
    return data;
  }
};

int64_t size_of(int32_t dtype) { return dtype == VN_DTYPE_F32 ? 4 : 2; }
const char* name_of(int32_t dtype) { return dtype == VN_DTYPE_F32 ? "F32" : dtype == VN_DTYPE_F16 ? "F16" : "BF16"; }

// Seconds of one product; weights rotate so that none is in a cache from the last call.
double gemm_time(Machine& machine, std::vector<vn_weight*>& weights, int32_t x_dtype, int64_t m, int64_t n, int64_t k) {
  vn_gemm_params params{};
  params.struct_size = sizeof params;
  vn_buffer *x = nullptr, *y = nullptr, *workspace = nullptr;
  require(vn_buffer_create(machine.device, VN_MEMORY_DEVICE, m * k * size_of(x_dtype), &x));
  require(vn_buffer_create(machine.device, VN_MEMORY_DEVICE, m * n * 2, &y));
  std::vector<float> host(static_cast<size_t>(m * k));
  for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<float>(i * 7919 % 2003) * 1e-3f - 1.0f;
  require(vn_buffer_load(x, 0, x_dtype, host.data(), VN_DTYPE_F32, m * k));
  require(vn_gemm_workspace_size(weights[0], x_dtype, m, &params.workspace_bytes));
  require(vn_buffer_create(machine.device, VN_MEMORY_DEVICE, params.workspace_bytes, &workspace));
  require(vn_buffer_data(workspace, &params.workspace));
  params.x = {nullptr, x_dtype, 2, {m, k, 0, 0}, {k, 1, 0, 0}};
  params.y = {nullptr, VN_DTYPE_BF16, 2, {m, n, 0, 0}, {n, 1, 0, 0}};
  require(vn_buffer_data(x, &params.x.data));
  require(vn_buffer_data(y, &params.y.data));
  size_t turn = 0;
  const double seconds = time_of([&] {
    params.weight = weights[turn++ % weights.size()];
    require(vn_gemm(machine.stream, &params));
  });
  vn_buffer_destroy(x);
  vn_buffer_destroy(y);
  vn_buffer_destroy(workspace);
  return seconds;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) g_threads = std::atoi(argv[1]);
  if (argc > 2) g_seconds = std::atof(argv[2]);
  const bool limits_only = argc > 3 && std::strcmp(argv[3], "limits") == 0;
  if (argc > 3 && !limits_only) g_isa = std::atoi(argv[3]);
  Machine machine;
  vn_device_info info{};
  info.struct_size = sizeof info;
  require(vn_device_get_info(machine.device, &info));
  std::printf("%s, %d threads, capability %d\n", info.name, info.num_threads, info.capability);

  double peak_bf16 = 1, peak_f32 = 1, bandwidth = 1;
#if defined(__x86_64__)
  if (info.capability >= VN_ISA_AVX512_BF16) {
    constexpr size_t kBytes = size_t{512} << 20;
    char* data = static_cast<char*>(machine.buffer(kBytes));
    std::fill(data, data + kBytes, char{1});
    Crew crew(g_threads);
    bandwidth = read_bandwidth(crew, data, kBytes);
    const bool tiles = info.capability >= VN_ISA_AMX;
    peak_bf16 = tiles ? peak(crew, multiply_tiles, 2 * 16 * 16 * 32, 10000) : peak(crew, multiply_bf16, 64);
    peak_f32 = peak(crew, multiply_f32, 32);
    std::printf("peak: %s %.0f GFLOP/s, FMA %.0f GFLOP/s, read %.1f GB/s\n", tiles ? "TDPBF16PS" : "VDPBF16PS",
                peak_bf16 * 1e-9, peak_f32 * 1e-9, bandwidth * 1e-9);
  }
#endif

  if (limits_only) return 0;

  const struct {
    int32_t w, x;
  } kinds[] = {{VN_DTYPE_BF16, VN_DTYPE_BF16}, {VN_DTYPE_BF16, VN_DTYPE_F32}, {VN_DTYPE_F16, VN_DTYPE_F16},
               {VN_DTYPE_F32, VN_DTYPE_F32}};
  const struct {
    int64_t n, k;
  } shapes[] = {{2048, 2048}, {5632, 2048}, {2048, 5632}, {2048, 16384}};
  for (const auto& kind : kinds) {
    for (const auto& shape : shapes) {
      if (kind.w != VN_DTYPE_BF16 && shape.k == shape.n) continue;
      const int64_t copies = (int64_t{400} << 20) / (shape.n * shape.k * size_of(kind.w)) + 1;
      std::vector<vn_weight*> weights(static_cast<size_t>(copies));
      for (size_t i = 0; i < weights.size(); ++i) {
        require(vn_weight_create(machine.device, VN_WEIGHT_GEMM, kind.w, shape.n, shape.k, &weights[i]));
        require(vn_weight_fill(weights[i], i, 0.05f));
      }
      std::printf("W %-4s x %-4s  N %5ld K %5ld:", name_of(kind.w), name_of(kind.x), static_cast<long>(shape.n),
                  static_cast<long>(shape.k));
      const double bytes = static_cast<double>(shape.n * shape.k * size_of(kind.w));
      for (int64_t m : {1, 4, 8}) {
        const double seconds = gemm_time(machine, weights, kind.x, m, shape.n, shape.k);
        const double rate = bytes / seconds;
        std::printf("  M=%ld %.1f GB/s (%.0f%%)", static_cast<long>(m), rate * 1e-9, rate / bandwidth * 100);
      }
      const double top = kind.w == VN_DTYPE_BF16 && kind.x == VN_DTYPE_BF16 ? peak_bf16 : peak_f32;
      for (int64_t m : {16, 64, 512}) {
        const double seconds = gemm_time(machine, weights, kind.x, m, shape.n, shape.k);
        const double rate = 2.0 * static_cast<double>(m * shape.n * shape.k) / seconds;
        std::printf("  M=%ld %.0f GFLOP/s (%.0f%%)", static_cast<long>(m), rate * 1e-9, rate / top * 100);
      }
      std::printf("\n");
      std::fflush(stdout);
      for (auto* weight : weights) vn_weight_destroy(weight);
    }
  }

  for (int32_t dtype : {VN_DTYPE_BF16, VN_DTYPE_F16, VN_DTYPE_F32}) {
    constexpr int64_t kRows = 11264, kColumns = 4096;
    vn_weight* weight = nullptr;
    require(vn_weight_create(machine.device, VN_WEIGHT_GEMM, dtype, kRows, kColumns, &weight));
    const double bytes = static_cast<double>(kRows * kColumns * size_of(dtype));
    const double fill = time_of([&] { require(vn_weight_fill(weight, 1, 0.05f)); });
    std::printf("fill %s %.1f GB/s;", name_of(dtype), bytes / fill * 1e-9);
    for (int32_t source : {VN_DTYPE_BF16, VN_DTYPE_F16, VN_DTYPE_F32}) {
      std::vector<char> host(static_cast<size_t>(kRows * kColumns * size_of(source)), char{0x31});
      const double load =
          time_of([&] { require(vn_weight_load(weight, 0, kRows, kColumns, host.data(), source, kColumns)); });
      std::printf("  load from %s %.1f GB/s", name_of(source), bytes / load * 1e-9);
    }
    std::printf("\n");
    vn_weight_destroy(weight);
  }
  return 0;
}
