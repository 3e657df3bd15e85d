// Keeps other threads out of CUDA while one records a graph. Capture is thread-local, but what others do meanwhile may still
// break it: allocating, freeing and loading a module synchronise the context. Several devices of one process, and the
// garbage collector's own thread, make that likely.
#pragma once

#include <mutex>
#include <shared_mutex>

namespace vn::cuda {

class Recording {
 public:
  // Waits until nobody is inside CUDA and closes it to all threads but this one. False when this thread records already.
  static bool begin() {
    if (mine_) return false;
    gate_.lock();
    mine_ = true;
    return true;
  }
  static void end() {
    if (!mine_) return;
    mine_ = false;
    gate_.unlock();
  }

  // Held by every other call for as long as it is inside CUDA; not by those that only wait for work that was launched.
  class Passage {
   public:
    Passage() : held_(!mine_) {
      if (held_) gate_.lock_shared();
    }
    ~Passage() {
      if (held_) gate_.unlock_shared();
    }
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;

   private:
    const bool held_;
  };

 private:
  static inline std::shared_mutex gate_;
  static inline thread_local bool mine_ = false;
};

}  // namespace vn::cuda
