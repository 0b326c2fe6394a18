// The part of cuBLAS that gradus uses, by the CPU's BLAS: column-major, as cuBLAS is, and queued on the
// handle's stream.
#pragma once

#include <cblas.h>

#include <bit>
#include <vector>

#include "tests/cuda_emulator/cuda_runtime.h"

enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_ALLOC_FAILED = 3,
  CUBLAS_STATUS_INVALID_VALUE = 7
};
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cublasMath_t { CUBLAS_DEFAULT_MATH = 0, CUBLAS_TF32_TENSOR_OP_MATH = 3 };
struct cublasContext {
  void* memory = nullptr;  // of the device
  cudaStream_t stream{};
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
};
using cublasHandle_t = cublasContext*;

inline cublasStatus_t cublasCreate(cublasHandle_t* h) {
  void* memory = nullptr;
  if (cudaMalloc(&memory, size_t{1} << 20) != cudaSuccess) return CUBLAS_STATUS_ALLOC_FAILED;
  *h = new cublasContext{memory};
  return CUBLAS_STATUS_SUCCESS;
}
inline auto cublasSetStream(cublasHandle_t h, cudaStream_t s) { return h->stream = s, CUBLAS_STATUS_SUCCESS; }
inline auto cublasSetMathMode(cublasHandle_t h, cublasMath_t m) { return h->math = m, CUBLAS_STATUS_SUCCESS; }
inline cublasStatus_t cublasSetWorkspace(cublasHandle_t, void* memory, size_t bytes) {
  return emulator::on_device(memory, bytes) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

namespace emulator {

using Op = cublasOperation_t;

// A factor as a tensor core reads it: rounded to the nearest number with 10 bits after the point.
inline float tf32(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return std::isfinite(x) ? std::bit_cast<float>((bits + 0x1000) & 0xffffe000) : x;
}
inline double tf32(double x) { return x; }

// The columns of a matrix, rounded so; its pitch stays.
template <class T> std::vector<T> rounded(const T* x, int rows, int columns, int pitch) {
  std::vector<T> copy(static_cast<size_t>(pitch) * columns);
  for (int j = 0; j < columns; ++j)
    for (int i = 0; i < rows; ++i) copy[static_cast<size_t>(j) * pitch + i] = tf32(x[int64_t{j} * pitch + i]);
  return copy;
}

// alpha and beta are read now, the matrices when the stream runs.
template <auto product, class T, class Stride = long long>
cublasStatus_t gemm_batched(cublasHandle_t h, Op op_a, Op op_b, int m, int n, int k, const T* alpha,
                            const T* a, int lda, Stride stride_a, const T* b, int ldb, Stride stride_b,
                            const T* beta, T* c, int ldc, Stride stride_c, int count) {
  const int rows_a = op_a == CUBLAS_OP_N ? m : k, rows_b = op_b == CUBLAS_OP_N ? k : n;
  if (min({m, n, k, count}) < 0 || lda < max(1, rows_a) || ldb < max(1, rows_b) || ldc < max(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  const int columns_a = op_a == CUBLAS_OP_N ? k : m, columns_b = op_b == CUBLAS_OP_N ? n : k;
  enqueue(h->stream, [=, alpha = *alpha, beta = *beta, rounds = h->math == CUBLAS_TF32_TENSOR_OP_MATH] {
    const auto transpose = [](Op op) { return op == CUBLAS_OP_N ? CblasNoTrans : CblasTrans; };
    for (int i = 0; i < count; ++i) {
      const T *left = a + i * stride_a, *right = b + i * stride_b;
      std::vector<T> left_copy, right_copy;
      if (rounds) {
        left_copy = rounded(left, rows_a, columns_a, lda);
        right_copy = rounded(right, rows_b, columns_b, ldb);
        left = left_copy.data();
        right = right_copy.data();
      }
      product(CblasColMajor, transpose(op_a), transpose(op_b), m, n, k, alpha, left, lda, right, ldb, beta,
              c + i * stride_c, ldc);
    }
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
