#include <cblas.h>

#include <algorithm>

#include "tests/cuda_emulator/cublas_v2.h"

namespace {

constexpr auto product(float) { return cblas_sgemm; }
constexpr auto product(double) { return cblas_dgemm; }

CBLAS_TRANSPOSE transpose(cublasOperation_t op) { return op == CUBLAS_OP_N ? CblasNoTrans : CblasTrans; }

}  // namespace

// alpha and beta are read now, the matrices when the stream runs.
template <class T>
cublasStatus_t emulator::gemm_batched(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                                      int m, int n, int k, const T* alpha, const T* a, int lda,
                                      long long stride_a, const T* b, int ldb, long long stride_b,
                                      const T* beta, T* c, int ldc, long long stride_c, int count) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (m < 0 || n < 0 || k < 0 || count < 0 || lda < std::max(1, op_a == CUBLAS_OP_N ? m : k) ||
      ldb < std::max(1, op_b == CUBLAS_OP_N ? k : n) || ldc < std::max(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  enqueue(handle->stream, [=, alpha = *alpha, beta = *beta] {
    for (int i = 0; i < count; ++i)
      product(T{})(CblasColMajor, transpose(op_a), transpose(op_b), m, n, k, alpha, a + i * stride_a, lda,
                   b + i * stride_b, ldb, beta, c + i * stride_c, ldc);
  });
  return CUBLAS_STATUS_SUCCESS;
}
template decltype(emulator::gemm_batched<float>) emulator::gemm_batched<float>;
template decltype(emulator::gemm_batched<double>) emulator::gemm_batched<double>;

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
  }
  return "unknown";
}
const char* cublasGetStatusString(cublasStatus_t status) { return cublasGetStatusName(status); }
cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  return *handle = new cublasContext{}, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t handle) { return delete handle, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  return handle->stream = stream, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace(cublasHandle_t, void* memory, size_t bytes) {
  return emulator::on_device(memory, bytes) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }
