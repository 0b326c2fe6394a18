// A grid: its blocks one after the other, the threads of a block as fibers.
#include <link.h>
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <span>
#include <vector>

#include "tests/cuda_emulator/emulator.h"
#include "tests/cuda_emulator/fiber.h"

namespace emulator {
namespace {

constexpr int64_t kWarp = 32;
constexpr char kPoison = -1;  // all bits: NaN as a float or a double, -1 as an int

enum class State { ready, waiting, returned };
struct Thread {
  State state = State::ready;
  Lanes lanes{0, {}};
  uint64_t value = 0;
  int source = 0;
  Fiber* fiber = nullptr;  // from its first step to its last
};

int64_t rounds = 0;           // of a warp between two of its operations
std::vector<Thread> threads;  // of the block that runs
std::deque<Fiber> fibers;
std::vector<Fiber*> idle;
const std::function<void()>* body;

Thread& self() { return threads[static_cast<size_t>(thread_number)]; }

void run_threads() {
  for (;; Fiber::suspend()) {
    (*body)();
    self() = {.state = State::returned, .fiber = self().fiber};
  }
}

// Who is number k of n in this round. Shuffled: by a stride that has no factor in common with n.
int64_t turn(int64_t k, int64_t n, int64_t round) {
  if (order == Order::shuffled) return (k * 2654435761 + round * 7919) % n;
  return order == Order::forward ? k : n - 1 - k;
}
dim3 position(int64_t i, dim3 size) {
  return {unsigned(i % size.x), unsigned(i / size.x % size.y), unsigned(i / size.x / size.y)};
}
bool same_place(const Thread& a, const Thread& b) {  // a file's name is in memory once
  return a.state == b.state && a.lanes.mask == b.lanes.mask && a.lanes.site.line() == b.lanes.site.line() &&
         a.lanes.site.file_name() == b.lanes.site.file_name();
}

[[noreturn]] void stuck() {
  const auto waiting = std::ranges::find(threads, State::waiting, &Thread::state);
  std::fprintf(stderr, "cuda emulator: threads wait for each other in %s, block (%u, %u, %u)\n",
               waiting->lanes.site.function_name(), blockIdx.x, blockIdx.y, blockIdx.z);
  for (size_t first = 0, i = 1; i <= threads.size(); ++i) {
    const auto& [state, lanes, value, source, fiber] = threads[first];
    if (i < threads.size() && same_place(threads[first], threads[i])) continue;
    const char* at = state == State::returned ? "returned" : lanes.mask ? "in a warp" : "at a barrier";
    std::fprintf(stderr, "  threads %zu to %zu: %s, ", first, i - 1, at);
    std::fprintf(stderr, "mask %08x, %s:%u\n", lanes.mask, lanes.site.file_name(), lanes.site.line());
    first = i;
  }
  std::abort();
}

// Where all have come whom thread i waits for, they go on.
bool release(int64_t i) {
  const unsigned mask = threads[i].lanes.mask;
  if (threads[i].state != State::waiting || (mask == 0 && i > 0)) return false;
  const int64_t first = mask ? i / kWarp * kWarp : 0, end = mask ? first + kWarp : std::ssize(threads);
  const auto named = [=](int64_t j) { return mask == 0 || (mask >> (j - first) & 1); };
  uint64_t values[kWarp + 1];
  std::ranges::fill(values, ~uint64_t{0});  // poison: what lanes outside the mask give
  values[kBallot] = 0;
  for (int64_t j = first; j < end; ++j) {
    if (!named(j)) continue;
    if (j >= std::ssize(threads) || !same_place(threads[j], threads[i])) return false;
    values[j % kWarp] = threads[j].value;
    values[kBallot] |= (threads[j].value & 1) << j % kWarp;
  }
  for (int64_t j = first; j < end; ++j)
    if (named(j)) threads[j].state = State::ready, threads[j].value = values[threads[j].source];
  return true;
}

// A warp runs until all of it stands at a barrier, far ahead of warps whose turn comes later.
void run_warp(int64_t first) {
  const int64_t lanes = std::min<int64_t>(kWarp, std::ssize(threads) - first);
  for (bool again = true; again; ++rounds) {
    for (int64_t k = 0; k < lanes; ++k) {
      thread_number = static_cast<int>(first + turn(k, lanes, rounds));
      Thread& t = self();
      if (t.state != State::ready) continue;
      threadIdx = position(thread_number, blockDim);
      if (idle.empty()) idle.push_back(&fibers.emplace_back(run_threads));
      if (!t.fiber) t.fiber = idle.back(), idle.pop_back();
      t.fiber->resume();
      if (t.state == State::returned) idle.push_back(t.fiber);
    }
    again = false;
    for (int64_t i = first; i < first + lanes; ++i) again |= threads[i].lanes.mask && release(i);
  }
}

void run_block() {
  threads.assign(blockDim.x * blockDim.y * blockDim.z, {});
  const int64_t warps = (std::ssize(threads) + kWarp - 1) / kWarp;
  do {
    const int64_t round = rounds;
    for (int64_t k = 0; k < warps; ++k) run_warp(turn(k, warps, round) * kWarp);
    if (std::ranges::count(threads, State::returned, &Thread::state) == std::ssize(threads)) return;
  } while (release(0));
  stuck();
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

uint64_t wait(Lanes lanes, uint64_t value, int source) {
  Thread& t = self() = {State::waiting, lanes, value, source, self().fiber};
  Fiber::suspend();
  return t.value;
}

void run_grid(dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()>& kernel) {
  body = &kernel, blockDim = size, gridDim = grid;
  const int64_t blocks = int64_t{grid.x} * grid.y * grid.z, first_round = rounds;
  const std::span<char> statics = static_shared();
  const std::vector<char> of_host(statics.begin(), statics.end());  // which has thread-local variables too
  ASAN_POISON_MEMORY_REGION(dynamic_shared + shared_bytes, kMostShared - shared_bytes);
  for (int64_t k = 0; k < blocks; ++k) {
    blockIdx = position(turn(k, blocks, first_round), grid);
    std::ranges::fill(statics, kPoison);
    std::fill_n(dynamic_shared, shared_bytes, kPoison);
    run_block();
  }
  ASAN_UNPOISON_MEMORY_REGION(dynamic_shared, kMostShared);
  std::ranges::copy(of_host, statics.begin());
}

}  // namespace emulator
