// What the parity tests share: the CPU device (the specification) and a CUDA device in one process, tensors that exist on
// both, and comparisons that name what differs. Through the C ABI only.
//
//   class NormParity : public parity::Test {};          // skips, in words, where there is no CUDA device
//   TEST_F(NormParity, ...) {
//     parity::Twin x(VN_DTYPE_BF16, {7, 4096}), y(VN_DTYPE_F32, {7, 4096});  // both sides poisoned, guard bands around
//     x.host().randomize(engine);
//     x.upload();                                        // what the CPU side holds now, CUDA holds too
//     auto p = ops_test::params_of<vn_op_params>();
//     parity::run(vn_op, p, [&](auto& params, parity::Side side) {           // once for each side
//       params.x = x.tensor(side);
//       params.y = y.tensor(side);
//     });
//     parity::expect_close(y, {.absolute = 1e-6, .relative = 1e-6}, "odd rows");   // or expect_same: bit for bit
//   }
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "ops_support.h"
#include "vllm_native.h"

namespace parity {

// The sizes that a run takes: all, or those up to VN_PARITY_LARGEST, for tools that slow everything down.
inline std::vector<int64_t> sizes(std::vector<int64_t> all) {
  const char* largest = std::getenv("VN_PARITY_LARGEST");
  if (largest) std::erase_if(all, [limit = std::atoll(largest)](int64_t size) { return size > limit; });
  return all;
}


using ops_test::Array;
using ops_test::params_of;

enum class Side { kCpu, kCuda };

// One CPU and one CUDA device for the whole program; the CUDA side is null where there is none, and why says so.
struct Devices {
  vn_device* cpu = nullptr;
  vn_device* cuda = nullptr;
  vn_stream* cpu_stream = nullptr;
  vn_stream* cuda_stream = nullptr;
  std::string why;

  Devices() {
    vn_device_options options{};
    options.struct_size = sizeof options;
    EXPECT_EQ(VN_OK, vn_device_create(VN_DEVICE_CPU, 0, &options, &cpu)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_stream_create(cpu, VN_STREAM_COMPUTE, nullptr, &cpu_stream)) << vn_last_error();
    if (vn_device_create(VN_DEVICE_CUDA, 0, nullptr, &cuda) != VN_OK) {
      why = vn_last_error();
      return;
    }
    EXPECT_EQ(VN_OK, vn_stream_create(cuda, VN_STREAM_COMPUTE, nullptr, &cuda_stream)) << vn_last_error();
  }
  ~Devices() {
    vn_stream_destroy(cuda_stream);
    vn_stream_destroy(cpu_stream);
    vn_device_destroy(cuda);
    vn_device_destroy(cpu);
  }
  Devices(const Devices&) = delete;
  Devices& operator=(const Devices&) = delete;

  vn_device* device(Side side) const { return side == Side::kCpu ? cpu : cuda; }
  vn_stream* stream(Side side) const { return side == Side::kCpu ? cpu_stream : cuda_stream; }
};

inline Devices& devices() {
  static Devices all;
  return all;
}

class Test : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!devices().cuda) GTEST_SKIP() << devices().why;
  }
};

// Bytes in the CUDA device's memory.
class DeviceBytes {
 public:
  explicit DeviceBytes(int64_t bytes) : bytes_(bytes) {
    EXPECT_EQ(VN_OK, vn_buffer_create(devices().cuda, VN_MEMORY_DEVICE, bytes, &buffer_)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_buffer_data(buffer_, &data_)) << vn_last_error();
  }
  ~DeviceBytes() { vn_buffer_destroy(buffer_); }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  char* data() const { return static_cast<char*>(data_); }
  int64_t size() const { return bytes_; }
  void upload(const void* source) { copy(data_, source, VN_COPY_HOST_TO_DEVICE); }
  void download(void* destination) const { copy(destination, data_, VN_COPY_DEVICE_TO_HOST); }

 private:
  void copy(void* destination, const void* source, int32_t direction) const {
    if (bytes_ == 0) return;
    EXPECT_EQ(VN_OK, vn_copy(devices().cuda_stream, destination, source, bytes_, direction)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_stream_synchronize(devices().cuda_stream)) << vn_last_error();
  }

  int64_t bytes_;
  vn_buffer* buffer_ = nullptr;
  void* data_ = nullptr;
};

// A dense array on both devices, guard bands included; poison until something is put in. The base is 128-byte aligned on
// CUDA, so that aligned views are aligned there.
class Twin {
 public:
  Twin(int32_t dtype, std::vector<int64_t> shape) : host_(dtype, std::move(shape)), device_(total(host_)) { upload(); }

  Array& host() { return host_; }
  const Array& host() const { return host_; }
  // Gives CUDA what the CPU side holds.
  void upload() { device_.upload(begin(host_)); }
  // CUDA's contents.
  Array download() const {
    Array copy = host_;
    device_.download(begin(copy));
    return copy;
  }

  void* data(Side side) { return side == Side::kCpu ? host_.data() : device_.data() + Array::kGuard; }
  vn_tensor tensor(Side side) { return view(host_.tensor(), side); }
  // The same view (made of host(), as host().columns() makes one) on a side.
  vn_tensor view(vn_tensor of_host, Side side) {
    const int64_t offset = static_cast<char*>(of_host.data) - static_cast<char*>(host_.data());
    of_host.data = static_cast<char*>(data(side)) + offset;
    return of_host;
  }

 private:
  static int64_t total(const Array& a) {
    return a.count() * ops_test::size_of(a.dtype()) + 2 * static_cast<int64_t>(Array::kGuard);
  }
  static void* begin(Array& a) { return static_cast<char*>(a.data()) - Array::kGuard; }

  Array host_;
  DeviceBytes device_;
};

