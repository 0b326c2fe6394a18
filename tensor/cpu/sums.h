// Row reductions that vectorise and stay accurate: short runs are added in registers of the element type, the runs' sums
// in double. A plain float sum over a vocabulary of 32,000 would lose three digits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace gradus::cpu {

// sum of term(j) over [0, n)
template <class T, class Term>
double sum(int64_t n, const Term& term) {
  constexpr int64_t kRun = 1024;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = std::min(n, begin + kRun);
    T run = 0;
#pragma omp simd reduction(+ : run)
    for (int64_t j = begin; j < end; ++j) run += term(j);
    total += static_cast<double>(run);
  }
  return total;
}

// The largest x[j]; NaNs are passed over. -infinity when there is nothing.
template <class T>
T max(int64_t n, const T* x) {
  T largest = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < n; ++j) largest = x[j] > largest ? x[j] : largest;
  return largest;
}

}  // namespace gradus::cpu
