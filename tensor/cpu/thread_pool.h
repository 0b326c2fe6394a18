// The threads of the CPU backend: the caller and num_threads() - 1 workers, which start when they are first
// needed, wait for loops as long as the process lives, and share out one loop at a time. It is not a
// scheduler: there are no queues, priorities or futures, and a loop that begins while another runs (within
// it, or in another thread of the program) runs on the thread that began it.
#pragma once

#include <cstdint>

namespace gradus::cpu {

// Calls fn(context, task, slot) for each task in [0, tasks), on at most `slots` threads, and returns when all
// are done. Tasks start in order, each on the next free thread: so nothing waits for a worker that has
// no processor, and which thread runs a task is unspecified. Calls that run at once have different slots, in
// [0, slots). An exception ends the loop and reaches the caller.
void run(int64_t tasks, int slots, void (*fn)(const void* context, int64_t task, int slot),
         const void* context);

template <class Fn> void run(int64_t tasks, int slots, const Fn& fn) {
  const auto call = [](const void* f, int64_t task, int slot) { (*static_cast<const Fn*>(f))(task, slot); };
  run(tasks, slots, call, &fn);
}

}  // namespace gradus::cpu
