#include <cstring>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"

namespace gradus {
using cpu::blocks_of;
using cpu::parallel_blocks;
using cpu::parallel_for;

namespace {

// Adds rows [begin, end) of x [*, inner] into y [inner].
template <class T>
void add_rows(const T* x, int64_t begin, int64_t end, int64_t inner, T* y) {
  if (inner == 1) {
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += x[i];
    *y += sum;
    return;
  }
  for (int64_t r = begin; r < end; ++r) {
    const T* row = x + r * inner;
#pragma omp simd
    for (int64_t j = 0; j < inner; ++j) y[j] += row[j];
  }
}

// y [outer, inner] = sum over the middle axis of x [outer, n, inner]: partial sums of fixed blocks, then their sum.
template <class T>
void sum_axis(int64_t outer, int64_t n, int64_t inner, const T* x, T* y) {
  const int64_t block = std::max<int64_t>(64, 4096 / std::max<int64_t>(1, inner));
  const int64_t blocks = std::max<int64_t>(1, blocks_of(n, block));
  const Tensor scratch = blocks > 1 ? Tensor({outer, blocks, inner}, dtype_of<T>) : Tensor();
  T* partial = blocks > 1 ? scratch.data<T>() : y;
  parallel_for(outer * blocks, std::min(n, block) * inner, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = i % blocks * block;
      std::fill(partial + i * inner, partial + (i + 1) * inner, T(0));
      add_rows(x + i / blocks * n * inner, begin, std::min(n, begin + block), inner, partial + i * inner);
    }
  });
  if (blocks > 1) sum_axis(outer, blocks, inner, partial, y);
}

}  // namespace

void CpuBackend::sum_to(const Tensor& x, Out y) {
  // Axis by axis from the left; neighbouring axes that are both summed count as one.
  Tensor current = x;
  int64_t outer = 1;
  const int rank = x.shape().rank();
  const auto summed = [&](int axis) {
    const int from_right = rank - axis;
    return from_right > y.shape().rank() || (y.shape()[-from_right] == 1 && x.shape()[axis] != 1);
  };
  for (int axis = 0; axis < rank;) {
    if (!summed(axis)) {
      outer *= x.shape()[axis++];
      continue;
    }
    int64_t n = 1;
    while (axis < rank && (summed(axis) || x.shape()[axis] == 1)) n *= x.shape()[axis++];
    int64_t inner = 1;
    for (int i = axis; i < rank; ++i) inner *= x.shape()[i];
    Tensor next({outer, inner}, x.dtype());
    visit_real(x.dtype(), [&](auto t) {
      using T = decltype(t);
      sum_axis(outer, n, inner, current.data<T>(), next.data<T>());
    });
    current = next;
  }
  y.assign(current.reshape(y.shape()));
}

void CpuBackend::permute(const Tensor& x, std::span<const int> axes, Out y) {
  const int rank = x.shape().rank();
  if (rank == 0 || x.size() == 0) return y.assign(x.reshape(y.shape()));
  int64_t stride[Shape::kMaxRank], x_stride = 1;  // of x, in the order of y's axes
  for (int axis = rank - 1; axis >= 0; --axis) {
    for (int i = 0; i < rank; ++i)
      if (axes[static_cast<size_t>(i)] == axis) stride[i] = x_stride;
    x_stride *= x.shape()[axis];
  }
  const int64_t inner = y.shape()[-1], inner_stride = stride[rank - 1];
  visit(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_for(y.size() / inner, inner, [&](int64_t begin, int64_t end) {
      for (int64_t outer = begin; outer < end; ++outer) {
        int64_t offset = 0, rest = outer;
        for (int axis = rank - 2; axis >= 0; --axis) {
          offset += rest % y.shape()[axis] * stride[axis];
          rest /= y.shape()[axis];
        }
        for (int64_t i = 0; i < inner; ++i) out[outer * inner + i] = in[offset + i * inner_stride];
      }
    });
  });
}

void CpuBackend::copy_columns(int64_t rows, int64_t width, const Tensor& x, int64_t x_first, int64_t x_pitch, Out y,
                              int64_t y_first, int64_t y_pitch) {
  const int64_t element = static_cast<int64_t>(size_of(x.dtype()));
  const std::byte* in = x.bytes() + x_first * element;
  std::byte* out = y.bytes() + y_first * element;
  parallel_for(rows, width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      std::memcpy(out + r * y_pitch * element, in + r * x_pitch * element, static_cast<size_t>(width * element));
  });
}

}  // namespace gradus
