// What the CUDA kernels share on the host: one stream, one cuBLAS handle, the slot where a kernel reports a
// number out of range, and the check around every CUDA and cuBLAS call. Made on first use, never destroyed.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <type_traits>

namespace gradus::cuda {

// Throws std::runtime_error with the call, what went wrong and where.
void check_call(cudaError_t status, const char* call, const char* file, int line);
void check_call(cublasStatus_t status, const char* call, const char* file, int line);
#define CUDA_CHECK(...) ::gradus::cuda::check_call(__VA_ARGS__, #__VA_ARGS__, __FILE__, __LINE__)

// A function of cuBLAS by its name in the library, which is loaded when the first one is asked for: linked,
// it would cost every program 150 MiB and a slower start, on the CPU, too.
void* cublas_symbol(const char* name);
template <class Function> auto cublas(const char* name) {
  return reinterpret_cast<std::decay_t<Function>>(cublas_symbol(name));
}

// The first id or length out of range that a kernel met since the last synchronise(). A kernel cannot throw,
// and one that traps would take the context and every tensor with it: so it writes here and carries on.
struct OutOfRange {
  const char* op;         // a host pointer that the kernel only passes on; null: none was met
  int64_t number, limit;  // a length may be the limit, an id not
  int64_t row, position;  // a length has no position: -1
};

struct Runtime {
  cudaStream_t stream;     // the only one; not the default stream
  cublasHandle_t blas;     // bound to it
  OutOfRange* error_slot;  // in pinned host memory, which host and device see at the same address
  size_t shared_bytes;     // of dynamic shared memory, that a block may have beside a little static
};
Runtime start();           // throws where the device has no memory left for cuBLAS
const Runtime& runtime();  // started at first use

// Waits for all work. Throws what went wrong in it: std::invalid_argument for a number out of range, as
// the CPU would have thrown, and then all tensors stay valid.
void synchronise();

}  // namespace gradus::cuda
