// The one place that calls BLAS: a single serial product with explicit row pitches, and the loop that runs
// many of them side by side.
#pragma once

#include <cblas.h>

#include "tensor/backend.h"
#include "tensor/cpu/thread_pool.h"
#include "tensor/device.h"

namespace gradus::cpu {

enum OpenBlasBuild { kSequential = 0, kThreads = 1, kOpenMp = 2 };  // openblas_get_parallel()

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

// Among how many threads of its own OpenBLAS may divide this thread's products, while this object lives. Its
// OpenMP build asks OpenMP, which keeps a number for each thread; so other threads of the program are not
// disturbed. The pthread build has one number for all: the backend sets that to 1, once. The sequential build
// may hand two callers the same buffer (unless it was built with USE_LOCKING, which it does not say): they
// take turns.
class BlasThreads {
 public:
  explicit BlasThreads(int threads);
  ~BlasThreads();
  BlasThreads(const BlasThreads&) = delete;

 private:
  int before_;
};

// Calls fn(i, slot) for i in [0, n) on at most `slots` threads (see run); OpenBLAS divides no product within.
template <class Fn> void parallel_products(int64_t n, const Fn& fn, int slots = num_threads()) {
  run(n, slots, [&](int64_t i, int slot) {
    const BlasThreads one(1);
    fn(i, slot);
  });
}

}  // namespace gradus::cpu
