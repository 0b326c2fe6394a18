#include <utility>

#include "tensor/cuda/cuda_backend.h"
#include "tensor/cuda/runtime.h"

namespace gradus {
namespace cuda {
namespace {

[[noreturn]] void fail(const char* call, const std::string& why, const char* file, int line) {
  const std::string_view path = file, name = path.substr(path.rfind('/') + 1);
  throw std::runtime_error(
      message("cuda: ", call, ": ", why, " (", name, ", line ", line, ")", latest_operation()));
}

}  // namespace

void check_call(cudaError_t s, const char* call, const char* file, int line) {
  if (s != cudaSuccess) fail(call, message(cudaGetErrorName(s), ", ", cudaGetErrorString(s)), file, line);
}
void check_call(cublasStatus_t s, const char* call, const char* file, int line) {
  if (s != CUBLAS_STATUS_SUCCESS) fail(call, message("cuBLAS status ", int(s)), file, line);
}

namespace {

// call(), and if that fails again, when memory that only waits for its next use has been given back.
template <class Call> auto twice(const Call& call) {
  const auto status = call();
  if (static_cast<int>(status) == 0) return status;
  cudaGetLastError();  // forget it
  release_cached_memory(Device::cuda);
  return call();
}

}  // namespace

Runtime start() {
  // cuBLAS may need scratch memory. Given once, no product has to allocate; 32 MiB is what NVIDIA advises for
  // Hopper.
  constexpr size_t kWorkspace = size_t{32} << 20;
  constexpr size_t kStatic = 1024;
  Runtime r{};
  cudaDeviceProp device;
  void *workspace = nullptr, *slot = nullptr;
  const auto create = cublas<decltype(cublasCreate)>("cublasCreate_v2");
  CUDA_CHECK(cudaStreamCreateWithFlags(&r.stream, cudaStreamNonBlocking));
  check_call(twice([&] { return create(&r.blas); }), "cublasCreate", __FILE__, __LINE__);
  CUDA_CHECK(cublas<decltype(cublasSetStream)>("cublasSetStream_v2")(r.blas, r.stream));
  check_call(twice([&] { return cudaMalloc(&workspace, kWorkspace); }), "cudaMalloc", __FILE__, __LINE__);
  CUDA_CHECK(cublas<decltype(cublasSetWorkspace)>("cublasSetWorkspace_v2")(r.blas, workspace, kWorkspace));
  CUDA_CHECK(cudaMallocHost(&slot, sizeof(OutOfRange)));
  r.error_slot = new (slot) OutOfRange{};
  CUDA_CHECK(cudaGetDeviceProperties(&device, 0));
  r.shared_bytes = device.sharedMemPerBlockOptin - kStatic;
  return r;
}

const Runtime& runtime() {
  static const Runtime started = start();
  return started;
}

void synchronise() {
  const cudaError_t status = cudaStreamSynchronize(runtime().stream);
  check_call(status, "a kernel or copy failed; CUDA_LAUNCH_BLOCKING=1 in the environment shows where", __FILE__,
             __LINE__);
  const OutOfRange bad = std::exchange(*runtime().error_slot, {});
  if (!bad.op) return;
  if (bad.position < 0) check_length(bad.op, bad.number, bad.limit, bad.row);
  else check_id(bad.op, static_cast<int32_t>(bad.number), bad.limit, bad.row, bad.position);
}

}  // namespace cuda

namespace {

std::string version(int number) { return message(number / 1000, ".", number % 1000 / 10); }  // of CUDA

}  // namespace

std::string CudaBackend::missing() {
  int driver = 0, devices = 0;
  cudaDriverGetVersion(&driver);
  if (driver == 0) return "this machine has no NVIDIA driver";
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status == cudaErrorNoDevice || (status == cudaSuccess && devices == 0))
    return "the driver sees no GPU (CUDA_VISIBLE_DEVICES hides those that it does not name)";
  if (status == cudaErrorInsufficientDriver)
    return message("the NVIDIA driver is too old: it is for CUDA ", version(driver),
                   ", gradus was built with ", version(CUDART_VERSION));
  if (status != cudaSuccess) return cudaGetErrorString(status);
  cudaDeviceProp device;
  CUDA_CHECK(cudaGetDeviceProperties(&device, 0));
  constexpr int kBuiltFor[] = {__CUDA_ARCH_LIST__};  // the oldest first: 900 is 9.0
  const int here = device.major * 10 + device.minor, oldest = kBuiltFor[0] / 10;
  return here >= oldest ? ""
                        : message("the GPU has compute capability ", here, ", gradus was built for ", oldest,
                                  " and later; build it with -DCMAKE_CUDA_ARCHITECTURES=", here);
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
  const bool up = x.device() == Device::cpu, down = y.device() == Device::cpu;
  const auto kind = up ? cudaMemcpyHostToDevice : down ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice;
  CUDA_CHECK(cudaMemcpyAsync(y.bytes(), x.bytes(), x.byte_size(), kind, cuda::runtime().stream));
  if (down) cuda::synchronise();
}

void CudaBackend::synchronise() { cuda::synchronise(); }

std::string CudaBackend::describe() {
  cudaDeviceProp device;
  int driver = 0;
  CUDA_CHECK(cudaGetDeviceProperties(&device, 0));
  CUDA_CHECK(cudaDriverGetVersion(&driver));
  return message("cuda: ", device.name, ", compute capability ", device.major, ".", device.minor, ", ",
                 device.totalGlobalMem >> 30, " GiB, driver for CUDA ", version(driver), ", built with CUDA ",
                 version(CUDART_VERSION));
}

}  // namespace gradus
