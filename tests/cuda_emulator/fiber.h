// Fibers: functions that can be left in the middle and taken up again, each on a stack of its own. One
// scheduler resumes them, one at a time, from one host thread. (ucontext does the same with a system call for
// each switch, at ten times the time.)
#pragma once

#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>

#include <cstdlib>

extern "C" void emulator_switch(void** from, void* to);
asm(R"(.text
emulator_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi); movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");

namespace emulator {

class Fiber {
 public:
  // `run` never returns: when its work is done it suspends and begins anew.
  explicit Fiber(void (*run)()) : run_(run) {
    void* memory = mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, kGuard, PROT_NONE) != 0) std::abort();
    stack_ = static_cast<char*>(memory) + kGuard;
    static size_t made = 0;  // stacks a power of two apart would all lie in the same few lines of the cache
    void** end = reinterpret_cast<void**>(stack_ + kStack - made++ % 128 * 128);
    // Where the first switch returns to, aligned as if it were called, below six registers.
    end[-2] = reinterpret_cast<void*>(enter);
    top_ = end - 8;
  }

  void resume() {  // by the scheduler: runs until suspend()
    running = this;
    leave(&scheduler_shadow, stack_, kStack);
    emulator_switch(&scheduler_top, top_);
    arrive(scheduler_shadow, nullptr, nullptr);
  }

  static void suspend() {  // by the running fiber
    Fiber* self = running;
    leave(&self->shadow_, scheduler_stack, scheduler_size);
    emulator_switch(&self->top_, scheduler_top);
    arrive(self->shadow_, &scheduler_stack, &scheduler_size);
  }

 private:
  static constexpr size_t kStack = 128 << 10, kGuard = 64 << 10;  // an overflow must not go unseen

  static void enter() {
    arrive(nullptr, &scheduler_stack, &scheduler_size);
    running->run_();
  }
#ifdef __SANITIZE_ADDRESS__  // wants to know which stack is in use
  static constexpr auto leave = __sanitizer_start_switch_fiber;
  static constexpr auto arrive = __sanitizer_finish_switch_fiber;
#else
  static void leave(void**, const void*, size_t) {}
  static void arrive(void*, const void**, size_t*) {}
#endif

  static inline Fiber* running;
  static inline void *scheduler_top, *scheduler_shadow;
  static inline const void* scheduler_stack;
  static inline size_t scheduler_size;

  void (*run_)();
  char* stack_;
  void *top_, *shadow_ = nullptr;  // of the stack while it waits; AddressSanitizer's
};

}  // namespace emulator
