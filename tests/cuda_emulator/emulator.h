// The machine behind cuda_runtime.h. A block's threads are fibers on one host thread; blocks run one after
// the other. A thread runs until it waits: at a barrier, which opens when the whole block stands at it, or at
// a warp operation, which happens when exactly the lanes of its mask stand at it. When nobody can go on, the
// process stops and says who waits where. Streams are lazy: what is queued runs at a synchronisation, and
// only then is device memory mapped, so the host cannot read it. It is no simulator: no caches, no time, no
// races within an instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace emulator {

// For tests. In which order threads go, and blocks: what depends on it lacks a barrier.
enum class Order { forward, backward, shuffled };  // shuffled: another one after each barrier
void set_order(Order);
void set_memory(size_t bytes);  // of the device; at first 1 GiB
int synchronisations();         // how often the host has waited since the program began

// Behind the language.
using Site = std::source_location;
enum class State { ready, at_barrier, at_warp_sync, at_vote, at_shuffle, returned };

struct Here {
  uint3 thread, block;
  dim3 block_size, grid_size;
  int index;  // of the thread in its block
  int lane() const { return index % 32; }
};
inline Here here;  // of the thread that runs

// The running thread waits. The result: of a vote the ballot, of a shuffle the value of lane `source`.
uint64_t wait(State, unsigned mask, uint64_t value, int source, Site);
void* dynamic_shared();
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread);

// Behind the runtime.
struct Stream;
void enqueue(Stream*, std::function<void()> work);
bool on_device(const void* first, size_t bytes);  // within one block of device memory

}  // namespace emulator
