#include <bit>

#include "tensor/cuda/rows.cuh"
#include "tensor/cuda/strided.cuh"

namespace gradus {
namespace {

using namespace cuda;

constexpr int64_t kFew = 64, kRun = 8192;  // places that one thread, or one block, adds up

// y [outer, runs, inner]: sums of x [outer, n, inner] over kRun places of the middle axis each; or y += them.
// A block has `columns` sums side by side; its threads share the places of each. Four are added in the type
// of x, their sums in double.
template <class From, class To>
__global__ void __launch_bounds__(kSumThreads)
    sum_runs(const From* x, int64_t n, int64_t inner, int64_t runs, int columns, bool add, To* y,
             int64_t sums) {
  constexpr int kAtOnce = 16;  // so many reads are under way
  const int lane = threadIdx.x / columns, lanes = blockDim.x / columns;
  const int64_t i = int64_t{blockIdx.x} * columns + threadIdx.x % columns, run = i / inner;
  const int64_t begin = run % runs * kRun, step = lanes * inner;
  const int length = i < sums ? min(kRun, n - begin) : 0;
  const From* in = x + (run / runs * n + begin + lane) * inner + i % inner;
  double sum = 0;
  for (int place = lane; place < length; place += kAtOnce * lanes, in += kAtOnce * step) {
    From value[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) value[k] = place + k * lanes < length ? in[k * step] : From(0);
    for (int k = 0; k < kAtOnce; k += 4) sum += (value[k] + value[k + 1]) + (value[k + 2] + value[k + 3]);
  }
  if (lanes > 1) sum = column_reduce(sum, columns);
  if (lane == 0 && i < sums) y[i] = (add ? y[i] : To(0)) + static_cast<To>(sum);
}

// Sums x [outer, n, inner] to [outer, 1, inner]: runs of fixed length, then their sums. The result is y where
// it has y's size, or is added to y; else it is new, and in double.
Tensor sum_axis(const Tensor& x, int64_t outer, int64_t n, int64_t inner, bool add, const Tensor& y) {
  const int64_t runs = std::max<int64_t>(1, (n + kRun - 1) / kRun), sums = outer * runs * inner;
  const bool last = runs == 1 && sums == y.size();
  const Tensor out =
      last ? y.reshape({outer, 1, inner}) : Tensor({outer, runs, inner}, DType::f64, x.device());
  // Of few places a thread has all. Else neighbouring threads read neighbouring places, or sums of a sector;
  // so many that each has at least four.
  const int columns = n <= kFew ? kBlock : inner < kSumColumns ? 1 : kSumColumns;
  const int64_t warps = blocks_for(std::min(n, kRun) * columns, 4 * kWarp);
  const unsigned threads = n <= kFew ? kBlock : kWarp * std::min<int64_t>(warps, kSumThreads / kWarp);
  visit_real(x.dtype(), [&]<class From>(From) {
    visit_real(out.dtype(), [&]<class To>(To) {
      launch(sum_runs<From, To>, {blocks_for(sums, columns), threads}, x, n, inner, runs, columns,
             add && last, out, sums);
    });
  });
  return runs > 1 ? sum_axis(out, outer, runs, inner, add, y) : out;
}

template <class T> struct Read {
  const T* x;
  Strided at;
  __device__ T operator()(int64_t i) const { return x[at.offset(i)]; }
};

template <class T> struct FirstLargest {  // of n places, `inner` elements apart
  const T* x;
  int64_t n, inner;
  __device__ int32_t operator()(int64_t i) const {
    const T* in = x + i / inner * n * inner + i % inner;
    int64_t best = 0;
    for (int64_t j = 1; j < n && in[best * inner] == in[best * inner]; ++j)
      if (!(in[j * inner] <= in[best * inner])) best = j;
    return static_cast<int32_t>(best);
  }
};

// A number in the order of topk: NaN is the largest, and -0 is 0.
template <class T> __device__ int64_t rank_of(T x) {
  if (x != x) return INT64_MAX;
  const int64_t bits = std::bit_cast<int64_t>(double{x} + 0.);
  return bits < 0 ? bits ^ INT64_MAX : bits;
}

// One block a row. Each round looks through the row for the largest of those that come after the last one.
template <class T> __global__ void topk_rows(int64_t d, int k, const T* x, T* values, int32_t* ids) {
  const T* in = x + blockIdx.x * d;
  int64_t last_rank = INT64_MAX, last_place = -1;
  for (int i = 0; i < k; ++i) {
    int64_t rank = INT64_MIN, place = d;
    each(d, [&](int64_t j) {
      const int64_t own = rank_of(in[j]);
      const bool left = own < last_rank || (own == last_rank && j > last_place);
      if (!left || (place < d && own <= rank)) return;
      rank = own;
      place = j;
    });
    last_rank = block_reduce(rank, INT64_MIN, Max{});
    last_place = -block_reduce(rank == last_rank ? -place : -d, -d, Max{});
    if (threadIdx.x > 0) continue;
    values[int64_t{blockIdx.x} * k + i] = in[last_place];
    ids[int64_t{blockIdx.x} * k + i] = static_cast<int32_t>(last_place);
  }
}

constexpr int kCopied = 4;  // rows that a thread of copy_columns_kernel reads before it writes the first

// A block has `across` columns, a power of two, of kBlock / across rows at once.
template <class T>
__global__ void copy_columns_kernel(int64_t rows, int64_t width, int across, const T* x, int64_t x_pitch, T* y,
                                    int64_t y_pitch) {
  const int64_t j = int64_t{blockIdx.x} * across + threadIdx.x % across, down = kBlock / across;
  if (j >= width) return;
  const int64_t first = blockIdx.y * kCopied * down + threadIdx.x / across;
#pragma unroll 1  // nvcc would divide to count the rounds
  for (int64_t r = first; r < rows; r += gridDim.y * kCopied * down) {
    T value[kCopied];
    for (int k = 0; k < kCopied; ++k)
      value[k] = r + k * down < rows ? x[(r + k * down) * x_pitch + j] : T(0);
    for (int k = 0; k < kCopied; ++k)
      if (r + k * down < rows) y[(r + k * down) * y_pitch + j] = value[k];
  }
}

}  // namespace

void CudaBackend::sum_to(In x, bool add, Out y) {
  const int missing = x.shape().rank() - y.shape().rank();
  Tensor current = x;
  for (int axis = 0; axis < x.shape().rank(); ++axis) {  // one after the other; each leaves size 1
    const Shape s = current.shape();
    if (s[axis] == 1 || (axis >= missing && y.shape()[axis - missing] == s[axis])) continue;
    current = sum_axis(current, s.before(axis), s[axis], s.after(axis), add, y).reshape(s.with(axis, 1));
  }
  if (current.bytes() == y.bytes()) return;
  const Tensor same = current.reshape(y.shape());  // no axis was summed
  if (add) binary(Binary::add, y, same, y);
  else y.assign(same);
}

void CudaBackend::argmax(In x, int axis, Out y) {
  visit_real(x.dtype(), [&]<class T>(T) {
    map(y.size(), y.data<int32_t>(), FirstLargest<T>{x.data<T>(), x.shape()[axis], x.shape().after(axis)});
  });
}

void CudaBackend::topk(In x, Out values, Out ids) {
  visit_real(x.dtype(), [&]<class T>(T) {
    launch(topk_rows<T>, row_blocks(x), x.shape()[-1], values.shape()[-1], x, values, ids);
  });
}

void CudaBackend::permute(In x, std::span<const int> axes, Out y) {
  Strided at;
  for (int axis : axes) at.add_axis(x.shape()[axis], x.shape().after(axis));
  visit(x.dtype(), [&]<class T>(T) { map(y.size(), y.data<T>(), Read<T>{x.data<T>(), at}); });
}

void CudaBackend::copy_columns(int64_t rows, int64_t width, const InColumns& x, const OutColumns& y) {
  const int across = std::bit_ceil(static_cast<uint64_t>(std::clamp<int64_t>(width, 1, kBlock)));
  const dim3 grid(blocks_for(width, across), std::min(blocks_for(rows, kCopied * kBlock / across), 65535u));
  visit(x.matrix.dtype(), [&]<class T>(T) {
    launch(copy_columns_kernel<T>, {grid}, rows, width, across, x.matrix.data<T>() + x.first, x.pitch,
           y.matrix.data<T>() + y.first, y.pitch);
  });
}

}  // namespace gradus
