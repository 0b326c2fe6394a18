#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dropout_bits.h"
#include "tensor/cpu/parallel.h"

namespace gradus {

void CpuBackend::fill(double value, Out y) {
  visit(y.dtype(), [&]<class T>(T) {
    cpu::elementwise(y.size(), [out = y.data<T>(), number = T(value)](int64_t i) { out[i] = number; });
  });
}

void CpuBackend::cast(In x, Out y) {
  visit(x.dtype(), [&]<class From>(From) {
    visit(y.dtype(), [&]<class To>(To) {
      const From* in = x.data<From>();
      cpu::elementwise(x.size(), [in, out = y.data<To>()](int64_t i) { out[i] = To(in[i]); });
    });
  });
}

void CpuBackend::unary(const UnaryOp& op, In x, Out y) {
  visit_real(x.dtype(), [&]<class T>(T) {
    visit(op, [&](auto fn) {
      const T* in = x.data<T>();
      cpu::elementwise(x.size(), [in, out = y.data<T>(), fn](int64_t i) { out[i] = fn.f(in[i]); });
    });
  });
}

void CpuBackend::unary_backward(const UnaryOp& op, In x, In y, In dy, Out dx) {
  visit_real(dy.dtype(), [&]<class T>(T) {
    visit(op, [&](auto fn) {
      T *dout = dy.data<T>(), *din = dx.data<T>();
      // What the slope does not read may be absent: point it at dy, which is there.
      const T *in = fn.needs_x ? x.data<T>() : dout, *out = fn.needs_y ? y.data<T>() : dout;
      cpu::elementwise(dy.size(), [=](int64_t i) { din[i] = dout[i] * fn.slope(in[i], out[i]); });
    });
  });
}

namespace {

// y[i] = fn.f(a, b) for i in [begin, end), where an operand that does not move gives its first element again
// and again. Which ones move is told apart outside the loop, so that the loop reads its operands plainly.
template <class T, class Result, class Fn>
void broadcast_run(int64_t begin, int64_t end, const T* a, bool a_moves, const T* b, bool b_moves, Result* y,
                   Fn fn) {
  if (a_moves && b_moves) cpu::lanes(begin, end, [=](int64_t i) { y[i] = fn.f(a[i], b[i]); });
  else if (a_moves) cpu::lanes(begin, end, [=, right = *b](int64_t i) { y[i] = fn.f(a[i], right); });
  else cpu::lanes(begin, end, [=, left = *a](int64_t i) { y[i] = fn.f(left, b_moves ? b[i] : *b); });
}

// Where row number `row` of y (all axes but the last) begins in an operand of this shape.
int64_t row_offset(int64_t row, const Shape& shape, const Shape& y) {
  int64_t offset = 0, stride = shape.rank() > 0 ? shape[-1] : 1;
  for (int axis = 2; axis <= shape.rank(); stride *= shape[-axis++]) {
    if (shape[-axis] != 1) offset += row % y[-axis] * stride;
    row /= y[-axis];
  }
  return offset;
}

// Whether an operand of this shape has other elements along y's last axis.
bool moves(const Shape& shape, const Shape& y) { return shape.rank() > 0 && shape[-1] == y[-1]; }

template <class T, class Result, class Fn> void pairwise(In a, In b, Out y, Fn fn) {
  const T *left = a.data<T>(), *right = b.data<T>();
  Result* out = y.data<Result>();
  const bool a_flat = a.shape() == y.shape(), b_flat = b.shape() == y.shape();
  if ((a_flat || a.size() == 1) && (b_flat || b.size() == 1))
    return cpu::parallel_ranges(y.size(), 1, [&](int64_t begin, int64_t end) {
      broadcast_run(begin, end, left, a_flat, right, b_flat, out, fn);
    });
  const int64_t inner = y.shape()[-1];
  cpu::parallel_rows(y.shape().before(-1), inner, [&](int64_t row) {
    broadcast_run(0, inner, left + row_offset(row, a.shape(), y.shape()), moves(a.shape(), y.shape()),
                  right + row_offset(row, b.shape(), y.shape()), moves(b.shape(), y.shape()),
                  out + row * inner, fn);
  });
}

}  // namespace

void CpuBackend::binary(Binary op, In a, In b, Out y) {
  visit_real(y.dtype(), [&]<class T>(T) { visit(op, [&](auto fn) { pairwise<T, T>(a, b, y, fn); }); });
}

void CpuBackend::compare(Compare op, In a, In b, Out y) {
  visit(a.dtype(), [&]<class T>(T) { visit(op, [&](auto fn) { pairwise<T, int32_t>(a, b, y, fn); }); });
}

void CpuBackend::where(In mask, In a, In b, Out y) {
  if (y.shape().rank() == 0)
    return where(mask.reshape({1}), a.reshape({1}), b.reshape({1}), Out(y.reshape({1})));
  const int64_t inner = y.shape()[-1];
  visit(y.dtype(), [&]<class T>(T) {
    const auto row_of = [&](const auto* first, const Shape& shape, int64_t row) {
      return first + row_offset(row, shape, y.shape());
    };
    const int64_t step_mask = moves(mask.shape(), y.shape()), step_a = moves(a.shape(), y.shape()),
                  step_b = moves(b.shape(), y.shape());
    cpu::parallel_rows(y.size() / std::max<int64_t>(inner, 1), inner, [&](int64_t row) {
      const int32_t* chosen = row_of(mask.data<int32_t>(), mask.shape(), row);
      const T *left = row_of(a.data<T>(), a.shape(), row), *right = row_of(b.data<T>(), b.shape(), row);
      cpu::lanes(0, inner, [=, out = y.data<T>() + row * inner](int64_t i) {
        out[i] = chosen[i * step_mask] != 0 ? left[i * step_a] : right[i * step_b];
      });
    });
  });
}

void CpuBackend::dropout(In x, In residual, double p, const Draw& draw, Out y) {
  const uint32_t threshold = dropout_threshold(p);
  visit_real(x.dtype(), [&]<class T>(T) {
    const T *in = x.data<T>(), *base = residual ? residual.data<T>() : nullptr;
    T* out = y.data<T>();
    const T scale = dropout_scale(threshold);
    cpu::parallel_rows(cpu::blocks_of(x.size(), kDropoutGroup), kDropoutGroup, [&](int64_t group) {
      uint16_t bits[kDropoutGroup];
      cpu::dropout_bits(group, draw, bits);
      const int64_t begin = group * kDropoutGroup, n = std::min(kDropoutGroup, x.size() - begin);
      const auto kept = [=, b = bits](int64_t i) { return b[i] >= threshold ? scale * in[begin + i] : T(0); };
      if (base) cpu::lanes(0, n, [=](int64_t i) { out[begin + i] = base[begin + i] + kept(i); });
      else cpu::lanes(0, n, [=](int64_t i) { out[begin + i] = kept(i); });
    });
  });
}

int64_t CpuBackend::first_nonfinite(In x) {
  return visit_real(x.dtype(), [&]<class T>(T) -> int64_t {
    const T *in = x.data<T>(), *end = in + x.size();
    const T* bad = std::find_if(in, end, [](T value) { return !std::isfinite(value); });
    return bad == end ? -1 : bad - in;
  });
}

}  // namespace gradus
