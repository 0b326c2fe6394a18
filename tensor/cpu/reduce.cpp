#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"

namespace gradus {
namespace {

// sums [inner] of rows [n, inner]: a run of rows is added in registers of type T, the runs in double.
template <class T> void sum_rows(int64_t n, int64_t inner, const T* x, double* sums) {
  constexpr int64_t kRun = 32, kColumns = 256;
  std::fill(sums, sums + inner, 0.);
  for (int64_t begin = 0; begin < inner; begin += kColumns) {
    const int64_t columns = std::min(kColumns, inner - begin);
    for (int64_t first = 0; first < n; first += kRun) {
      T run[kColumns] = {};
      for (int64_t r = first; r < std::min(first + kRun, n); ++r)
        cpu::lanes(0, columns, [=, to = run, in = x + r * inner + begin](int64_t j) { to[j] += in[j]; });
      cpu::lanes(0, columns, [to = sums + begin, in = run](int64_t j) { to[j] += in[j]; });
    }
  }
}

// y [outer, inner] = sum over the middle axis of x [outer, n, inner]: sums of fixed blocks, then their sum.
template <class T> void sum_axis(int64_t outer, int64_t n, int64_t inner, const T* x, T* y) {
  const int64_t block = std::max<int64_t>(64, 4096 / std::max<int64_t>(1, inner));
  const int64_t blocks = cpu::blocks_of(n, block);
  const Tensor scratch({outer, blocks, inner}, DType::f64);
  double* partial = scratch.data<double>();
  cpu::parallel_rows(outer * blocks, std::min(n, block) * inner, [&](int64_t i) {
    const int64_t begin = i % blocks * block, size = std::min(block, n - begin);
    const T* in = x + (i / blocks * n + begin) * inner;
    if (inner == 1) partial[i] = cpu::sum<T>(size, [=](int64_t j) { return in[j]; });
    else sum_rows(size, inner, in, partial + i * inner);
  });
  cpu::parallel_rows(outer, blocks * inner, [&](int64_t o) {
    std::vector<double> total(inner);
    sum_rows(blocks, inner, partial + o * blocks * inner, total.data());
    std::copy(total.begin(), total.end(), y + o * inner);
  });
}

}  // namespace

void CpuBackend::sum_to(In x, bool add, Out y) {
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
  const Tensor total = current.reshape(y.shape());
  if (add) binary(Binary::add, y, total, y);
  else y.assign(total);
}

void CpuBackend::argmax(In x, int axis, Out y) {
  const int64_t n = x.shape()[axis], inner = x.shape().after(axis);
  visit_real(x.dtype(), [&]<class T>(T) {
    cpu::parallel_rows(y.size(), n, [&](int64_t i) {
      const T* in = x.data<T>() + i / inner * n * inner + i % inner;
      int64_t best = 0;
      for (int64_t j = 1; j < n && in[best * inner] == in[best * inner]; ++j)
        if (!(in[j * inner] <= in[best * inner])) best = j;
      y.data<int32_t>()[i] = static_cast<int32_t>(best);
    });
  });
}

void CpuBackend::topk(In x, Out values, Out ids) {
  const int64_t n = x.shape()[-1], k = values.shape()[-1];
  visit_real(x.dtype(), [&]<class T>(T) {
    cpu::parallel_rows(x.shape().before(-1), n, [&](int64_t r) {
      const T* in = x.data<T>() + r * n;
      std::vector<int32_t> order(n);
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + k, order.end(), [in](int32_t a, int32_t b) {
        const bool a_is_nan = in[a] != in[a], b_is_nan = in[b] != in[b];
        if (in[a] == in[b] || (a_is_nan && b_is_nan)) return a < b;
        return !b_is_nan && (a_is_nan || in[a] > in[b]);
      });
      for (int64_t i = 0; i < k; ++i) {
        values.data<T>()[r * k + i] = in[order[i]];
        ids.data<int32_t>()[r * k + i] = order[i];
      }
    });
  });
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

void CpuBackend::copy_columns(int64_t rows, int64_t width, const InColumns& x, const OutColumns& y) {
  const int64_t element = static_cast<int64_t>(size_of(x.matrix.dtype()));
  const std::byte* in = x.matrix.bytes() + x.first * element;
  std::byte* out = y.matrix.bytes() + y.first * element;
  cpu::parallel_rows(rows, width, [&](int64_t r) {
    std::memcpy(out + r * y.pitch * element, in + r * x.pitch * element, width * element);
  });
}

}  // namespace gradus
