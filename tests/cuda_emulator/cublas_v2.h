// The part of cuBLAS that gradus uses, by the CPU's BLAS: column-major, as cuBLAS is, and queued on the
// handle's stream.
#pragma once

#include "tests/cuda_emulator/cuda_runtime.h"

enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_INVALID_VALUE = 7,
};
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cublasMath_t { CUBLAS_DEFAULT_MATH = 0, CUBLAS_PEDANTIC_MATH = 2, CUBLAS_TF32_TENSOR_OP_MATH = 3 };
struct cublasContext {
  cudaStream_t stream;
};
using cublasHandle_t = cublasContext*;

const char* cublasGetStatusName(cublasStatus_t);
const char* cublasGetStatusString(cublasStatus_t);
cublasStatus_t cublasCreate(cublasHandle_t*);
cublasStatus_t cublasDestroy(cublasHandle_t);
cublasStatus_t cublasSetStream(cublasHandle_t, cudaStream_t);
cublasStatus_t cublasSetWorkspace(cublasHandle_t, void*, size_t);
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t);

namespace emulator {

template <class T>
cublasStatus_t gemm_batched(cublasHandle_t, cublasOperation_t, cublasOperation_t, int m, int n, int k,
                            const T* alpha, const T* a, int lda, long long stride_a, const T* b, int ldb,
                            long long stride_b, const T* beta, T* c, int ldc, long long stride_c, int count);

template <class T>
cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,
                    int k, const T* alpha, const T* a, int lda, const T* b, int ldb, const T* beta, T* c,
                    int ldc) {
  return gemm_batched(handle, op_a, op_b, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}

}  // namespace emulator

inline constexpr auto cublasSgemm = emulator::gemm<float>;
inline constexpr auto cublasDgemm = emulator::gemm<double>;
inline constexpr auto cublasSgemmStridedBatched = emulator::gemm_batched<float>;
inline constexpr auto cublasDgemmStridedBatched = emulator::gemm_batched<double>;
