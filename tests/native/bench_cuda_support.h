// What the CUDA micro-benchmarks share: a device, buffers, and the time of a call, many of which are replayed from a graph.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "vllm_native.h"

namespace bench {

inline void require(int32_t status) {
  if (status == VN_OK) return;
  std::fprintf(stderr, "%s\n", vn_last_error());
  std::exit(1);
}

// A CUDA device; where there is none it says so and ends the program with success. serial: no kernel begins before the one
// ahead of it has ended.
class Cuda {
 public:
  explicit Cuda(bool serial = false) : serial_(serial) {
    vn_device_options options{};
    options.struct_size = sizeof options;
    options.serial_kernels = serial;
    if (vn_device_create(VN_DEVICE_CUDA, 0, &options, &device) != VN_OK) {
      std::printf("{\"skipped\": \"%s\"}\n", vn_last_error());
      std::exit(0);
    }
    require(vn_stream_create(device, VN_STREAM_COMPUTE, nullptr, &stream));
    require(vn_event_create(device, &start_));
    require(vn_event_create(device, &end_));
    vn_device_info info{};
    info.struct_size = sizeof info;
    require(vn_device_get_info(device, &info));
    std::printf("{\"device\": \"%s\", \"multiprocessors\": %d}\n", info.name, info.num_threads);
  }
  ~Cuda() {
    for (vn_buffer* buffer : buffers_) vn_buffer_destroy(buffer);
    vn_event_destroy(end_);
    vn_event_destroy(start_);
    vn_stream_destroy(stream);
    vn_device_destroy(device);
  }
  Cuda(const Cuda&) = delete;
  Cuda& operator=(const Cuda&) = delete;

  // Zeros, unless source is given; gone at release().
  char* allocate(int64_t bytes, const void* source = nullptr) {
    vn_buffer* buffer = nullptr;
    void* data = nullptr;
    require(vn_buffer_create(device, VN_MEMORY_DEVICE, bytes, &buffer));
    require(vn_buffer_data(buffer, &data));
    buffers_.push_back(buffer);
    if (source) {
      require(vn_copy(stream, data, source, bytes, VN_COPY_HOST_TO_DEVICE));
      require(vn_stream_synchronize(stream));
    }
    return static_cast<char*>(data);
  }
  void release() {
    for (vn_buffer* buffer : buffers_) vn_buffer_destroy(buffer);
    buffers_.clear();
  }

  // Microseconds of a call, median over rounds. call(i) gets a running number, to rotate its buffers by. The calls of a round
  // are recorded once: what is measured is the device's time, not that of launching from the host.
  double time(const std::function<void(int64_t)>& call, int calls_in_round = 20, int rounds = 15) {
    vn_graph* graph = nullptr;
    require(vn_graph_begin(stream));
    for (int i = 0; i < calls_in_round; ++i) call(i);
    require(vn_graph_end(stream, &graph));
    const auto one_round = [&] {
      float milliseconds = 0;
      require(vn_event_record(start_, stream));
      require(vn_graph_launch(graph, stream));
      require(vn_event_record(end_, stream));
      require(vn_event_synchronize(end_));
      require(vn_event_elapsed(start_, end_, &milliseconds));
      return static_cast<double>(milliseconds) * 1e3 / calls_in_round;
    };
    one_round();
    std::vector<double> times;
    for (int n = 0; n < rounds; ++n) times.push_back(one_round());
    vn_graph_destroy(graph);
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

  // One line of JSON. bytes: what the call has to move.
  void report(const std::string& name, double microseconds, double bytes) const {
    std::printf("{\"name\": \"%s%s\", \"us\": %.2f, \"GB/s\": %.1f}\n", name.c_str(), serial_ ? " serial" : "", microseconds,
                bytes / microseconds * 1e-3);
    std::fflush(stdout);
  }

  vn_device* device = nullptr;
  vn_stream* stream = nullptr;

 private:
  bool serial_;
  vn_event* start_ = nullptr;
  vn_event* end_ = nullptr;
  std::vector<vn_buffer*> buffers_;
};

// How many copies of a working set make the L2 cache useless.
inline int64_t copies_for(int64_t bytes) { return std::clamp<int64_t>((int64_t{160} << 20) / std::max<int64_t>(bytes, 1), 1, 64); }

inline vn_tensor tensor(void* data, int32_t dtype, int64_t n) { return {data, dtype, 1, {n}, {1}}; }
inline vn_tensor tensor(void* data, int32_t dtype, int64_t rows, int64_t columns, int64_t stride = 0) {
  return {data, dtype, 2, {rows, columns}, {stride ? stride : columns, 1}};
}
inline vn_tensor tensor3(void* data, int32_t dtype, int64_t tokens, int64_t heads, int64_t dim, int64_t stride) {
  return {data, dtype, 3, {tokens, heads, dim}, {stride, dim, 1}};
}

template <typename Params>
Params params_of() {
  Params params{};
  params.struct_size = sizeof params;
  return params;
}

}  // namespace bench
