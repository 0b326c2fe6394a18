// How CPU kernels use threads. Work is cut into blocks whose bounds depend on the shape alone, never on the number of
// threads, and each block is computed by one thread in a fixed order. So results are the same to the bit with 1, 2 or
// 64 threads: a sum across blocks is made of partial sums that one thread adds in block order, never of an OpenMP
// reduction across threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gradus::cpu {

constexpr int64_t kSerialWork = 1 << 14;  // below so many elements starting a second thread costs more than it saves

constexpr int64_t blocks_of(int64_t n, int64_t block) { return (n + block - 1) / block; }

// Calls fn(index, begin, end) for each block of [0, n). `work` is the elements touched per item.
template <class Fn>
void parallel_blocks(int64_t n, int64_t block, int64_t work, const Fn& fn) {
  const int64_t blocks = blocks_of(n, block);
#pragma omp parallel for schedule(static) if (blocks > 1 && n * work > kSerialWork)
  for (int64_t i = 0; i < blocks; ++i) fn(i, i * block, std::min(n, (i + 1) * block));
}

// Calls fn(begin, end) over [0, n) where each item is computed on its own, so that any cut gives the same result.
template <class Fn>
void parallel_for(int64_t n, int64_t work, const Fn& fn) {
  const int64_t block = std::max<int64_t>(1, kSerialWork / std::max<int64_t>(1, work));
  parallel_blocks(n, block, work, [&](int64_t, int64_t begin, int64_t end) { fn(begin, end); });
}

}  // namespace gradus::cpu
