#include "tests/cuda_emulator/fiber.h"

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>

#ifdef __x86_64__
extern "C" void emulator_switch(void** from, void* to);
asm(R"(.text
.globl emulator_switch
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
#endif

namespace emulator {
namespace {

constexpr size_t kStack = 128 << 10;

Fiber* running;
Context scheduler;
void* scheduler_shadow;
const void* scheduler_stack;
size_t scheduler_stack_size;

#ifdef __SANITIZE_ADDRESS__
constexpr auto leave = __sanitizer_start_switch_fiber;
constexpr auto arrive = __sanitizer_finish_switch_fiber;
#else
void leave(void**, const void*, size_t) {}
void arrive(void*, const void**, size_t*) {}
#endif

#ifdef __x86_64__
void prepare(Context& context, char* stack, void (*entry)()) {
  void** top = reinterpret_cast<void**>(stack + kStack);
  *--top = nullptr;  // entry() is aligned as if it had been called
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context = top;
}
void switch_to(Context& from, Context& to) { emulator_switch(&from, to); }
#else
void prepare(Context& context, char* stack, void (*entry)()) {
  getcontext(&context);
  context.uc_stack = {stack, 0, kStack};
  makecontext(&context, entry, 0);
}
void switch_to(Context& from, Context& to) { swapcontext(&from, &to); }
#endif

}  // namespace

Fiber::Fiber(void (*run)()) : run_(run) {
  const size_t guard =
      static_cast<size_t>(sysconf(_SC_PAGESIZE));  // a stack that overflows must not go unseen
  void* memory = mmap(nullptr, guard + kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, guard, PROT_NONE);
  stack_ = static_cast<char*>(memory) + guard;
  prepare(context_, stack_, enter);
}

Fiber::~Fiber() {
  const size_t guard = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  ASAN_UNPOISON_MEMORY_REGION(stack_, kStack);  // of frames that never returned
  munmap(stack_ - guard, guard + kStack);
}

void Fiber::enter() {
  arrive(nullptr, &scheduler_stack, &scheduler_stack_size);
  running->run_();
}

void Fiber::resume() {
  running = this;
  leave(&scheduler_shadow, stack_, kStack);
  switch_to(scheduler, context_);
  arrive(scheduler_shadow, nullptr, nullptr);
}

void Fiber::suspend() {
  Fiber* self = running;
  leave(&self->shadow_, scheduler_stack, scheduler_stack_size);
  switch_to(self->context_, scheduler);
  arrive(self->shadow_, &scheduler_stack, &scheduler_stack_size);
}

}  // namespace emulator
