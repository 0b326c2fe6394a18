// The one place that calls cuBLAS: a batch of products with explicit row pitches.
#pragma once

#include "tensor/backend.h"
#include "tensor/cuda/runtime.h"

namespace gradus::cuda {

// c [m, n] = alpha op(a) op(b) + beta c, for each of the batch; *_pitch is the distance between rows as
// stored. cuBLAS counts in columns, and read by columns a row-major matrix is its transpose: so it is asked
// for c^T = op(b)^T op(a)^T. An inner size of 0 leaves c as it is.
template <class T>
void product(const GemmShape& s, double alpha, const T* a, int64_t a_pitch, const T* b, int64_t b_pitch,
             double beta, T* c, int64_t c_pitch) {
  if (s.m == 0 || s.n == 0 || s.k == 0 || s.batch == 0) return;
  const auto op = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const T scale = alpha, keep = beta;
  const auto call = [&](auto gemm, auto batched) {  // 32-bit sizes: the checked functions bound them
    const int m = s.m, n = s.n, k = s.k, lda = a_pitch, ldb = b_pitch, ldc = c_pitch, count = s.batch;
    if (count == 1)
      CUDA_CHECK(gemm(runtime().blas, op(s.transpose_b), op(s.transpose_a), n, m, k, &scale, b, ldb, a, lda,
                      &keep, c, ldc));
    else
      CUDA_CHECK(batched(runtime().blas, op(s.transpose_b), op(s.transpose_a), n, m, k, &scale, b, ldb,
                         s.stride_b, a, lda, s.stride_a, &keep, c, ldc, s.stride_c, count));
  };
  if constexpr (std::is_same_v<T, float>) {
    const bool tf32 = matmul_precision() == MatmulPrecision::tf32;
    CUDA_CHECK(cublas<decltype(cublasSetMathMode)>("cublasSetMathMode")(
        runtime().blas, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH));
    call(cublas<decltype(cublasSgemm)>("cublasSgemm_v2"),
         cublas<decltype(cublasSgemmStridedBatched)>("cublasSgemmStridedBatched"));
  } else {
    call(cublas<decltype(cublasDgemm)>("cublasDgemm_v2"),
         cublas<decltype(cublasDgemmStridedBatched)>("cublasDgemmStridedBatched"));
  }
}

}  // namespace gradus::cuda
