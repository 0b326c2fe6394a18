#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dropout_bits.h"
#include "tensor/cpu/parallel.h"

namespace gradus {

void CpuBackend::fill(double value, Out y) {
  visit(y.dtype(), [&]<class T>(T) {
    cpu::elementwise(y.size(), [=, out = y.data<T>()](int64_t i) { out[i] = static_cast<T>(value); });
  });
}

void CpuBackend::cast(In x, Out y) {
  visit(x.dtype(), [&]<class From>(From) {
    visit(y.dtype(), [&]<class To>(To) {
      cpu::elementwise(x.size(), [in = x.data<From>(), out = y.data<To>()](int64_t i) {
        out[i] = static_cast<To>(in[i]);
      });
    });
  });
}

void CpuBackend::unary(Unary op, In x, Out y) {
  visit_real(x.dtype(), [&]<class T>(T) {
    visit(op, [&](auto fn) {
      cpu::elementwise(x.size(),
                       [in = x.data<T>(), out = y.data<T>(), fn](int64_t i) { out[i] = fn.f(in[i]); });
    });
  });
}

void CpuBackend::unary_backward(Unary op, In x, In y, In dy, Out dx) {
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

// The axes of a broadcast operation, neighbours merged where both operands walk on evenly: most calls end up
// with one or two axes, whatever their rank was. Axis 0 is the innermost; a stride of 0 repeats the operand.
struct BroadcastAxes {
  int rank = 0;
  int64_t size[Shape::kMaxRank], a[Shape::kMaxRank], b[Shape::kMaxRank];

  BroadcastAxes(const Shape& a_shape, const Shape& b_shape, const Shape& y_shape) {
    int64_t a_stride = 1, b_stride = 1;
    for (int i = 1; i <= y_shape.rank(); ++i) {  // from the right
      const int64_t a_size = i <= a_shape.rank() ? a_shape[-i] : 1,
                    b_size = i <= b_shape.rank() ? b_shape[-i] : 1;
      if (y_shape[-i] != 1) push(y_shape[-i], a_size == 1 ? 0 : a_stride, b_size == 1 ? 0 : b_stride);
      a_stride *= a_size, b_stride *= b_size;
    }
    if (rank == 0) push(1, 1, 1);
  }

  void push(int64_t n, int64_t a_stride, int64_t b_stride) {
    const int last = rank - 1;
    if (rank > 0 && a_stride == a[last] * size[last] && b_stride == b[last] * size[last]) size[last] *= n;
    else size[rank] = n, a[rank] = a_stride, b[rank] = b_stride, ++rank;
  }
};

// y[i] = fn(a, b) for i in [begin, end) of the innermost axis. Each stride there is 1 or 0, and told apart
// outside the loop, so that the loop reads its operands plainly.
template <class T, class Fn>
void broadcast_run(const BroadcastAxes& axes, int64_t begin, int64_t end, const T* a, const T* b, T* y,
                   Fn fn) {
  if (axes.a[0] == 0) cpu::lanes(begin, end, [=, left = *a](int64_t i) { y[i] = fn(left, b[i]); });
  else if (axes.b[0] == 0) cpu::lanes(begin, end, [=, right = *b](int64_t i) { y[i] = fn(a[i], right); });
  else cpu::lanes(begin, end, [=](int64_t i) { y[i] = fn(a[i], b[i]); });
}

}  // namespace

void CpuBackend::binary(Binary op, In x, In z, Out out) {
  const BroadcastAxes axes(x.shape(), z.shape(), out.shape());
  const int64_t inner = axes.size[0];
  if (out.size() == 0) return;
  visit_real(out.dtype(), [&]<class T>(T) {
    const T *a = x.data<T>(), *b = z.data<T>();
    T* y = out.data<T>();
    visit(op, [&](auto fn) {
      if (axes.rank == 1)
        return cpu::parallel_ranges(inner, 1,
                                    [&](int64_t i, int64_t j) { broadcast_run(axes, i, j, a, b, y, fn); });
      cpu::parallel_rows(out.size() / inner, inner, [&](int64_t row) {
        int64_t a_offset = 0, b_offset = 0, rest = row;
        for (int axis = 1; axis < axes.rank; rest /= axes.size[axis++]) {
          a_offset += rest % axes.size[axis] * axes.a[axis];
          b_offset += rest % axes.size[axis] * axes.b[axis];
        }
        broadcast_run(axes, 0, inner, a + a_offset, b + b_offset, y + row * inner, fn);
      });
    });
  });
}

void CpuBackend::dropout(In x, In residual, double p, const Draw& draw, Out y) {
  const uint32_t threshold = dropout_threshold(p), step = static_cast<uint32_t>(*draw.step.data<int32_t>());
  visit_real(x.dtype(), [&]<class T>(T) {
    const T *in = x.data<T>(), *base = residual ? residual.data<T>() : nullptr;
    T* out = y.data<T>();
    const T scale = static_cast<T>(dropout_scale(threshold));
    cpu::parallel_rows(cpu::blocks_of(x.size(), kDropoutGroup), kDropoutGroup, [&](int64_t group) {
      uint16_t bits[kDropoutGroup];
      cpu::dropout_bits(static_cast<uint64_t>(group), draw, step, bits);
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
