// The machine behind cuda_runtime.h. A block's threads are fibers on one host thread; blocks run one after
// the other. A thread runs until it waits: at a barrier, which opens when the whole block stands at it, or at
// a warp operation, which happens when exactly the lanes of its mask stand at it. When nobody can go on, the
// process stops and says who waits where. Streams are lazy: what is queued runs at a synchronisation, and
// only then is device memory mapped, so the host cannot read it. It is no simulator: no caches, no time, no
// races within an instruction.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <source_location>

struct dim3 {
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  unsigned x, y, z;
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

// For tests. In which order threads go, and blocks: what depends on it lacks a barrier.
enum class Order { forward, backward, shuffled };  // shuffled: another one after each barrier
inline Order order = Order::forward;
inline size_t device_memory = size_t{1} << 30;  // bytes
inline int launches = 0;                        // of kernels, so far
inline int synchronisations = 0;                // how often the host has waited for a stream

// For kernels.
struct Lanes {  // of a warp, as a mask, and where in the kernel they are named
  Lanes(unsigned m, std::source_location s = std::source_location::current()) : mask(m), site(s) {}
  unsigned mask;
  std::source_location site;
};
constexpr int kBallot = 32;
inline int thread_number;  // of the running thread, in its block
// The running thread waits: for its block where the mask is 0, else for these lanes. The result is the value
// of lane `source`, or the ballot: whose values are odd.
uint64_t wait(Lanes, uint64_t value, int source);
constexpr size_t kMostShared = 227 << 10;
alignas(256) inline char dynamic_shared[kMostShared];
inline std::map<const void*, size_t> allowed_shared;  // by kernel, where it asked for more than 48 KiB

// For the runtime.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& kernel);
struct Stream;
void enqueue(Stream*, std::function<void()> work);
size_t memory_in_use();
bool on_device(const void* first, size_t bytes);  // within one block of device memory

}  // namespace emulator
