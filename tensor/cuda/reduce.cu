#include "tensor/cuda/cuda_backend.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/strided.cuh"

namespace gradus {
namespace {

// y [outer, runs, inner]: sums of x [outer, n, inner] over `run` places of the middle axis each. One thread
// for each sum, neighbours read neighbours.
template <class T>
__global__ void sum_columns(const T* x, int64_t n, int64_t inner, int64_t run, int64_t runs, T* y,
                            int64_t sums) {
  const int64_t i = cuda::thread_index();
  if (i >= sums) return;
  const int64_t column = i % inner, begin = i / inner % runs * run, outer = i / inner / runs;
  const T* in = x + (outer * n + begin) * inner + column;
  T sum = 0;
  for (int64_t r = 0; r < min(run, n - begin); ++r) sum += in[r * inner];
  y[i] = sum;
}

// The same for inner = 1: one block for each sum.
template <class T> __global__ void sum_rows(const T* x, int64_t n, int64_t run, int64_t runs, T* y) {
  const int64_t begin = blockIdx.x % runs * run, end = min(n, begin + run);
  const T* in = x + blockIdx.x / runs * n;
  T sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) sum += in[i];
  sum = cuda::block_reduce(sum, T(0), cuda::Sum{});
  if (threadIdx.x == 0) y[blockIdx.x] = sum;
}

// Sums x [outer, n, inner] to [outer, 1, inner], in runs of fixed length, then their sums.
Tensor sum_axis(const Tensor& x, int64_t outer, int64_t n, int64_t inner) {
  constexpr int64_t kColumnRun = 64, kRowRun = 4096;
  const bool rows = inner == 1 && n > kColumnRun;
  const int64_t run = rows ? kRowRun : kColumnRun, runs = std::max<int64_t>(1, (n + run - 1) / run);
  const int64_t sums = outer * runs * inner;
  const Tensor y = Tensor::like(x, {outer, runs, inner});
  visit_real(x.dtype(), [&]<class T>(T) {
    const unsigned blocks = cuda::blocks_for(sums, rows ? 1 : cuda::kBlock);
    if (rows) cuda::launch(sum_rows<T>, blocks, cuda::kBlock, 0, x.data<T>(), n, run, runs, y.data<T>());
    else
      cuda::launch(sum_columns<T>, blocks, cuda::kBlock, 0, x.data<T>(), n, inner, run, runs, y.data<T>(),
                   sums);
  });
  return runs > 1 ? sum_axis(y, outer, runs, inner) : y;
}

template <class T> struct Read {
  const T* x;
  cuda::Strided at;
  __device__ T operator()(int64_t i) const { return x[at.offset(i)]; }
};

template <class T>
__global__ void copy_columns_kernel(int64_t elements, int64_t width, const T* x, int64_t x_pitch, T* y,
                                    int64_t y_pitch) {
  for (int64_t i = cuda::thread_index(); i < elements; i += cuda::thread_count())
    y[i / width * y_pitch + i % width] = x[i / width * x_pitch + i % width];
}

}  // namespace

void CudaBackend::sum_to(In x, Out y) {
  const int missing = x.shape().rank() - y.shape().rank();
  Tensor current = x;
  for (int axis = 0; axis < x.shape().rank(); ++axis) {  // one after the other; each leaves size 1
    const Shape s = current.shape();
    if (s[axis] == 1 || (axis >= missing && y.shape()[axis - missing] == s[axis])) continue;
    current = sum_axis(current, s.before(axis), s[axis], s.after(axis)).reshape(s.with(axis, 1));
  }
  y.assign(current.reshape(y.shape()));
}

void CudaBackend::permute(In x, std::span<const int> axes, Out y) {
  cuda::Strided at;
  for (int axis : axes) at.add_axis(x.shape()[axis], x.shape().after(axis));
  visit(x.dtype(), [&]<class T>(T) { cuda::map(y.size(), y.data<T>(), Read<T>{x.data<T>(), at}); });
}

void CudaBackend::copy_columns(int64_t rows, int64_t width, In x, int64_t x_first, int64_t x_pitch, Out y,
                               int64_t y_first, int64_t y_pitch) {
  visit(x.dtype(), [&]<class T>(T) {
    cuda::launch(copy_columns_kernel<T>, cuda::striding_blocks(rows * width), cuda::kBlock, 0, rows * width,
                 width, x.data<T>() + x_first, x_pitch, y.data<T>() + y_first, y_pitch);
  });
}

}  // namespace gradus
