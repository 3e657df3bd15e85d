// Times vn_gemm, vn_embedding and the loading of weights on a CUDA device, at the shapes of Llama-3.1-8B and Qwen3-0.6B, for
// each kernel that takes them, and the products of a layer one after the other as a model's step has them. Launches are replayed
// from a graph, so that the host's share is not counted; operands rotate beyond the second-level cache; medians of 11 replays.
// One JSON line a case on stdout; a few lines of ceilings first. Arguments: which parts to run (ceilings, matrices, chains; all).
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "vllm_native.h"

namespace {

constexpr int64_t kRotate = int64_t{256} << 20;  // bytes of weights that a case goes through before it repeats one
constexpr int kReplays = 11;

vn_device* g_device = nullptr;
vn_stream* g_stream = nullptr;

void require(int32_t status) {
  if (status == VN_OK) return;
  std::fprintf(stderr, "%s\n", vn_last_error());
  std::exit(1);
}

struct Buffer {
  explicit Buffer(int64_t bytes, int32_t memory = VN_MEMORY_DEVICE) {
    require(vn_buffer_create(g_device, memory, bytes, &handle));
    require(vn_buffer_data(handle, &data));
  }
  ~Buffer() { vn_buffer_destroy(handle); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  vn_buffer* handle = nullptr;
  void* data = nullptr;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Microseconds of one launch: `count` of them in a graph, the median of kReplays replays. launch(i) is the i-th.
template <typename Launch>
double microseconds(int count, Launch&& launch) {
  launch(0);  // plans and modules exist before the capture
  require(vn_stream_synchronize(g_stream));
  vn_graph* graph = nullptr;
  require(vn_graph_begin(g_stream));
  for (int i = 0; i < count; ++i) launch(i);
  require(vn_graph_end(g_stream, &graph));
  vn_event *start = nullptr, *end = nullptr;
  require(vn_event_create(g_device, &start));
  require(vn_event_create(g_device, &end));
  for (int i = 0; i < 2; ++i) require(vn_graph_launch(graph, g_stream));
  std::vector<double> times;
  for (int i = 0; i < kReplays; ++i) {
    require(vn_event_record(start, g_stream));
    require(vn_graph_launch(graph, g_stream));
    require(vn_event_record(end, g_stream));
    require(vn_event_synchronize(end));
    float milliseconds = 0;
    require(vn_event_elapsed(start, end, &milliseconds));
    times.push_back(1e3 * milliseconds / count);
  }
  vn_event_destroy(start);
  vn_event_destroy(end);
  vn_graph_destroy(graph);
  return median(times);
}

void bench_copy() {
  constexpr int64_t kBytes = int64_t{1} << 30;
  Buffer from(kBytes), to(kBytes), pinned(kBytes / 4, VN_MEMORY_HOST);
  const double device = microseconds(2, [&](int) {
    require(vn_copy(g_stream, to.data, from.data, kBytes, VN_COPY_DEVICE_TO_DEVICE));
  });
  std::printf("{\"name\":\"copy_device\",\"us\":%.1f,\"gbps\":%.0f}\n", device, 2e-3 * kBytes / device);
  const double up = microseconds(2, [&](int) {
    require(vn_copy(g_stream, to.data, pinned.data, kBytes / 4, VN_COPY_HOST_TO_DEVICE));
  });
  std::printf("{\"name\":\"copy_pinned_to_device\",\"us\":%.1f,\"gbps\":%.1f}\n", up, 1e-3 * kBytes / 4 / up);
}

struct Matrix {
  const char* name;
  int64_t n, k;
  int32_t y_dtype;
};

// A way to compute products, as vn_gemm_params.reserved names it. "cublaslt" is the library's first guess, since it is measured
// before anything was tuned; "tuned" is vn_gemm after vn_gemm_tune.
struct Kernel {
  const char* name;
  int32_t reserved;
  int64_t max_rows;
  bool tuned = false;
};
constexpr Kernel kKernels[] = {{"chosen", 0, 4}, {"cublaslt", 1, INT64_MAX}, {"skinny", 2, 16}, {"hopper", 4, INT64_MAX},
                               {"hopper_deep", 5, 128},  {"tuned", 0, INT64_MAX, true}};

bool g_hopper = false;

bool takes(const Kernel& kernel, int64_t m) { return m <= kernel.max_rows && (kernel.reserved < 4 || g_hopper); }

void tune(vn_gemm_params params, int64_t m) {
  require(vn_gemm_tune_workspace_size(params.weight, params.x.dtype, params.y.dtype, m, &params.workspace_bytes));
  Buffer workspace(params.workspace_bytes);
  params.workspace = workspace.data;
  require(vn_gemm_tune(g_stream, &params));
}

std::vector<float> some_values(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7919 % 2003) * 1e-3f - 1.0f;
  return values;
}

void bench_matrix(const Matrix& matrix) {
  const int64_t bytes = matrix.n * matrix.k * 2;
  std::vector<vn_weight*> weights(static_cast<size_t>(kRotate / bytes + 1));
  for (size_t i = 0; i < weights.size(); ++i) {
    require(vn_weight_create(g_device, VN_WEIGHT_GEMM, VN_DTYPE_BF16, matrix.n, matrix.k, &weights[i]));
    require(vn_weight_fill(weights[i], i, 0.05f));
  }
  constexpr int64_t kMaxRows = 2048;
  const int64_t y_size = matrix.y_dtype == VN_DTYPE_F32 ? 4 : 2;
  const int64_t max_rows = matrix.y_dtype == VN_DTYPE_F32 ? 256 : kMaxRows;
  Buffer x(max_rows * matrix.k * 2), y(max_rows * matrix.n * y_size);
  const std::vector<float> values = some_values(max_rows * matrix.k);
  require(vn_buffer_load(x.handle, 0, VN_DTYPE_BF16, values.data(), VN_DTYPE_F32, max_rows * matrix.k));
  vn_gemm_params params{};
  params.struct_size = sizeof params;
  require(vn_gemm_workspace_size(weights[0], VN_DTYPE_BF16, max_rows, &params.workspace_bytes));
  Buffer workspace(params.workspace_bytes);
  params.workspace = workspace.data;
  for (const int64_t m : {1, 2, 4, 8, 16, 32, 64, 128, 256, 2048}) {
    if (m > max_rows) continue;
    params.x = {x.data, VN_DTYPE_BF16, 2, {m, matrix.k, 0, 0}, {matrix.k, 1, 0, 0}};
    params.y = {y.data, matrix.y_dtype, 2, {m, matrix.n, 0, 0}, {matrix.n, 1, 0, 0}};
    params.weight = weights[0];
    for (const Kernel& kernel : kKernels) {
      if (!takes(kernel, m)) continue;
      params.reserved = 0;
      if (kernel.tuned) tune(params, m);
      params.reserved = kernel.reserved;
      const int count = std::max(4, std::min<int>(64, static_cast<int>(weights.size())));
      const double us = microseconds(count, [&](int i) {
        params.weight = weights[static_cast<size_t>(i) % weights.size()];
        require(vn_gemm(g_stream, &params));
      });
      const double moved = static_cast<double>(bytes + m * matrix.k * 2 + m * matrix.n * y_size);
      const double flops = 2.0 * static_cast<double>(m * matrix.n * matrix.k);
      std::printf("{\"name\":\"gemm_%s\",\"kernel\":\"%s\",\"m\":%ld,\"n\":%ld,\"k\":%ld,\"dtype\":\"bf16\",\"us\":%.2f,"
                  "\"gbps\":%.0f,\"tflops\":%.1f}\n",
                  matrix.name, kernel.name, static_cast<long>(m), static_cast<long>(matrix.n),
                  static_cast<long>(matrix.k), us, 1e-3 * moved / us, 1e-6 * flops / us);
      std::fflush(stdout);
    }
  }
  for (vn_weight* weight : weights) vn_weight_destroy(weight);
}

constexpr Matrix kLlama[] = {{"qkv", 6144, 4096, VN_DTYPE_BF16},
                             {"o", 4096, 4096, VN_DTYPE_BF16},
                             {"gate_up", 28672, 4096, VN_DTYPE_BF16},
                             {"down", 4096, 14336, VN_DTYPE_BF16}};
constexpr Matrix kQwen[] = {{"qkv", 4096, 1024, VN_DTYPE_BF16},
                            {"o", 1024, 2048, VN_DTYPE_BF16},
                            {"gate_up", 6144, 1024, VN_DTYPE_BF16},
                            {"down", 1024, 3072, VN_DTYPE_BF16}};

// Layers of a model without attention: their products in order, W of each layer its own, and a norm ahead of each product where
// `norms`, as one small kernel or another is in a model's step.
void bench_chain(const char* model, const Matrix (&matrices)[4], int layers, bool norms) {
  constexpr int64_t kMaxRows = 512;
  std::vector<vn_weight*> weights;
  int64_t bytes = 0, most_columns = 0, most_rows = 0;
  for (int layer = 0; layer < layers; ++layer) {
    for (const Matrix& matrix : matrices) {
      require(vn_weight_create(g_device, VN_WEIGHT_GEMM, VN_DTYPE_BF16, matrix.n, matrix.k, &weights.emplace_back()));
      require(vn_weight_fill(weights.back(), weights.size(), 0.05f));
      bytes += matrix.n * matrix.k * 2;
      most_columns = std::max(most_columns, matrix.k);
      most_rows = std::max(most_rows, matrix.n);
    }
  }
  Buffer x(kMaxRows * most_columns * 2), normed(kMaxRows * most_columns * 2), y(kMaxRows * most_rows * 2);
  Buffer norm_weight(most_columns * 4);
  require(vn_buffer_load(norm_weight.handle, 0, VN_DTYPE_F32, some_values(most_columns).data(), VN_DTYPE_F32, most_columns));
  const std::vector<float> values = some_values(kMaxRows * most_columns);
  require(vn_buffer_load(x.handle, 0, VN_DTYPE_BF16, values.data(), VN_DTYPE_F32, kMaxRows * most_columns));
  int64_t workspace_bytes = 0;
  for (const vn_weight* weight : weights) {
    int64_t wanted = 0;
    require(vn_gemm_workspace_size(weight, VN_DTYPE_BF16, kMaxRows, &wanted));
    workspace_bytes = std::max(workspace_bytes, wanted);
  }
  Buffer workspace(workspace_bytes);
  for (const int64_t m : {1, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 320, 384, 512}) {
    const auto product = [&](size_t i) {
      const Matrix& matrix = matrices[i % 4];
      vn_gemm_params params{};
      params.struct_size = sizeof params;
      params.weight = weights[i];
      params.x = {norms ? normed.data : x.data, VN_DTYPE_BF16, 2, {m, matrix.k, 0, 0}, {matrix.k, 1, 0, 0}};
      params.y = {y.data, VN_DTYPE_BF16, 2, {m, matrix.n, 0, 0}, {matrix.n, 1, 0, 0}};
      params.workspace = workspace.data;
      params.workspace_bytes = workspace_bytes;
      return params;
    };
    const auto norm = [&](const vn_tensor& out) {
      vn_rms_norm_params params{};
      params.struct_size = sizeof params;
      params.eps = 1e-5f;
      params.x = out;
      params.x.data = x.data;
      params.weight = {norm_weight.data, VN_DTYPE_F32, 1, {out.shape[1], 0, 0, 0}, {1, 0, 0, 0}};
      params.out = out;
      require(vn_rms_norm(g_stream, &params));
    };
    for (const Kernel& kernel : kKernels) {
      if (!takes(kernel, m)) continue;
      for (size_t i = 0; kernel.tuned && i < 4; ++i) tune(product(i), m);
      const double us = microseconds(layers, [&](int layer) {
        for (size_t i = 0; i < 4; ++i) {
          vn_gemm_params params = product(static_cast<size_t>(layer) * 4 + i);
          params.reserved = kernel.reserved;
          if (norms) norm(params.x);
          require(vn_gemm(g_stream, &params));
        }
      });
      std::printf("{\"name\":\"chain_%s%s\",\"kernel\":\"%s\",\"m\":%ld,\"dtype\":\"bf16\",\"us_per_layer\":%.2f,\"gbps\":%.0f}\n",
                  model, norms ? "_norms" : "", kernel.name, static_cast<long>(m), us, 1e-3 * static_cast<double>(bytes / layers) / us);
      std::fflush(stdout);
    }
  }
  for (vn_weight* weight : weights) vn_weight_destroy(weight);
}

void bench_embedding() {
  constexpr int64_t kVocab = 128256, kColumns = 4096;
  vn_weight* table = nullptr;
  require(vn_weight_create(g_device, VN_WEIGHT_LOOKUP, VN_DTYPE_BF16, kVocab, kColumns, &table));
  require(vn_weight_fill(table, 1, 1.0f));
  for (const int64_t tokens : {1, 128, 8192}) {
    std::vector<int32_t> host(static_cast<size_t>(tokens));
    for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<int32_t>(i * 7919 % kVocab);
    Buffer ids(tokens * 4), out(tokens * kColumns * 2);
    require(vn_copy(g_stream, ids.data, host.data(), tokens * 4, VN_COPY_HOST_TO_DEVICE));
    require(vn_stream_synchronize(g_stream));
    vn_embedding_params params{};
    params.struct_size = sizeof params;
    params.table = table;
    params.ids = {ids.data, VN_DTYPE_I32, 1, {tokens, 0, 0, 0}, {1, 0, 0, 0}};
    params.out = {out.data, VN_DTYPE_BF16, 2, {tokens, kColumns, 0, 0}, {kColumns, 1, 0, 0}};
    const double us = microseconds(20, [&](int) { require(vn_embedding(g_stream, &params)); });
    std::printf("{\"name\":\"embedding\",\"tokens\":%ld,\"columns\":%ld,\"us\":%.2f,\"gbps\":%.0f}\n",
                static_cast<long>(tokens), static_cast<long>(kColumns), us,
                1e-3 * static_cast<double>(2 * tokens * kColumns * 2) / us);
  }
  vn_weight_destroy(table);
}

template <typename Call>
double seconds_of(Call&& call) {
  std::vector<double> times;
  for (int i = 0; i < 3; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return median(times);
}

// Filling on the device; loading from a file that lies in the page cache, mapped anew each time.
void bench_weights() {
  constexpr int64_t kRows = 65536, kColumns = 4096, kBytes = kRows * kColumns * 2;
  vn_weight* weight = nullptr;
  require(vn_weight_create(g_device, VN_WEIGHT_GEMM, VN_DTYPE_BF16, kRows, kColumns, &weight));
  const double fill = seconds_of([&] { require(vn_weight_fill(weight, 1, 0.05f)); });
  std::printf("{\"name\":\"weight_fill\",\"ms\":%.2f,\"gbps\":%.0f}\n", 1e3 * fill, 1e-9 * kBytes / fill);

  char path[] = "/tmp/bench_cuda_gemm_XXXXXX";
  const int file = mkstemp(path);
  if (file < 0) return;
  unlink(path);
  const std::vector<char> block(size_t{16} << 20, char{0x31});
  for (int64_t at = 0; at < kBytes; at += static_cast<int64_t>(block.size())) {
    if (write(file, block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
      close(file);
      return;
    }
  }
  const struct {
    const char* name;
    int32_t dtype;
    int64_t size;
  } sources[] = {{"bf16", VN_DTYPE_BF16, 2}, {"f16", VN_DTYPE_F16, 2}, {"f32", VN_DTYPE_F32, 4}};
  for (const auto& source : sources) {
    const int64_t rows = kRows * 2 / source.size;
    const double load = seconds_of([&] {
      void* map = mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, file, 0);
      if (map == MAP_FAILED) std::exit(1);
      require(vn_weight_load(weight, 0, rows, kColumns, map, source.dtype, kColumns));
      munmap(map, kBytes);
    });
    std::printf("{\"name\":\"weight_load\",\"from\":\"%s\",\"to\":\"bf16\",\"ms\":%.1f,\"gbps\":%.2f}\n", source.name,
                1e3 * load, 1e-9 * kBytes / load);
  }
  close(file);
  vn_weight_destroy(weight);
}

void bench_ceilings() {
  bench_copy();
  bench_weights();
  bench_embedding();
}

void bench_matrices() {
  const Matrix matrices[] = {
      {"llama8b_qkv", 6144, 4096, VN_DTYPE_BF16},      {"llama8b_o", 4096, 4096, VN_DTYPE_BF16},
      {"llama8b_gate_up", 28672, 4096, VN_DTYPE_BF16}, {"llama8b_down", 4096, 14336, VN_DTYPE_BF16},
      {"llama8b_lm_head", 128256, 4096, VN_DTYPE_F32}, {"qwen06b_qkv", 4096, 1024, VN_DTYPE_BF16},
      {"qwen06b_o", 1024, 2048, VN_DTYPE_BF16},        {"qwen06b_gate_up", 6144, 1024, VN_DTYPE_BF16},
      {"qwen06b_down", 1024, 3072, VN_DTYPE_BF16},     {"qwen06b_lm_head", 151936, 1024, VN_DTYPE_F32}};
  for (const Matrix& matrix : matrices) bench_matrix(matrix);
}

void bench_chains() {
  for (const bool norms : {false, true}) {
    bench_chain("llama8b", kLlama, 8, norms);
    bench_chain("qwen06b", kQwen, 28, norms);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const struct {
    const char* name;
    void (*run)();
  } parts[] = {{"ceilings", bench_ceilings}, {"matrices", bench_matrices}, {"chains", bench_chains}};
  vn_library_options options{};
  options.struct_size = sizeof options;
  options.log = [](void*, int32_t, const char* message) { std::fprintf(stderr, "%s\n", message); };  // what tuning has measured
  require(vn_library_init(&options));
  const std::vector<std::string> wanted(argv + 1, argv + argc);
  for (const auto& part : parts) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), part.name) == wanted.end()) continue;
    // A device of its own for each part: one where nothing was tuned.
    if (vn_device_create(VN_DEVICE_CUDA, 0, nullptr, &g_device) != VN_OK) {
      std::printf("{\"name\":\"gemm\",\"skipped\":\"no CUDA device\"}\n");
      std::fprintf(stderr, "skipped: %s\n", vn_last_error());
      return 0;
    }
    require(vn_stream_create(g_device, VN_STREAM_COMPUTE, nullptr, &g_stream));
    vn_device_info info{};
    info.struct_size = sizeof info;
    require(vn_device_get_info(g_device, &info));
    g_hopper = info.capability == 90;
    std::printf("{\"name\":\"device\",\"device\":\"%s\",\"sms\":%d,\"capability\":%d}\n", info.name, info.num_threads,
                info.capability);
    part.run();
    vn_stream_destroy(g_stream);
    vn_device_destroy(g_device);
  }
  return 0;
}