// A byte array on both devices for structs (vn_sampling_row, pools).
template <typename T>
class TwinOf {
 public:
  explicit TwinOf(std::vector<T> values) : host_(std::move(values)), device_(static_cast<int64_t>(host_.size() * sizeof(T))) {
    upload();
  }
  std::vector<T>& host() { return host_; }
  void upload() { device_.upload(host_.data()); }
  T* data(Side side) { return side == Side::kCpu ? host_.data() : reinterpret_cast<T*>(device_.data()); }

 private:
  std::vector<T> host_;
  DeviceBytes device_;
};

// Scratch memory of each side, as large as was asked for and guarded behind.
class Workspace {
 public:
  static constexpr int64_t kGuard = 256;

  Workspace(int64_t cpu_bytes, int64_t cuda_bytes)
      : bytes_{cpu_bytes, cuda_bytes}, host_(static_cast<size_t>(cpu_bytes) + 64), device_(cuda_bytes + kGuard) {
    const std::vector<unsigned char> poison(static_cast<size_t>(cuda_bytes + kGuard), Array::kPoison);
    device_.upload(poison.data());
  }
  int64_t bytes(Side side) const { return bytes_[side == Side::kCuda]; }
  void* data(Side side) {
    if (side == Side::kCuda) return device_.data();
    const uintptr_t at = reinterpret_cast<uintptr_t>(host_.data());
    return host_.data() + (64 - at % 64) % 64;
  }
  bool guard_intact() const {
    std::vector<unsigned char> all(static_cast<size_t>(device_.size()));
    device_.download(all.data());
    return std::all_of(all.end() - kGuard, all.end(), [](unsigned char c) { return c == Array::kPoison; });
  }

 private:
  int64_t bytes_[2];
  std::vector<char> host_;
  DeviceBytes device_;
};

// Calls op on both sides with the params that fill(params, side) completes, and waits for CUDA. True when both succeeded.
template <typename Params, typename Fill>
bool run(int32_t (*op)(vn_stream*, const Params*), const Params& common, Fill&& fill) {
  bool good = true;
  for (const Side side : {Side::kCpu, Side::kCuda}) {
    Params params = common;
    fill(params, side);
    const int32_t status = op(devices().stream(side), &params);
    EXPECT_EQ(VN_OK, status) << (side == Side::kCpu ? "CPU: " : "CUDA: ") << vn_last_error();
    good = good && status == VN_OK;
  }
  const int32_t status = vn_stream_synchronize(devices().cuda_stream);
  EXPECT_EQ(VN_OK, status) << "CUDA: " << vn_last_error();
  return good && status == VN_OK;
}

// Allowed: absolute + relative * |CPU's value|, and for the 16-bit dtypes one unit in the last place on top.
struct Tolerance {
  double absolute = 0;
  double relative = 0;
};

namespace detail {

constexpr int kShown = 5;  // mismatches that are spelled out

inline void check_guards(const Twin& twin, const Array& got, const std::string& what) {
  EXPECT_TRUE(twin.host().guards_intact()) << what << ": the CPU left its array";
  EXPECT_TRUE(got.guards_intact()) << what << ": CUDA left its array";
}

}  // namespace detail

// Bit for bit.
inline void expect_same(Twin& twin, const std::string& what = "") {
  const Array got = twin.download();
  detail::check_guards(twin, got, what);
  const int64_t size = ops_test::size_of(twin.host().dtype());
  const auto* a = static_cast<const char*>(static_cast<const Array&>(twin.host()).data());
  const auto* b = static_cast<const char*>(got.data());
  std::ostringstream text;
  int64_t wrong = 0;
  for (int64_t i = 0; i < got.count(); ++i) {
    if (std::memcmp(a + i * size, b + i * size, static_cast<size_t>(size)) == 0) continue;
    if (wrong++ >= detail::kShown) continue;
    uint64_t cpu = 0, cuda = 0;
    std::memcpy(&cpu, a + i * size, static_cast<size_t>(size));
    std::memcpy(&cuda, b + i * size, static_cast<size_t>(size));
    text << "\n  [" << i << "] CPU 0x" << std::hex << cpu << ", CUDA 0x" << cuda << std::dec;
    if (size == 4) text << " (ints " << static_cast<int32_t>(cpu) << ", " << static_cast<int32_t>(cuda) << ")";
  }
  EXPECT_EQ(0, wrong) << what << ": " << wrong << " of " << got.count() << " elements differ" << text.str();
}

// Within a tolerance; NaN matches NaN, an infinity itself. Returns the largest error as a part of what is allowed.
inline double expect_close(Twin& twin, Tolerance tolerance, const std::string& what = "") {
  const Array got = twin.download();
  detail::check_guards(twin, got, what);
  const int32_t dtype = twin.host().dtype();
  std::ostringstream text;
  int64_t wrong = 0;
  double worst = 0;
  for (int64_t i = 0; i < got.count(); ++i) {
    const double a = twin.host().at(i), b = got.at(i);
    if ((std::isnan(a) && std::isnan(b)) || a == b) continue;
    double allowed = tolerance.absolute + tolerance.relative * std::fabs(a);
    if (dtype != VN_DTYPE_F32 && std::isfinite(a)) allowed += ops_test::ulp(a, dtype);
    const double error = std::fabs(a - b);
    if (std::isfinite(error)) worst = std::max(worst, error / allowed);
    if (error <= allowed && std::isfinite(a)) continue;
    if (wrong++ < detail::kShown) text << "\n  [" << i << "] CPU " << a << ", CUDA " << b << ", allowed " << allowed;
  }
  EXPECT_EQ(0, wrong) << what << ": " << wrong << " of " << got.count() << " elements differ, worst " << worst
                      << " of the allowed error" << text.str();
  return worst;
}

}  // namespace parity
