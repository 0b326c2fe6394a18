// The one place that calls BLAS: a single serial product with explicit row pitches, and the loop that runs
// many of them side by side.
#pragma once

#include <cblas.h>
#include <omp.h>

#include "tensor/backend.h"

namespace gradus::cpu {

// c [m, n] = alpha op(a) op(b) + beta c; *_pitch is the distance between rows as stored. batch and strides
// are unused.
template <class T>
void product(const GemmShape& s, double alpha, const T* a, int64_t a_pitch, const T* b, int64_t b_pitch,
             double beta, T* c, int64_t c_pitch) {
  const auto op = [](bool transpose) { return transpose ? CblasTrans : CblasNoTrans; };
  const auto narrow = [](int64_t n) {
    return static_cast<blasint>(std::max<int64_t>(n, 1));
  };  // ops.h bounds sizes
  const blasint m = static_cast<blasint>(s.m), n = static_cast<blasint>(s.n), k = static_cast<blasint>(s.k);
  if constexpr (std::is_same_v<T, float>)
    cblas_sgemm(CblasRowMajor, op(s.transpose_a), op(s.transpose_b), m, n, k, static_cast<float>(alpha), a,
                narrow(a_pitch), b, narrow(b_pitch), static_cast<float>(beta), c, narrow(c_pitch));
  else
    cblas_dgemm(CblasRowMajor, op(s.transpose_a), op(s.transpose_b), m, n, k, alpha, a, narrow(a_pitch), b,
                narrow(b_pitch), beta, c, narrow(c_pitch));
}

// Calls fn(i) for i in [0, n) on all threads. Within, OpenBLAS must not divide a product among threads of its
// own: it asks OpenMP how many there may be, and is told one. (A parallel region alone does not tell it: a
// team of one is no region.)
template <class Fn> void parallel_products(int64_t n, const Fn& fn) {
#pragma omp parallel
  {
    omp_set_num_threads(1);  // for this task only
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < n; ++i) fn(i);
  }
}

}  // namespace gradus::cpu
