#include <cstring>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"

namespace gradus {
namespace {

// y [outer, inner] = sum over the middle axis of x [outer, n, inner]: partial sums of fixed blocks, then
// their sum.
template <class T> void sum_axis(int64_t outer, int64_t n, int64_t inner, const T* x, T* y) {
  const int64_t block = std::max<int64_t>(64, 4096 / std::max<int64_t>(1, inner));
  const int64_t blocks = std::max<int64_t>(1, cpu::blocks_of(n, block));
  const Tensor scratch = blocks > 1 ? Tensor({outer, blocks, inner}, dtype_of<T>) : Tensor();
  T* partial = blocks > 1 ? scratch.data<T>() : y;
  cpu::parallel_rows(outer * blocks, std::min(n, block) * inner, [&](int64_t i) {
    const int64_t begin = i % blocks * block, size = std::min(block, n - begin);
    const T* in = x + (i / blocks * n + begin) * inner;
    T* out = partial + i * inner;
    std::fill(out, out + inner, T(0));
    if (inner == 1) *out = cpu::sum<T>(size, [=](int64_t j) { return in[j]; });
    else
      for (int64_t r = 0; r < size; ++r)
        cpu::lanes(0, inner, [=](int64_t j) { out[j] += in[r * inner + j]; });
  });
  if (blocks > 1) sum_axis(outer, blocks, inner, partial, y);
}

}  // namespace

void CpuBackend::sum_to(In x, Out y) {
  const int missing = x.shape().rank() - y.shape().rank();
  Tensor current = x;
  for (int axis = 0; axis < x.shape().rank(); ++axis) {  // one after the other; each leaves size 1
    const Shape s = current.shape();
    if (s[axis] == 1 || (axis >= missing && y.shape()[axis - missing] == s[axis])) continue;
    const Tensor next = Tensor::like(x, s.with(axis, 1));
    visit_real(x.dtype(), [&]<class T>(T) {
      sum_axis(s.before(axis), s[axis], s.after(axis), current.data<T>(), next.data<T>());
    });
    current = next;
  }
  y.assign(current.reshape(y.shape()));
}

void CpuBackend::permute(In x, std::span<const int> axes, Out y) {
  const int rank = x.shape().rank();
  if (rank == 0 || x.size() == 0) return y.assign(x.reshape(y.shape()));
  int64_t stride[Shape::kMaxRank], x_stride = 1;  // of x, in the order of y's axes
  for (int axis = rank - 1; axis >= 0; x_stride *= x.shape()[axis--])
    stride[std::find(axes.begin(), axes.end(), axis) - axes.begin()] = x_stride;
  const int64_t inner = y.shape()[-1], inner_stride = stride[rank - 1];
  visit(x.dtype(), [&]<class T>(T) {
    cpu::parallel_rows(y.size() / inner, inner, [&](int64_t row) {
      int64_t offset = 0, rest = row;
      for (int axis = rank - 2; axis >= 0; rest /= y.shape()[axis--])
        offset += rest % y.shape()[axis] * stride[axis];
      const T* in = x.data<T>() + offset;
      T* out = y.data<T>() + row * inner;
      cpu::lanes(0, inner, [=](int64_t i) { out[i] = in[i * inner_stride]; });
    });
  });
}

void CpuBackend::copy_columns(int64_t rows, int64_t width, In x, int64_t x_first, int64_t x_pitch, Out y,
                              int64_t y_first, int64_t y_pitch) {
  const int64_t element = size_of(x.dtype());
  cpu::parallel_rows(rows, width, [&](int64_t r) {
    std::memcpy(y.bytes() + (r * y_pitch + y_first) * element, x.bytes() + (r * x_pitch + x_first) * element,
                width * element);
  });
}

}  // namespace gradus
