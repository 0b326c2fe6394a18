// The part of cuBLAS that gradus uses, by the CPU's BLAS: column-major, as cuBLAS is, and queued on the
// handle's stream.
#pragma once

#include <cblas.h>

#include "tests/cuda_emulator/cuda_runtime.h"

enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_INVALID_VALUE = 7 };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
using cublasHandle_t = cudaStream_t*;  // all that it holds

inline auto cublasCreate(cublasHandle_t* h) { return *h = new cudaStream_t{}, CUBLAS_STATUS_SUCCESS; }
inline auto cublasSetStream(cublasHandle_t h, cudaStream_t s) { return *h = s, CUBLAS_STATUS_SUCCESS; }
inline cublasStatus_t cublasSetWorkspace(cublasHandle_t, void* memory, size_t bytes) {
  return emulator::on_device(memory, bytes) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

namespace emulator {

using Op = cublasOperation_t;

// alpha and beta are read now, the matrices when the stream runs.
template <auto product, class T, class Stride = long long>
cublasStatus_t gemm_batched(cublasHandle_t h, Op op_a, Op op_b, int m, int n, int k, const T* alpha,
                            const T* a, int lda, Stride stride_a, const T* b, int ldb, Stride stride_b,
                            const T* beta, T* c, int ldc, Stride stride_c, int count) {
  const int rows_a = op_a == CUBLAS_OP_N ? m : k, rows_b = op_b == CUBLAS_OP_N ? k : n;
  if (min({m, n, k, count}) < 0 || lda < max(1, rows_a) || ldb < max(1, rows_b) || ldc < max(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  enqueue(*h, [=, alpha = *alpha, beta = *beta] {
    const auto transpose = [](Op op) { return op == CUBLAS_OP_N ? CblasNoTrans : CblasTrans; };
    for (int i = 0; i < count; ++i)
      product(CblasColMajor, transpose(op_a), transpose(op_b), m, n, k, alpha, a + i * stride_a, lda,
              b + i * stride_b, ldb, beta, c + i * stride_c, ldc);
  });
  return CUBLAS_STATUS_SUCCESS;
}

template <auto product, class T>
cublasStatus_t gemm(cublasHandle_t h, Op op_a, Op op_b, int m, int n, int k, const T* alpha, const T* a,
                    int lda, const T* b, int ldb, const T* beta, T* c, int ldc) {
  return gemm_batched<product>(h, op_a, op_b, m, n, k, alpha, a, lda, 0ll, b, ldb, 0ll, beta, c, ldc, 0ll, 1);
}

}  // namespace emulator

inline constexpr auto cublasSgemm = emulator::gemm<cblas_sgemm, float>;
inline constexpr auto cublasDgemm = emulator::gemm<cblas_dgemm, double>;
inline constexpr auto cublasSgemmStridedBatched = emulator::gemm_batched<cblas_sgemm, float>;
inline constexpr auto cublasDgemmStridedBatched = emulator::gemm_batched<cblas_dgemm, double>;
