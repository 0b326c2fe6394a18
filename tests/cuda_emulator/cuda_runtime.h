// A CUDA runtime without a GPU, for the tests: with this folder first on the include path the .cu files of
// tensor/cuda/ are plain C++. It holds what those files use of the language and of the runtime's interface,
// with the names and the numbers that NVIDIA's header of this name gives them, and nothing else: a float
// atomic, a lane mask left out or inline assembly does not compile. What is behind it: emulator.h.
#pragma once

#include <algorithm>
#include <math.h>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/cuda_emulator/emulator.h"

// The language. One block runs at a time, on one host thread, so what is thread_local there is its shared
// memory; that way the emulator finds all of it, and fills it before each block.
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define __shared__ static thread_local
#define DYN_SHARED(T, name) T* name = static_cast<T*>(emulator::dynamic_shared())

inline const uint3 &threadIdx = emulator::here.thread, &blockIdx = emulator::here.block;
inline const dim3 &blockDim = emulator::here.block_size, &gridDim = emulator::here.grid_size;

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

inline void __syncthreads(emulator::Site site = emulator::Site::current()) {
  emulator::wait(emulator::State::at_barrier, 0, 0, 0, site);
}
inline void __syncwarp(unsigned mask, emulator::Site site = emulator::Site::current()) {
  emulator::wait(emulator::State::at_warp_sync, mask, 0, 0, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, emulator::Site site = emulator::Site::current()) {
  return static_cast<unsigned>(emulator::wait(emulator::State::at_vote, mask, predicate != 0, 0, site));
}
inline int __any_sync(unsigned mask, int predicate, emulator::Site site = emulator::Site::current()) {
  return __ballot_sync(mask, predicate, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, emulator::Site site = emulator::Site::current()) {
  return __ballot_sync(mask, predicate, site) == mask;
}

namespace emulator {

// Lane `source`'s value; a lane's own where source lies outside its group of `width` lanes.
template <class T> T shuffle(unsigned mask, T value, int source, bool inside, Site site) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) >= 4);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = wait(State::at_shuffle, mask, bits, inside ? source : here.lane(), site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              emulator::Site site = emulator::Site::current()) {
  return emulator::shuffle(mask, value, (emulator::here.lane() & -width) | (source & (width - 1)), true,
                           site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int delta, int width = 32,
                 emulator::Site site = emulator::Site::current()) {
  const int source = emulator::here.lane() - delta;
  return emulator::shuffle(mask, value, source, source >= (emulator::here.lane() & -width), site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int delta, int width = 32,
                   emulator::Site site = emulator::Site::current()) {
  const int source = emulator::here.lane() + delta;
  return emulator::shuffle(mask, value, source, source <= (emulator::here.lane() | (width - 1)), site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  emulator::Site site = emulator::Site::current()) {
  const int source = emulator::here.lane() ^ bits;
  return emulator::shuffle(mask, value, source, source <= (emulator::here.lane() | (width - 1)), site);
}

template <class T> T atomicExch(T* address, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>, "integer atomics only: floats would add in any order");
  return std::exchange(*address, value);
}
template <class T> T atomicAdd(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, *address + value);
}
template <class T> T atomicMax(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, *address < value ? value : *address);
}
template <class T> T atomicMin(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, value < *address ? value : *address);
}
template <class T> T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return atomicExch(address, *address == expected ? value : *address);
}
inline int __ffs(int bits) { return __builtin_ffs(bits); }
using std::max, std::min;
inline void __threadfence() {}
template <class T> T __ldg(const T* address) { return *address; }
inline float rsqrtf(float x) { return 1 / sqrt(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }

// The runtime.
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
#define CUDART_VERSION 13000
constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1;
using cudaStream_t = emulator::Stream*;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin;
  int major, minor, multiProcessorCount, maxThreadsPerBlock, warpSize;
};
struct cudaLaunchAttribute {};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

const char* cudaGetErrorName(cudaError_t);
const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
cudaError_t cudaDriverGetVersion(int*);
cudaError_t cudaRuntimeGetVersion(int*);
cudaError_t cudaGetDeviceCount(int*);
cudaError_t cudaGetDevice(int*);
cudaError_t cudaSetDevice(int);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int device);
cudaError_t cudaMalloc(void**, size_t);
cudaError_t cudaFree(void*);
cudaError_t cudaMallocHost(void**, size_t);
cudaError_t cudaFreeHost(void*);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemcpy(void* to, const void* from, size_t, cudaMemcpyKind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t, cudaMemcpyKind, cudaStream_t = nullptr);
cudaError_t cudaMemsetAsync(void*, int value, size_t, cudaStream_t = nullptr);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value);
template <class T> cudaError_t cudaFuncSetAttribute(T* kernel, cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
template <class T> cudaError_t cudaMalloc(T** block, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(block), bytes);
}
template <class T> cudaError_t cudaMallocHost(T** block, size_t bytes) {
  return cudaMallocHost(reinterpret_cast<void**>(block), bytes);
}

namespace emulator {

cudaError_t launch(const cudaLaunchConfig_t&, const void* kernel, std::function<void()> thread);

}  // namespace emulator

template <class... Parameters, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Args&&... args) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "arguments travel as bytes");
  static_assert((sizeof(Parameters) + ... + 0) <= 4096, "no room for so many arguments");
  return emulator::launch(*config, reinterpret_cast<const void*>(kernel),
                          [kernel, values = std::tuple<Parameters...>(std::forward<Args>(args)...)] {
                            std::apply(kernel, values);
                          });
}
