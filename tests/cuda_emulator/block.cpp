// A grid: its blocks one after the other, the threads of a block as fibers.
#include <link.h>
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "tests/cuda_emulator/emulator.h"
#include "tests/cuda_emulator/fiber.h"

namespace emulator {
namespace {

constexpr int kWarp = 32;
constexpr int kPoison = 0xff;  // NaN as a float or a double, -1 as an int
constexpr size_t kMostShared = 227 << 10;

[[noreturn]] void run_threads();

struct Thread {
  State state = State::ready;
  unsigned mask = 0;
  uint64_t value = 0;
  int source = 0;
  Site site = {};
  uint3 position = {};
  Fiber fiber{run_threads};
};

Order order = Order::forward;
std::mt19937 shuffler;
std::vector<std::unique_ptr<Thread>> threads;  // those of the largest block so far
int count;                                     // threads of this block
const std::function<void()>* body;
alignas(256) char shared[kMostShared];

Thread& self() { return *threads[static_cast<size_t>(here.index)]; }

void run_threads() {
  for (;;) {
    (*body)();
    self().state = State::returned;
    Fiber::suspend();
  }
}

std::vector<int64_t> sequence(int64_t n) {
  std::vector<int64_t> indices(static_cast<size_t>(n));
  std::iota(indices.begin(), indices.end(), 0);
  if (order == Order::backward) std::reverse(indices.begin(), indices.end());
  return indices;
}
void reorder(std::vector<int64_t>& indices) {
  if (order == Order::shuffled) std::shuffle(indices.begin(), indices.end(), shuffler);
}

bool same_place(const Thread& a, const Thread& b) {
  return a.state == b.state && a.mask == b.mask &&
         (a.state == State::returned ||
          (a.site.line() == b.site.line() && std::string_view(a.site.file_name()) == b.site.file_name()));
}

[[noreturn]] void fault(const char* what) {
  const char* verbs[] = {"could run",      "wait at a barrier", "wait at __syncwarp",
                         "wait at a vote", "wait at a shuffle", "have returned"};
  const char* kernel = "";
  for (int i = 0; i < count; ++i)
    if (threads[i]->state != State::returned) kernel = threads[i]->site.function_name();
  std::fprintf(stderr, "cuda emulator: %s in %s, block (%u, %u, %u) of %u threads\n", what, kernel,
               here.block.x, here.block.y, here.block.z, static_cast<unsigned>(count));
  for (int first = 0, i = 1; i <= count; ++i) {
    if (i < count && same_place(*threads[first], *threads[i])) continue;
    const Thread& t = *threads[first];
    std::fprintf(stderr, "  threads %d to %d %s", first, i - 1, verbs[static_cast<int>(t.state)]);
    if (t.state != State::returned) std::fprintf(stderr, ", %s:%u", t.site.file_name(), t.site.line());
    if (t.mask) std::fprintf(stderr, ", mask %08x", t.mask);
    std::fputc('\n', stderr);
    first = i;
  }
  std::abort();
}

// Opens the barrier if the block stands at it.
bool open_barrier() {
  for (int i = 0; i < count; ++i)
    if (threads[i]->state != State::at_barrier || !same_place(*threads[0], *threads[i])) return false;
  for (int i = 0; i < count; ++i) threads[i]->state = State::ready;
  return true;
}

// Performs the operation that lane `first` of a warp waits for, if all lanes of its mask wait for it too.
bool perform(int warp, int first) {
  const Thread& asked = *threads[warp + first];
  const auto each_lane = [&](auto fn) {
    for (int lane = 0; lane < kWarp; ++lane)
      if (asked.mask >> lane & 1) fn(lane);
  };
  bool all = true;
  uint64_t values[kWarp], ballot = 0;
  std::memset(values, kPoison, sizeof values);  // of lanes outside the mask
  each_lane([&](int lane) {
    all = all && warp + lane < count && same_place(asked, *threads[warp + lane]);
    if (!all) return;
    values[lane] = threads[warp + lane]->value;
    ballot |= (values[lane] & 1) << lane;
  });
  if (!all || !(asked.mask >> first & 1)) return false;
  const bool shuffle = asked.state == State::at_shuffle;
  each_lane([&](int lane) {
    Thread& t = *threads[warp + lane];
    t.value = shuffle ? values[t.source & (kWarp - 1)] : ballot;
  });
  each_lane([&](int lane) { threads[warp + lane]->state = State::ready; });
  return true;
}

bool perform_warp_operations() {
  bool any = false;
  for (int i = 0; i < count; ++i) {
    const State state = threads[i]->state;
    if (state == State::at_warp_sync || state == State::at_vote || state == State::at_shuffle)
      any |= perform(i / kWarp * kWarp, i % kWarp);
  }
  return any;
}

void run_block(std::vector<int64_t>& turns) {
  for (int i = 0; i < count; ++i) threads[i]->state = State::ready;
  for (;;) {
    reorder(turns);
    for (int64_t i : turns) {
      Thread& t = *threads[i];
      if (t.state != State::ready) continue;
      here.thread = t.position, here.index = static_cast<int>(i);
      t.fiber.resume();
    }
    const auto returned = [](const auto& t) { return t->state == State::returned; };
    if (std::all_of(threads.begin(), threads.begin() + count, returned)) return;
    if (!perform_warp_operations() && !open_barrier()) fault("threads wait for each other");
  }
}

// Static shared memory: the thread-local variables of this program.
std::span<char> static_shared() {
  std::span<char> found;
  const auto first_module = [](dl_phdr_info* module, size_t, void* result) {  // the program; then libraries
    for (int i = 0; i < module->dlpi_phnum; ++i)
      if (module->dlpi_phdr[i].p_type == PT_TLS && module->dlpi_tls_data)
        *static_cast<std::span<char>*>(result) = {static_cast<char*>(module->dlpi_tls_data),
                                                  module->dlpi_phdr[i].p_memsz};
    return 1;
  };
  dl_iterate_phdr(first_module, &found);
  return found;
}

}  // namespace

void set_order(Order o) { order = o, shuffler.seed(1); }

uint64_t wait(State state, unsigned mask, uint64_t value, int source, Site site) {
  Thread& t = self();
  t.state = state, t.mask = mask, t.value = value, t.source = source, t.site = site;
  Fiber::suspend();
  return t.value;
}

void* dynamic_shared() { return shared; }

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread) {
  count = static_cast<int>(block.x * block.y * block.z);
  while (threads.size() < static_cast<size_t>(count)) threads.push_back(std::make_unique<Thread>());
  for (int i = 0; i < count; ++i) {
    const unsigned n = static_cast<unsigned>(i);
    threads[i]->position = {n % block.x, n / block.x % block.y, n / block.x / block.y};
  }
  body = &thread;
  here.block_size = block, here.grid_size = grid;
  std::vector<int64_t> turns = sequence(count), blocks = sequence(int64_t{grid.x} * grid.y * grid.z);
  reorder(blocks);
  ASAN_POISON_MEMORY_REGION(shared + shared_bytes, kMostShared - shared_bytes);
  const std::span<char> statics = static_shared();
  const std::vector<char> of_host(statics.begin(), statics.end());  // who has thread-local variables too
  for (int64_t b : blocks) {
    here.block = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
    std::ranges::fill(statics, static_cast<char>(kPoison));
    std::memset(shared, kPoison, shared_bytes);
    run_block(turns);
  }
  std::ranges::copy(of_host, statics.begin());
  ASAN_UNPOISON_MEMORY_REGION(shared, kMostShared);
}

}  // namespace emulator
