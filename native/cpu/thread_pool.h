// Threads that share one loop at a time. Idle workers spin for a moment, because the next loop of a step usually
// follows within microseconds, then sleep in the kernel.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace vn::cpu {

class ThreadPool {
 public:
  // threads: all that compute, the caller included; 0 = one for each core this process may use.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) on disjoint ranges that cover [0, count), of `grain` items each (the last may be shorter),
  // and returns when all are done. Which thread takes which range is not fixed: results must not depend on it.
  template <typename Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) {
    if (count <= 0) return;
    if (grain < 1) grain = 1;
    if (workers_.empty() || count <= grain) {
      body(int64_t{0}, count);
      return;
    }
    run({[](void* context, int64_t begin, int64_t end) { 
           (*static_cast<std::remove_reference_t<Body>*>(context))(begin, end);
         },
         const_cast<void*>(static_cast<const void*>(&body)), count, grain});
  }

 private:
  struct Job {
    void (*call)(void* context, int64_t begin, int64_t end);
    void* context;
    int64_t count;
    int64_t grain;
  };

  void run(Job job);
  void work();
  bool join();
  void worker_loop();

  static constexpr uint32_t kOpen = 1u << 31;

  std::vector<std::thread> workers_;
  Job job_{};
  alignas(64) std::atomic<uint32_t> epoch_{0};    // a change means a new job, or the end
  alignas(64) std::atomic<int64_t> next_{0};      // first item not yet taken
  alignas(64) std::atomic<uint32_t> state_{0};    // kOpen while workers may join the job, plus those that have
  std::atomic<bool> stop_{false};
};

}  // namespace vn::cpu
