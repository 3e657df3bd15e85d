// Why a CUDA device is not there: each case puts a copy of the library into a folder of its own, beside a plugin or none,
// and reads the words through the C ABI.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "vllm_native.h"

namespace {

namespace fs = std::filesystem;

class PluginTest : public testing::Test {
 protected:
  PluginTest() {
    std::string pattern = (fs::temp_directory_path() / "vn_plugin_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    fs::copy_file(VN_LIBRARY, folder_ / "libvllm_native.so");
  }
  ~PluginTest() override { fs::remove_all(folder_); }

  fs::path plugin() const { return folder_ / "libvllm_native_cuda.so"; }

  template <typename Function>
  Function* symbol(const char* name, Function*) {
    if (!library_) library_ = dlopen((folder_ / "libvllm_native.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(nullptr, library_) << dlerror();
    return reinterpret_cast<Function*>(dlsym(library_, name));
  }

  // Asks for CUDA device 0, which must fail with VN_NO_DEVICE; returns the message.
  std::string refusal() {
    vn_device* device = nullptr;
    EXPECT_EQ(VN_NO_DEVICE, symbol("vn_device_create", vn_device_create)(VN_DEVICE_CUDA, 0, nullptr, &device));
    EXPECT_EQ(nullptr, device);
    return symbol("vn_last_error", vn_last_error)();
  }

  fs::path folder_;

 private:
  void* library_ = nullptr;
};

#define EXPECT_HAS(text, part) EXPECT_NE(std::string::npos, (text).find(part)) << (text)

TEST_F(PluginTest, NoPluginNamesThePath) {
  const std::string message = refusal();
  EXPECT_HAS(message, "device_create: no CUDA plugin at " + plugin().string() + ": No such file");
}

TEST_F(PluginTest, CountIsZeroAndSaysWhy) {
  int32_t count = -1;
  EXPECT_EQ(VN_OK, symbol("vn_device_count", vn_device_count)(VN_DEVICE_CUDA, &count));
  EXPECT_EQ(0, count);
  EXPECT_HAS(std::string(symbol("vn_last_error", vn_last_error)()), "no CUDA plugin at ");
}

TEST_F(PluginTest, FileThatIsNoLibraryGivesTheLoadersWords) {
  std::ofstream(plugin()) << "not a library";
  const std::string message = refusal();
  EXPECT_HAS(message, "cannot be opened: " + plugin().string());
}

TEST_F(PluginTest, MissingEntryIsNamed) {
  fs::copy_file(VN_FAKE_PLUGINS "/libfake_plugin_no_entry.so", plugin());
  EXPECT_HAS(refusal(), "does not export vn_cuda_plugin_table");
}

TEST_F(PluginTest, PluginThatRefusesTheHostIsNamed) {
  fs::copy_file(VN_FAKE_PLUGINS "/libfake_plugin_refuses.so", plugin());
  EXPECT_HAS(refusal(), "does not speak this library's backend version 1");
}

TEST_F(PluginTest, OtherVersionNamesBoth) {
  fs::copy_file(VN_FAKE_PLUGINS "/libfake_plugin_version.so", plugin());
  EXPECT_HAS(refusal(), "speaks backend version 2, this library 1");
}

TEST_F(PluginTest, OtherTableSizeNamesBoth) {
  fs::copy_file(VN_FAKE_PLUGINS "/libfake_plugin_size.so", plugin());
  EXPECT_HAS(refusal(), "has a backend table of 16 bytes");
}

TEST_F(PluginTest, PluginsOwnReasonIsPassedOn) {
  fs::copy_file(VN_FAKE_PLUGINS "/libfake_plugin_no_device.so", plugin());
  EXPECT_EQ("device_create: CUDA driver not found: it is a fake", refusal());
}

TEST_F(PluginTest, ManyThreadsGetTheSameAnswer) {
  fs::copy_file(VN_FAKE_PLUGINS "/libfake_plugin_no_device.so", plugin());
  auto* create = symbol("vn_device_create", vn_device_create);
  auto* last_error = symbol("vn_last_error", vn_last_error);
  std::vector<std::string> messages(8);
  std::vector<std::thread> threads;
  for (std::string& message : messages) {
    threads.emplace_back([&message, create, last_error] {
      vn_device* device = nullptr;
      if (create(VN_DEVICE_CUDA, 0, nullptr, &device) == VN_NO_DEVICE) message = last_error();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& message : messages) EXPECT_EQ("device_create: CUDA driver not found: it is a fake", message);
}

// The library as it was built: on a machine with a GPU this device is there, elsewhere the reason is in words.
TEST(Plugin, RealCudaDeviceOrAReason) {
  vn_device* device = nullptr;
  const int32_t status = vn_device_create(VN_DEVICE_CUDA, 0, nullptr, &device);
  if (status == VN_OK) {
    vn_device_destroy(device);
    return;
  }
  EXPECT_EQ(VN_NO_DEVICE, status);
  const std::string message = vn_last_error();
  EXPECT_TRUE(message.find("no CUDA ") != std::string::npos ||
              message.find("CUDA driver not found") != std::string::npos)
      << message;
}

}  // namespace
