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
  const auto call = [&](auto gemm) {  // its integers are 32 bits wide: the checked functions bound the sizes
    gemm(CblasRowMajor, op(s.transpose_a), op(s.transpose_b), s.m, s.n, s.k, alpha, a,
         std::max<int64_t>(a_pitch, 1), b, std::max<int64_t>(b_pitch, 1), beta, c,
         std::max<int64_t>(c_pitch, 1));
  };
  if constexpr (std::is_same_v<T, float>) call(cblas_sgemm);
  else call(cblas_dgemm);
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
