// A CUDA runtime without a GPU, for the tests: with this folder first on the include path the .cu files of
// tensor/cuda/ are plain C++. It holds what those files use of the language and of the runtime's interface,
// under the names and numbers of NVIDIA's header of this name, and nothing else: a float atomic, a lane mask
// left out or inline assembly does not compile. What is behind it: emulator.h.
#pragma once

#include <math.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "tests/cuda_emulator/emulator.h"

// The language. One block runs at a time, on one host thread, so what is thread_local there is its shared
// memory; that way the emulator finds all of it, and fills it before each block.
#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__ static thread_local
#define DYN_SHARED(T, name) T* name = reinterpret_cast<T*>(emulator::dynamic_shared)
using std::max, std::min;

inline void __syncthreads(std::source_location site = std::source_location::current()) {
  emulator::wait({0, site}, 0, 0);
}
inline void __syncwarp(emulator::Lanes lanes) { emulator::wait(lanes, 0, 0); }
inline unsigned __ballot_sync(emulator::Lanes m, bool v) { return emulator::wait(m, v, emulator::kBallot); }
template <class T> T __shfl_xor_sync(emulator::Lanes lanes, T value, int bits) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) >= 4);
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  word = emulator::wait(lanes, word, emulator::thread_number % 32 ^ bits);
  std::memcpy(&value, &word, sizeof value);
  return value;
}
inline int __ffs(int bits) { return __builtin_ffs(bits); }

// The runtime.
#define CUDART_VERSION 13000
#define __CUDA_ARCH_LIST__ 900
enum cudaError_t : int;
constexpr cudaError_t cudaSuccess{0}, cudaErrorInvalidValue{1}, cudaErrorMemoryAllocation{2},
    cudaErrorInvalidConfiguration{9}, cudaErrorInsufficientDriver{35}, cudaErrorNoDevice{100},
    cudaErrorIllegalAddress{700};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
constexpr unsigned cudaStreamNonBlocking = 1;
using cudaStream_t = emulator::Stream*;
struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  int major, minor;
  size_t sharedMemPerBlockOptin;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

inline const char* cudaGetErrorName(cudaError_t) { return "refused"; }
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorIllegalAddress ? "an argument of the kernel points to memory of the host"
                                          : "the emulator has no other words";
}
cudaError_t cudaGetLastError();
inline cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int device);
cudaError_t cudaMalloc(void**, size_t);
cudaError_t cudaFree(void*);
cudaError_t cudaMallocHost(void**, size_t);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t);

namespace emulator {
cudaError_t launch(const cudaLaunchConfig_t&, const void* kernel, std::function<void()> thread);
bool holds_host_address(const void* argument, size_t bytes);  // in any of its words
}  // namespace emulator

template <class T> cudaError_t cudaFuncSetAttribute(T* kernel, cudaFuncAttribute, int bytes) {
  if (size_t(bytes) > emulator::kMostShared) return cudaErrorInvalidValue;
  return emulator::allowed_shared[reinterpret_cast<const void*>(kernel)] = size_t(bytes), cudaSuccess;
}
template <class... Parameters, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* c, void (*kernel)(Parameters...), Args&&... args) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "arguments travel as bytes");
  const std::tuple<Parameters...> values(args...);
  const auto host = [](auto argument) {
    __builtin_clear_padding(&argument);  // it holds what was on the stack before, addresses too
    return emulator::holds_host_address(&argument, sizeof argument);
  };
  if (std::apply([&](const auto&... v) { return (host(v) || ...); }, values)) return cudaErrorIllegalAddress;
  const auto thread = [kernel, values] { std::apply(kernel, values); };
  return emulator::launch(*c, reinterpret_cast<const void*>(kernel), thread);
}
