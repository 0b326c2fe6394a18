// Loops over one row by a whole block: what cpu::lanes, cpu::sum and cpu::max are on the CPU. Kernels over
// rows give each row a block.
#pragma once

#include <limits>

#include "tensor/cuda/launch.cuh"

namespace gradus::cuda {

// A block for each row of x [N, D], with a thread for about so many elements, in whole warps; at most kBlock,
// with which a kernel may have as many registers as there are.
inline Grid row_blocks(const Tensor& x, int64_t per_thread = 4) {
  const int64_t most = kBlock / kWarp, each_warp = per_thread * kWarp;
  const int64_t warps = std::clamp<int64_t>((x.shape()[-1] + each_warp - 1) / each_warp, 1, most);
  return {blocks_for(x.shape().before(-1), 1), static_cast<unsigned>(warps * kWarp)};
}

template <class Fn> __device__ void each(int64_t d, const Fn& fn) {
  for (int64_t j = threadIdx.x; j < d; j += blockDim.x) fn(j);
}

// fn(j, x) for each j, with x[i] = in[i][j]. All reads of eight columns are under way before the first of them is
// used: fn may write, and the compiler cannot know that what it writes is not read next.
template <class T, int kInputs, class Fn>
__device__ void each_read(int64_t d, const T* const (&in)[kInputs], const Fn& fn) {
  constexpr int kAtOnce = 8;
  const int end = d, step = blockDim.x;
  for (int first = threadIdx.x; first < end; first += kAtOnce * step) {
    T x[kAtOnce][kInputs];
    for (int k = 0; k < kAtOnce; ++k)
      for (int i = 0; i < kInputs; ++i) x[k][i] = first + k * step < end ? in[i][first + k * step] : T(0);
    for (int k = 0; k < kAtOnce; ++k)
      if (const int j = first + k * step; j < end) fn(j, x[k]);
  }
}

// out[j] = fn(j, in[j]), which may be the same row.
template <class T, class Fn> __device__ void transform(int64_t d, const T* in, T* out, const Fn& fn) {
  each_read(d, {in}, [=](int j, const T(&x)[1]) { out[j] = fn(j, x[0]); });
}

// Sum of term(j) over [0, d), in every thread: each thread's part in T, their sums in double.
template <class T, class Term> __device__ double sum(int64_t d, const Term& term) {
  T part = 0;
  each(d, [&](int64_t j) { part += term(j); });
  return block_reduce(static_cast<double>(part), 0., Sum{});
}

// The largest x[j], in every thread; NaNs are passed over.
template <class T> __device__ T max(int64_t d, const T* x) {
  T largest = -std::numeric_limits<T>::infinity();
  each(d, [&](int64_t j) { largest = Max{}(largest, x[j]); });
  return block_reduce(largest, -std::numeric_limits<T>::infinity(), Max{});
}

}  // namespace gradus::cuda
