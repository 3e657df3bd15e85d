// The CPU device's threads, seen through operations: every item is computed once and is there when the call returns,
// for any number of threads, at any pace, and beside other devices.
#include "gemm_support.h"

#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>

namespace {

using namespace vn_test;

// Fills a weight and reads it back: two parallel loops over its rows. Returns the number of elements that are not what
// `expected` says.
int64_t count_wrong(Cpu& cpu, const Weight& weight, uint64_t seed, const Matrix& expected) {
  if (vn_weight_fill(weight.handle, seed, 1.0f) != VN_OK) return -1;
  Matrix out(VN_DTYPE_F32, expected.rows(), expected.columns());
  read_rows(cpu, weight, out, all_ids(expected.rows()));
  int64_t wrong = 0;
  for (int64_t r = 0; r < expected.rows(); ++r) wrong += std::memcmp(out.row(r), expected.row(r), out.row_bytes()) != 0;
  return wrong;
}

Matrix filled_alone(uint64_t seed, int64_t rows, int64_t columns) {
  Cpu single(1);
  Weight weight(single, VN_WEIGHT_GEMM, VN_DTYPE_F32, rows, columns);
  EXPECT_EQ(VN_OK, vn_weight_fill(weight.handle, seed, 1.0f));
  Matrix out(VN_DTYPE_F32, rows, columns);
  read_rows(single, weight, out, all_ids(rows));
  return out;
}

TEST(ThreadPool, AnyNumberOfThreads) {
  const Matrix expected = filled_alone(1, 2000, 40);
  for (int threads : {1, 2, 3, 8, 33}) {
    Cpu cpu(threads);
    vn_device_info info{};
    info.struct_size = sizeof info;
    ASSERT_EQ(VN_OK, vn_device_get_info(cpu.device, &info));
    EXPECT_EQ(threads, info.num_threads);
    Weight weight(cpu, VN_WEIGHT_GEMM, VN_DTYPE_F32, 2000, 40);
    for (int i = 0; i < 20; ++i) ASSERT_EQ(0, count_wrong(cpu, weight, 1, expected));
  }
}

// Pauses longer than the workers spin: they must wake from sleep as well.
TEST(ThreadPool, WakesAfterPauses) {
  const Matrix expected = filled_alone(2, 500, 100);
  Cpu cpu(3);
  Weight weight(cpu, VN_WEIGHT_GEMM, VN_DTYPE_F32, 500, 100);
  for (int i = 0; i < 200; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(i % 4 * 70));
    ASSERT_EQ(0, count_wrong(cpu, weight, 2, expected));
  }
}

TEST(ThreadPool, DevicesAreIndependent) {
  const Matrix expected = filled_alone(3, 600, 70);
  std::atomic<int64_t> wrong{0};
  std::vector<std::thread> users;
  for (int user = 0; user < 4; ++user) {
    users.emplace_back([&, user] {
      Cpu cpu(1 + user);
      Weight weight(cpu, VN_WEIGHT_GEMM, VN_DTYPE_F32, 600, 70);
      for (int i = 0; i < 50; ++i) wrong += count_wrong(cpu, weight, 3, expected);
    });
  }
  for (auto& user : users) user.join();
  EXPECT_EQ(0, wrong.load());
}

// Workers spin for a moment after a loop, then sleep: an idle device takes no processor time.
TEST(ThreadPool, SleepsWhenIdle) {
  const Matrix expected = filled_alone(5, 500, 100);
  Cpu cpu(4);
  Weight weight(cpu, VN_WEIGHT_GEMM, VN_DTYPE_F32, 500, 100);
  ASSERT_EQ(0, count_wrong(cpu, weight, 5, expected));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::clock_t before = std::clock();  // of all threads of this process
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const double busy = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(busy, 0.03);
}

// Created and destroyed without and with work, also while the workers still spin.
TEST(ThreadPool, ComesAndGoes) {
  const Matrix expected = filled_alone(4, 200, 30);
  for (int i = 0; i < 50; ++i) {
    Cpu cpu(1 + i % 5);
    if (i % 2) continue;
    Weight weight(cpu, VN_WEIGHT_GEMM, VN_DTYPE_F32, 200, 30);
    ASSERT_EQ(0, count_wrong(cpu, weight, 4, expected));
  }
}

}  // namespace
