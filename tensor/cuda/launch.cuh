// What the kernels share on the device: how they are launched, sums and maxima over a warp or a block, the
// random bits of dropout, token ids. Reductions add in an order that depends on the shape alone, so results
// are the same bits in every run; floats are never added by atomics.
//
// Kernels compile under nvcc and, for the tests, as plain C++ on the emulator in tests/cuda_emulator/. Hence:
// launch() and never <<<>>>, dynamic shared memory by DYN_SHARED alone, full warp masks, no return before a
// barrier, no inline assembly.
#pragma once

#include <algorithm>
#include <cmath>

#include "tensor/cuda/cuda_backend.h"
#include "tensor/cuda/runtime.h"

#ifndef DYN_SHARED  // the emulator has its own
#define DYN_SHARED(T, name)                                     \
  extern __shared__ __align__(16) unsigned char name##_bytes[]; \
  T* name = reinterpret_cast<T*>(name##_bytes)
#endif

namespace gradus::cuda {

constexpr int kWarp = 32, kBlock = 256;  // threads
constexpr unsigned kFullMask = 0xffffffffu;

// Where a kernel takes a pointer a Tensor, or an Out, may be given; one that is none becomes a null pointer.
template <class Parameter, class Arg> Parameter argument(const Arg& arg) {
  if constexpr (std::is_base_of_v<Tensor, Arg>)
    return arg ? arg.template data<std::remove_const_t<std::remove_pointer_t<Parameter>>>() : nullptr;
  else return static_cast<Parameter>(arg);
}

// What a kernel runs on: blocks of threads, each block with so much dynamic shared memory.
struct Grid {
  dim3 blocks;
  unsigned threads = kBlock;
  size_t shared_bytes = 0;
};

// Runs kernel(args...) on the stream; a grid without blocks runs nothing.
template <class... Parameters, class... Args>
void launch(void (*kernel)(Parameters...), const Grid& grid, const Args&... args) {
  constexpr size_t kFreeOfAsking = 48 << 10;
  if (grid.blocks.x == 0 || grid.blocks.y == 0) return;
  if (grid.shared_bytes > kFreeOfAsking)
    CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(grid.shared_bytes)));
  cudaLaunchConfig_t config{};
  config.gridDim = grid.blocks;
  config.blockDim = grid.threads;
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = runtime().stream;
  CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, argument<Parameters>(args)...));
}

// Blocks for n items, `per_block` each.
inline unsigned blocks_for(int64_t n, int64_t per_block = kBlock) {
  return static_cast<unsigned>((n + per_block - 1) / per_block);
}
// As many as fill any GPU, for kernels that stride over the rest:
// for (int64_t i = thread_index(); i < n; i += thread_count())
inline unsigned striding_blocks(int64_t n) { return std::min(blocks_for(n), 4096u); }
__device__ inline int64_t thread_index() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ inline int64_t thread_count() { return int64_t{gridDim.x} * blockDim.x; }

// Four neighbours, which travel in one access, or two, where they begin at a multiple of 16 bytes.
template <class T> struct alignas(16) Four {
  T at[4];
};
HOST_DEVICE constexpr int fours(int64_t n) { return static_cast<int>((n + 3) / 4); }
template <class... T> __device__ bool aligned(const T*... data) {
  return ((reinterpret_cast<uintptr_t>(data) % 16 == 0) && ...);
}

constexpr int kPerThread = 4;

template <class T, class Fn> __global__ void map_kernel(Fn fn, T* y, int64_t n) {
  const int64_t first = int64_t{blockIdx.x} * kBlock * kPerThread + threadIdx.x;
  T value[kPerThread];  // all are read before the first is stored: so several reads are under way at once
  for (int k = 0; k < kPerThread; ++k)
    if (const int64_t i = first + k * kBlock; i < n) value[k] = fn(i);
  for (int k = 0; k < kPerThread; ++k)
    if (const int64_t i = first + k * kBlock; i < n) y[i] = value[k];
}
// y[i] = fn(i) for i in [0, n); fn is a struct that holds device pointers. It may read y[i].
template <class T, class Fn> void map(int64_t n, T* y, const Fn& fn) {
  launch(map_kernel<T, Fn>, {blocks_for(n, kBlock * kPerThread)}, fn, y, n);
}

