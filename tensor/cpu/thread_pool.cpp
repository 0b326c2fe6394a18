#include "tensor/cpu/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace gradus::cpu {
namespace {

// A thread that has nothing to do looks for work so long before it sleeps. Kernels of a training step follow
// each other within microseconds, and waking a thread takes some tens; but where other programs want the
// processor, what is spent looking is taken from the thread that is waited for.
constexpr std::chrono::microseconds kSpin{50};

template <class Ready> bool spin_until(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > end) return false;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  return true;
}

// A loop is open to workers while it has free seats. Only who has taken a seat reads the loop, and the caller
// waits for those alone: a worker that comes too late, or that fork() left behind, holds nobody up.
class Pool {
 public:
  bool try_lock() { return !busy_.test_and_set(std::memory_order_acquire); }
  void unlock() { busy_.clear(std::memory_order_release); }

  // For the thread that holds the lock.
  void run(int64_t tasks, int slots, void (*fn)(const void*, int64_t, int), const void* context) {
    tasks_ = tasks, fn_ = fn, context_ = context;
    next_.store(0, std::memory_order_relaxed);
    left_.store(0, std::memory_order_relaxed);
    const int seats = hire(static_cast<int>(std::min<int64_t>(slots, tasks)) - 1);
    seats_.store(seats, std::memory_order_release);
    if (seats == 1) seats_.notify_one();
    else seats_.notify_all();
    work(0);
    const int taken = seats - std::max(0, seats_.exchange(0, std::memory_order_relaxed));
    const auto left = [&] { return left_.load(std::memory_order_acquire); };
    if (!spin_until([&] { return left() == taken; }))
      for (int seen; (seen = left()) != taken;) left_.wait(seen);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  int hire(int wanted) {  // how many there are: fewer, if the system has no more to give
    try {
      for (; workers_ < wanted; ++workers_) std::thread([this] { wait_for_loops(); }).detach();
    } catch (const std::system_error&) {
    }
    return std::min(workers_, wanted);
  }

  [[noreturn]] void wait_for_loops() {
    const auto free = [&] { return seats_.load(std::memory_order_relaxed); };
    for (;;) {
      if (const int seen = free(); seen <= 0) {
        if (!spin_until([&] { return free() > 0; })) seats_.wait(seen);
      } else if (const int seat = seats_.fetch_sub(1, std::memory_order_acquire); seat > 0) {
        work(seat);
        left_.fetch_add(1, std::memory_order_release);
        left_.notify_one();
      }
    }
  }

  void work(int slot) {
    constexpr int64_t kStop = int64_t{1} << 62;
    try {
      for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) fn_(context_, i, slot);
    } catch (...) {
      if (next_.exchange(kStop) < kStop) failure_ = std::current_exception();  // the first one
    }
  }

  std::atomic_flag busy_;
  int workers_ = 0;
  int64_t tasks_ = 0;
  void (*fn_)(const void*, int64_t, int) = nullptr;
  const void* context_ = nullptr;
  std::exception_ptr failure_;
  // What idle threads look at stands on another cache line than what busy ones write.
  alignas(64) std::atomic<int> seats_ = 0;  // each number above 0 is a slot to take; the caller has slot 0
  alignas(64) std::atomic<int64_t> next_ = 0;
  std::atomic<int> left_ = 0;  // workers that have left the loop
};

}  // namespace

void run(int64_t tasks, int slots, void (*fn)(const void*, int64_t, int), const void* context) {
  static auto* pool = new Pool;  // never destroyed: its workers end with the process
  if (tasks > 1 && slots > 1)
    if (const std::unique_lock lock(*pool, std::try_to_lock); lock)
      return pool->run(tasks, slots, fn, context);
  for (int64_t task = 0; task < tasks; ++task) fn(context, task, 0);
}

}  // namespace gradus::cpu
