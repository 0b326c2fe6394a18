// Fibers: functions that can be left in the middle and taken up again, each on a stack of its own. One
// scheduler resumes them, one at a time, from one host thread. ucontext does the same with a system call for
// each switch, which costs ten times as much.
#pragma once

#include <cstddef>

#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace emulator {

#ifdef __x86_64__
using Context = void*;  // a stack pointer; the registers lie on the stack
#else
using Context = ucontext_t;
#endif

class Fiber {
 public:
  explicit Fiber(void (*run)());  // never returns: when its work is done it suspends, and starts again
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void resume();          // by the scheduler: run until suspend()
  static void suspend();  // by the running fiber

 private:
  static void enter();

  void (*run_)();
  char* stack_;
  Context context_;
  void* shadow_ = nullptr;  // AddressSanitizer's
};

}  // namespace emulator
