// How CPU kernels use threads and vector lanes. Work is cut into blocks whose bounds depend on the shape
// alone, never on the number of threads, and each block is computed by one thread in a fixed order. So
// results are the same to the bit with 1, 2 or 64 threads: a sum across blocks is made of partial sums that
// one thread adds in block order, never in the order in which threads finish.
//
// Loop bodies are lambdas. Those that run per element capture by value, [=], and are copied to the running
// thread's stack: a captured float that the loop's stores might alias would be read again for every element.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "tensor/cpu/thread_pool.h"
#include "tensor/device.h"

namespace gradus::cpu {

constexpr int64_t kSerialWork = 1 << 14;  // below so many elements a second thread costs more than it saves

constexpr int64_t blocks_of(int64_t n, int64_t block) { return (n + block - 1) / block; }

// fn(index, begin, end) for each block of [0, n); `work` is the number of elements touched per item.
template <class Fn> void parallel_blocks(int64_t n, int64_t block, int64_t work, const Fn& fn) {
  const int64_t blocks = blocks_of(n, block);
  run(blocks, n * work > kSerialWork ? num_threads() : 1,
      [&](int64_t i, int) { fn(i, i * block, std::min(n, (i + 1) * block)); });
}

// fn(begin, end) over [0, n), where any cut gives the same result.
template <class Fn> void parallel_ranges(int64_t n, int64_t work, const Fn& fn) {
  const int64_t block = std::max<int64_t>(1, kSerialWork / std::max<int64_t>(1, work));
  parallel_blocks(n, block, work, [&](int64_t, int64_t begin, int64_t end) { fn(begin, end); });
}

// fn(which, begin, end) over pieces of several arrays of these sizes, where any cut gives the same result.
template <class Fn> void parallel_pieces(const std::vector<int64_t>& sizes, const Fn& fn) {
  std::vector<int64_t> first{0};  // the number of each array's first piece
  int64_t work = 0;
  for (const int64_t size : sizes) {
    first.push_back(first.back() + blocks_of(size, kSerialWork));
    work += size;
  }
  parallel_blocks(
      first.back(), 1, work / std::max<int64_t>(1, first.back()) + 1, [&](int64_t piece, int64_t, int64_t) {
        const auto next = std::upper_bound(first.begin(), first.end(), piece);
        const int64_t which = next - first.begin() - 1, begin = (piece - first[which]) * kSerialWork;
        fn(which, begin, std::min(begin + kSerialWork, sizes[which]));
      });
}

// fn(r) for each of n rows of `work` elements.
template <class Fn> void parallel_rows(int64_t n, int64_t work, const Fn& fn) {
  parallel_ranges(n, work, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) fn(r);
  });
}

// fn(i) for i in [begin, end), in vector lanes.
template <class Fn> inline void lanes(int64_t begin, int64_t end, const Fn& fn) {
  const Fn body = fn;
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) body(i);
}

// fn(i) for each of n elements, on all threads, in vector lanes.
template <class Fn> void elementwise(int64_t n, const Fn& fn) {
  parallel_ranges(n, 1, [&](int64_t begin, int64_t end) { lanes(begin, end, fn); });
}

// Sum of term(j) over [0, n): short runs are added in lanes of type T, their sums in double. A plain float
// sum over a vocabulary of 32,000 would lose 1.5 to 2 digits. The lanes are written out, so that the sum has
// the same bits whatever the compiler makes of them.
template <class T, class Term> double sum(int64_t n, const Term& fn) {
  constexpr int64_t kRun = 256, kLanes = 64 / sizeof(T);
  const Term term = fn;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = std::min(n, begin + kRun), whole = end - (end - begin) % kLanes;
    T lane[kLanes] = {};
    for (int64_t j = begin; j < whole; j += kLanes) {
#pragma omp simd
      for (int64_t l = 0; l < kLanes; ++l) lane[l] += term(j + l);
    }
    for (int64_t j = whole; j < end; ++j) lane[j - whole] += term(j);
    for (int64_t half = kLanes / 2; half > 0; half /= 2)
      for (int64_t l = 0; l < half; ++l) lane[l] += lane[l + half];
    total += static_cast<double>(lane[0]);
  }
  return total;
}

// fn(begin, end) for the runs of [0, n) that leave out the columns a and b; -1 and n leave out nothing.
template <class Fn> void runs_without(int64_t n, int64_t a, int64_t b, const Fn& fn) {
  int64_t begin = 0;
  for (int64_t hole : {std::min(a, b), std::max(a, b), n}) {
    if (hole > begin) fn(begin, hole);
    begin = std::max(begin, hole + 1);
  }
}

// sum of term(j) over [0, n) but for the columns a and b.
template <class T, class Term> double sum_without(int64_t n, int64_t a, int64_t b, const Term& term) {
  double total = 0;
  runs_without(n, a, b, [&](int64_t begin, int64_t end) {
    total += sum<T>(end - begin, [=](int64_t j) { return term(begin + j); });
  });
  return total;
}

// The largest x[j]; NaNs are passed over. -infinity when there is nothing.
template <class T> T max(int64_t n, const T* x) {
  T largest = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < n; ++j) largest = x[j] > largest ? x[j] : largest;
  return largest;
}

// The first j with x[j] == value, or n.
template <class T> int64_t find(int64_t n, const T* x, T value) {
  constexpr int64_t kRun = 256;  // which vector lanes look through before one element at a time is compared
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = std::min(n, begin + kRun);
    int found = 0;
#pragma omp simd reduction(| : found)
    for (int64_t j = begin; j < end; ++j) found |= x[j] == value;
    if (found) return std::find(x + begin, x + end, value) - x;
  }
  return n;
}

}  // namespace gradus::cpu
