// The threads of the CPU backend: every task once, errors that reach the caller, and callers that come at
// once, from within a loop or in a child process.
#include "tensor/cpu/thread_pool.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "tensor/ops.h"
#include "tensor/random.h"
#include "tests/compare.h"

using namespace gradus;
using namespace gradus::compare;

namespace {

// The products of [300, 200] and [200, 500] that follow from a seed: large enough for OpenBLAS to divide.
std::vector<double> product(uint64_t seed) {
  Generator generator(seed);
  return values(matmul(generator.uniform({300, 200}, -1, 1), generator.uniform({200, 500}, -1, 1)));
}

}  // namespace

TEST_CASE("threads: each task runs once, and no two at once have the same slot") {
  for (int slots : {1, 2, 3, 8})
    for (int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks)), busy(static_cast<size_t>(slots));
      std::atomic<int> shared = 0;
      cpu::run(tasks, slots, [&](int64_t task, int slot) {
        if (++busy.at(static_cast<size_t>(slot)) != 1) ++shared;
        ++runs[static_cast<size_t>(task)];
        --busy[static_cast<size_t>(slot)];
      });
      CHECK(std::ranges::all_of(runs, [](int n) { return n == 1; }));
      CHECK(shared == 0);
    }
}

TEST_CASE("threads: an exception in any task ends the loop and reaches the caller") {
  for (int64_t bad = 0; bad < 8; ++bad) {
    const auto loop = [&] {
      cpu::run(8, 3, [&](int64_t task, int) {
        if (task >= bad) throw std::runtime_error("task " + std::to_string(task));
      });
    };
    CHECK_THROWS_AS(loop(), std::runtime_error);
  }
  std::atomic<int64_t> sum = 0;
  cpu::run(100, 3, [&](int64_t task, int) { sum += task; });
  CHECK(sum == 4950);
}

TEST_CASE("threads: a loop within a loop runs on the thread that began it") {
  std::vector<int64_t> sums(6);
  std::atomic<int> elsewhere = 0;
  cpu::run(6, 3, [&](int64_t outer, int) {
    cpu::run(100, 3, [&, here = std::this_thread::get_id()](int64_t inner, int slot) {
      if (slot != 0 || std::this_thread::get_id() != here) ++elsewhere;
      sums[static_cast<size_t>(outer)] += outer * inner;
    });
  });
  CHECK(elsewhere == 0);
  for (int64_t i = 0; i < 6; ++i) CHECK(sums[static_cast<size_t>(i)] == 4950 * i);
}

TEST_CASE("threads: several callers at once, and a child process, compute the bits of one caller") {
  std::vector<std::vector<double>> expected, got(4);
  for (uint64_t i = 0; i < 4; ++i) expected.push_back(product(i));
  for (int round = 0; round < 20; ++round) {
    std::vector<std::thread> callers;
    for (uint64_t i = 0; i < 4; ++i) callers.emplace_back([&, i] { got[i] = product(i); });
    for (std::thread& caller : callers) caller.join();
    CHECK(got == expected);
  }
  const pid_t child = fork();
  if (child == 0) _exit(product(2) == expected[2] ? 0 : 1);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