struct Sum {
  template <class T> __device__ T operator()(T a, T b) const { return a + b; }
};
struct Max {  // NaNs are passed over
  template <class T> __device__ T operator()(T a, T b) const { return b > a ? b : a; }
};

// The lanes' values combined, in every lane.
template <class T, class Combine> __device__ T warp_reduce(T value, Combine combine) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    value = combine(value, __shfl_xor_sync(kFullMask, value, offset));
  return value;
}

// The threads' values combined, in every thread. The block is one row of whole warps, and all of it calls.
template <class T, class Combine> __device__ T block_reduce(T value, T identity, Combine combine) {
  __shared__ T parts[kWarp];
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  value = warp_reduce(value, combine);
  if (blockDim.x == kWarp) return value;
  __syncthreads();  // an earlier call may still be reading
  if (lane == 0) parts[warp] = value;
  __syncthreads();
  return warp_reduce(lane < blockDim.x / kWarp ? parts[lane] : identity, combine);
}

// For sums down the columns of a matrix: kSumColumns of them side by side, a memory sector of floats, in one
// block of kSumThreads.
constexpr int kSumColumns = 8, kSumThreads = 1024;

// The values of the threads that have one column, added; in the first thread of each. Thread t has column
// t % columns: of at most kSumColumns, a power of two. All of a block of whole warps calls.
__device__ inline double column_reduce(double value, int columns) {
  __shared__ double parts[kWarp][kSumColumns];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int offset = kWarp / 2; offset >= columns; offset /= 2)
    value += __shfl_xor_sync(kFullMask, value, offset);
  __syncthreads();  // an earlier call may still be reading
  if (lane < columns) parts[warp][lane] = value;
  __syncthreads();
  double total = 0;
  for (int w = 0; w < int(blockDim.x) / kWarp && int(threadIdx.x) < columns; ++w) total += parts[w][lane];
  return total;
}

// The first i in [0, n) that fn(i) says is bad, or n; in every thread of the one block that calls.
template <class Fn> __device__ int64_t first_bad(int64_t n, Fn fn) {
  int64_t first = n;
  for (int64_t i = threadIdx.x; i < first; i += blockDim.x)
    if (fn(i)) first = i;
  return -block_reduce(-first, -n, Max{});  // the least of all
}

// The random bits of dropout.
struct DropoutBits {
  Draw draw;
  uint32_t threshold;

  DropoutBits(const Draw& d, double p) : draw(d), threshold(dropout_threshold(p)) {}

  // One counter decides for eight elements (random.h): group * 128 + half * 16 + lane, half = 0..7.
  __device__ PhiloxBlock block(int64_t group, int64_t lane) const {
    const uint64_t counter = group * kDropoutLanes + lane;
    return philox({uint32_t(counter), uint32_t(counter >> 32), draw.number, draw.step}, draw.seed);
  }
  __device__ bool keeps(const PhiloxBlock& block, int half) const {
    return (block[half / 2] >> (half % 2 * 16) & 0xffff) >= threshold;
  }
};

// IdColumns as kernels see them; numbered by 32 bits, whose division is much cheaper.
struct DeviceIds {
  const int32_t* ids;
  int64_t width;
  uint32_t first, count;

  explicit DeviceIds(const IdColumns& c)
      : ids(c.ids.data<int32_t>()), width(c.width()), first(c.first), count(c.count) {}

  __device__ int32_t at(uint32_t i) const { return ids[i / count * width + first + i % count]; }
};

}  // namespace gradus::cuda
