// A grid: its blocks one after the other, the threads of a block as fibers.
#include <link.h>
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <span>
#include <vector>

#include "tests/cuda_emulator/emulator.h"
#include "tests/cuda_emulator/fiber.h"

namespace emulator {
namespace {

constexpr size_t kWarp = 32, kMostShared = 227 << 10;
constexpr int kPoison = 0xff;  // NaN as a float or a double, -1 as an int

struct Thread {
  State state;
  unsigned mask;
  uint64_t value;
  int source;
  Site site;
  Fiber* fiber;  // from its first step to its last
};

Order order = Order::forward;
int64_t rounds = 0;           // of a block between two barriers
std::vector<Thread> threads;  // of the block that runs
std::deque<Fiber> fibers;
std::vector<Fiber*> idle;
const std::function<void()>* body;
alignas(256) char shared[kMostShared];

void run_threads() {
  for (;;) {
    (*body)();
    wait(State::returned, 0, 0, 0, {});
  }
}

// Who is number k of n in this round. Shuffled: by a stride that has no factor in common with n.
int64_t turn(int64_t k, int64_t n, int64_t round) {
  if (order == Order::shuffled) return (k * 2654435761 + round * 7919) % n;
  return order == Order::forward ? k : n - 1 - k;
}
uint3 position(int64_t i, dim3 size) {
  return {unsigned(i % size.x), unsigned(i / size.x % size.y), unsigned(i / size.x / size.y)};
}
bool same_place(const Thread& a, const Thread& b) {  // one string in memory for each file
  return a.state == b.state && a.mask == b.mask && a.site.line() == b.site.line() &&
         a.site.file_name() == b.site.file_name();
}

[[noreturn]] void stuck() {
  const char* states[] = {"", "at a barrier", "at a warp operation", "returned"};
  size_t first = 0;
  while (threads[first].state == State::returned) ++first;
  std::fprintf(stderr, "cuda emulator: threads wait for each other in %s, block (%u, %u, %u)\n",
               threads[first].site.function_name(), blockIdx.x, blockIdx.y, blockIdx.z);
  first = 0;
  for (size_t i = 1; i <= threads.size(); ++i) {
    const Thread& t = threads[first];
    if (i < threads.size() && same_place(t, threads[i])) continue;
    std::fprintf(stderr, "  threads %zu to %zu: %s, mask %08x, %s:%u\n", first, i - 1, states[int(t.state)],
                 t.mask, t.site.file_name(), t.site.line());
    first = i;
  }
  std::abort();
}

bool open_barrier() {
  for (const Thread& t : threads)
    if (t.state != State::at_barrier || !same_place(t, threads[0])) return false;
  for (Thread& t : threads) t.state = State::ready;
  return true;
}

// Performs the warp operation that thread i waits for, if all lanes of its mask wait for it too.
bool perform(size_t i) {
  const unsigned mask = threads[i].mask;
  if (threads[i].state != State::at_warp_operation || !(mask >> i % kWarp & 1)) return false;
  const std::span warp = std::span(threads).subspan(i / kWarp * kWarp);
  uint64_t values[kWarp], ballot = 0;
  std::memset(values, kPoison, sizeof values);  // what lanes outside the mask give
  for (size_t lane = 0; lane < kWarp; ++lane) {
    if (!(mask >> lane & 1)) continue;
    if (lane >= warp.size() || !same_place(warp[lane], threads[i])) return false;
    values[lane] = warp[lane].value;
    ballot |= (values[lane] & 1) << lane;
  }
  for (Thread& t : warp.first(std::min(kWarp, warp.size())))
    if (mask >> (&t - warp.data()) & 1) {
      t.value = t.source == kBallot ? ballot : values[t.source];
      t.state = State::ready;
    }
  return true;
}

void run_block() {
  const int64_t n = blockDim.x * blockDim.y * blockDim.z;
  threads.assign(static_cast<size_t>(n), {});
  for (;; ++rounds) {
    for (int64_t k = 0; k < n; ++k) {
      const int64_t i = turn(k, n, rounds);
      if (threads[i].state != State::ready) continue;
      threadIdx = position(i, blockDim);
      thread_number = static_cast<int>(i);
      Thread& t = threads[i];
      if (idle.empty()) idle.push_back(&fibers.emplace_back(run_threads));
      if (!t.fiber) t.fiber = idle.back(), idle.pop_back();
      t.fiber->resume();
      if (t.state == State::returned) idle.push_back(t.fiber);
    }
    bool all_returned = true, any_performed = false;
    for (size_t i = 0; i < threads.size(); ++i) {
      all_returned &= threads[i].state == State::returned;
      any_performed |= perform(i);
    }
    if (all_returned) return;
    if (!any_performed && !open_barrier()) stuck();
  }
}

// Static shared memory: the thread-local variables of this program, which is the first of the modules.
std::span<char> static_shared() {
  std::span<char> found;
  const auto first_module = [](dl_phdr_info* module, size_t, void* result) {
    for (const auto& part : std::span(module->dlpi_phdr, module->dlpi_phnum))
      if (part.p_type == PT_TLS && module->dlpi_tls_data)
        *static_cast<std::span<char>*>(result) = {static_cast<char*>(module->dlpi_tls_data), part.p_memsz};
    return 1;
  };
  dl_iterate_phdr(first_module, &found);
  return found;
}

}  // namespace

void set_order(Order o) { order = o, rounds = 0; }

uint64_t wait(State state, unsigned mask, uint64_t value, int source, Site site) {
  Thread& t = threads[static_cast<size_t>(thread_number)];
  t = {state, mask, value, source, site, t.fiber};
  Fiber::suspend();
  return t.value;
}

void* dynamic_shared() { return shared; }

void run_grid(dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()>& kernel) {
  body = &kernel, blockDim = size, gridDim = grid;
  const int64_t blocks = int64_t{grid.x} * grid.y * grid.z, first_round = rounds;
  const std::span<char> statics = static_shared();
  const std::vector<char> of_host(statics.begin(), statics.end());  // which has thread-local variables too
  ASAN_POISON_MEMORY_REGION(shared + shared_bytes, kMostShared - shared_bytes);
  for (int64_t k = 0; k < blocks; ++k) {
    blockIdx = position(turn(k, blocks, first_round), grid);
    std::memset(statics.data(), kPoison, statics.size());
    std::memset(shared, kPoison, shared_bytes);
    run_block();
  }
  ASAN_UNPOISON_MEMORY_REGION(shared, kMostShared);
  std::ranges::copy(of_host, statics.begin());
}

}  // namespace emulator
