#include <cstring>
#include <utility>

#include "tensor/cuda/cuda_backend.h"
#include "tensor/cuda/runtime.h"

namespace gradus {
namespace cuda {
namespace {

struct Runtime {
  cudaStream_t stream = nullptr;
  cublasHandle_t blas = nullptr;
  BadId* error_slot = nullptr;

  Runtime() {
    // cuBLAS may need scratch memory. Given once, no product has to allocate; 32 MiB is what NVIDIA advises
    // for Hopper.
    constexpr size_t kWorkspace = size_t{32} << 20;
    void *workspace = nullptr, *slot = nullptr;
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    CUDA_CHECK(cublas<decltype(cublasCreate)>("cublasCreate_v2")(&blas));
    CUDA_CHECK(cublas<decltype(cublasSetStream)>("cublasSetStream_v2")(blas, stream));
    CUDA_CHECK(cudaMalloc(&workspace, kWorkspace));
    CUDA_CHECK(cublas<decltype(cublasSetWorkspace)>("cublasSetWorkspace_v2")(blas, workspace, kWorkspace));
    CUDA_CHECK(cudaMallocHost(&slot, sizeof(BadId)));
    error_slot = new (slot) BadId{};
  }
};

Runtime& runtime() {
  static auto* made = new Runtime();  // never destroyed: tensors may outlive main
  return *made;
}

std::string place(const char* file, int line) {
  const char* slash = std::strrchr(file, '/');
  return message(" (", slash ? slash + 1 : file, ", line ", line, ")");
}

}  // namespace

void check_call(cudaError_t status, const char* call, const char* file, int line) {
  if (status != cudaSuccess)
    check_world(false, "cuda: ", call, ": ", cudaGetErrorName(status), ", ", cudaGetErrorString(status),
                place(file, line));
}

void check_call(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status != CUBLAS_STATUS_SUCCESS)
    check_world(false, "cuda: ", call, ": cuBLAS status ", int(status), place(file, line));
}

cudaStream_t stream() { return runtime().stream; }
cublasHandle_t blas() { return runtime().blas; }
BadId* error_slot() { return runtime().error_slot; }

void synchronise() {
  CUDA_CHECK(cudaStreamSynchronize(stream()));
  BadId& bad = *error_slot();
  if (const char* op = std::exchange(bad.op, nullptr)) check_id(op, bad.id, bad.vocab, bad.row, bad.position);
}

}  // namespace cuda

std::string CudaBackend::missing() {
  int driver = 0, devices = 0;
  cudaDriverGetVersion(&driver);
  if (driver == 0) return "this machine has no NVIDIA driver";
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status == cudaErrorNoDevice || (status == cudaSuccess && devices == 0))
    return "the driver sees no GPU (CUDA_VISIBLE_DEVICES hides those that it does not name)";
  if (status == cudaErrorInsufficientDriver)
    return message("the NVIDIA driver is too old: it is for CUDA ", driver / 1000, ".", driver % 1000 / 10,
                   ", gradus was built with ", CUDART_VERSION / 1000, ".", CUDART_VERSION % 1000 / 10);
  return status == cudaSuccess ? "" : cudaGetErrorString(status);
}

std::byte* CudaBackend::allocate(size_t bytes) {
  void* block = nullptr;
  const cudaError_t status = cudaMalloc(&block, std::max<size_t>(bytes, 1));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // forget it: the caller frees something, or says so
    return nullptr;
  }
  cuda::check_call(status, "cudaMalloc", __FILE__, __LINE__);
  return static_cast<std::byte*>(block);
}

// Called by destructors, so it must not throw. It can only fail where an earlier call already has, or after
// main; the next checked call tells.
void CudaBackend::release(std::byte* block) { cudaFree(block); }

// From plain host memory the runtime takes what it needs before it returns, so the caller may reuse x at
// once; a host y is complete when this returns.
void CudaBackend::copy(In x, Out y) {
  if (x.size() == 0 || x.bytes() == y.bytes()) return;
  const auto kind = x.device() == Device::cpu   ? cudaMemcpyHostToDevice
                    : y.device() == Device::cpu ? cudaMemcpyDeviceToHost
                                                : cudaMemcpyDeviceToDevice;
  CUDA_CHECK(cudaMemcpyAsync(y.bytes(), x.bytes(), x.byte_size(), kind, cuda::stream()));
  if (kind == cudaMemcpyDeviceToHost) cuda::synchronise();
}

void CudaBackend::synchronise() { cuda::synchronise(); }

std::string CudaBackend::describe() {
  cudaDeviceProp device;
  int driver = 0;
  CUDA_CHECK(cudaGetDeviceProperties(&device, 0));
  CUDA_CHECK(cudaDriverGetVersion(&driver));
  return message("cuda: ", device.name, ", compute capability ", device.major, ".", device.minor, ", ",
                 device.totalGlobalMem >> 30, " GiB, driver for CUDA ", driver / 1000, ".",
                 driver % 1000 / 10, ", built with CUDA ", CUDART_VERSION / 1000, ".",
                 CUDART_VERSION % 1000 / 10);
}

}  // namespace gradus
