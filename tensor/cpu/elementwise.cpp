#include <cmath>
#include <cstring>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dropout_bits.h"
#include "tensor/cpu/parallel.h"

namespace gradus {
using cpu::parallel_blocks;
using cpu::parallel_for;

void CpuBackend::fill(double value, Out y) {
  visit(y.dtype(), [&](auto t) {
    using T = decltype(t);
    T* out = y.data<T>();
    parallel_for(y.size(), 1, [&](int64_t begin, int64_t end) {
      std::fill(out + begin, out + end, static_cast<T>(value));
    });
  });
}

void CpuBackend::cast(const Tensor& x, Out y) {
  visit(x.dtype(), [&](auto from) {
    visit(y.dtype(), [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      const From* in = x.data<From>();
      To* out = y.data<To>();
      parallel_for(x.size(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) out[i] = static_cast<To>(in[i]);
      });
    });
  });
}

void CpuBackend::unary(Unary op, const Tensor& x, Out y) {
  visit_real(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    visit(op, [&](auto fn) {
      parallel_for(x.size(), 1, [&](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) out[i] = fn.f(in[i]);
      });
    });
  });
}

void CpuBackend::unary_backward(Unary op, const Tensor& x, const Tensor& y, const Tensor& dy, Out dx) {
  visit_real(dy.dtype(), [&](auto t) {
    using T = decltype(t);
    visit(op, [&](auto fn) {
      const T* dout = dy.data<T>();
      // What the slope does not read may be absent: point it at dy, which is there.
      const T* in = fn.needs_x ? x.data<T>() : dout;
      const T* out = fn.needs_y ? y.data<T>() : dout;
      T* din = dx.data<T>();
      parallel_for(dy.size(), 1, [&](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) din[i] = dout[i] * fn.slope(in[i], out[i]);
      });
    });
  });
}

namespace {

// The axes of a broadcast operation, neighbours merged where both operands walk on evenly: most calls end up with one
// or two axes, whatever their rank was. A stride of 0 repeats the operand.
struct BroadcastAxes {
  int rank = 0;
  int64_t size[Shape::kMaxRank], a[Shape::kMaxRank], b[Shape::kMaxRank];

  BroadcastAxes(const Shape& a_shape, const Shape& b_shape, const Shape& y_shape) {
    int64_t a_stride = 1, b_stride = 1;
    for (int i = 1; i <= y_shape.rank(); ++i) {  // from the right
      const int64_t n = y_shape[-i];
      const int64_t a_size = i <= a_shape.rank() ? a_shape[-i] : 1, b_size = i <= b_shape.rank() ? b_shape[-i] : 1;
      if (n != 1) push(n, a_size == 1 ? 0 : a_stride, b_size == 1 ? 0 : b_stride);
      a_stride *= a_size;
      b_stride *= b_size;
    }
    if (rank == 0) push(1, 1, 1);
  }

 private:
  void push(int64_t n, int64_t a_stride, int64_t b_stride) {  // axis 0 is the innermost
    if (rank > 0 && a_stride == a[rank - 1] * size[rank - 1] && b_stride == b[rank - 1] * size[rank - 1]) {
      size[rank - 1] *= n;
    } else {
      size[rank] = n, a[rank] = a_stride, b[rank] = b_stride;
      ++rank;
    }
  }
};

// One run along the innermost axis; each operand's stride there is 1 or 0.
template <class T, class Fn>
void broadcast_run(int64_t n, const T* a, int64_t a_stride, const T* b, int64_t b_stride, T* y, Fn fn) {
  if (a_stride != 0 && b_stride != 0) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = fn(a[i], b[i]);
  } else if (a_stride != 0) {
    const T right = *b;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = fn(a[i], right);
  } else {
    const T left = *a;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = fn(left, b[i * b_stride]);
  }
}

template <class T, class Fn>
void broadcast_binary(const BroadcastAxes& axes, int64_t size, const T* a, const T* b, T* y, Fn fn) {
  const int64_t inner = axes.size[0];
  if (axes.rank == 1)
    return parallel_for(inner, 1, [&](int64_t begin, int64_t end) {
      broadcast_run(end - begin, a + begin * axes.a[0], axes.a[0], b + begin * axes.b[0], axes.b[0], y + begin, fn);
    });
  parallel_for(size / inner, inner, [&](int64_t begin, int64_t end) {
    for (int64_t outer = begin; outer < end; ++outer) {
      int64_t a_offset = 0, b_offset = 0, rest = outer;
      for (int axis = 1; axis < axes.rank; ++axis) {
        const int64_t i = rest % axes.size[axis];
        rest /= axes.size[axis];
        a_offset += i * axes.a[axis];
        b_offset += i * axes.b[axis];
      }
      broadcast_run(inner, a + a_offset, axes.a[0], b + b_offset, axes.b[0], y + outer * inner, fn);
    }
  });
}

}  // namespace

void CpuBackend::binary(Binary op, const Tensor& a, const Tensor& b, Out y) {
  if (y.size() == 0) return;
  const BroadcastAxes axes(a.shape(), b.shape(), y.shape());
  visit_real(y.dtype(), [&](auto t) {
    using T = decltype(t);
    visit(op, [&](auto fn) { broadcast_binary(axes, y.size(), a.data<T>(), b.data<T>(), y.data<T>(), fn); });
  });
}

void CpuBackend::dropout(const Tensor& x, const Tensor& residual, double p, const Draw& draw, Out y) {
  const uint32_t threshold = dropout_threshold(p), step = static_cast<uint32_t>(*draw.step.data<int32_t>());
  visit_real(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* in = x.data<T>();
    const T* base = residual ? residual.data<T>() : nullptr;
    T* out = y.data<T>();
    const T scale = static_cast<T>(dropout_scale(threshold));
    parallel_for(cpu::blocks_of(x.size(), kDropoutGroup), kDropoutGroup, [&](int64_t first, int64_t last) {
      uint16_t bits[kDropoutGroup];
      for (int64_t group = first; group < last; ++group) {
        cpu::dropout_bits(static_cast<uint64_t>(group), draw, step, bits);
        const int64_t begin = group * kDropoutGroup, n = std::min(kDropoutGroup, x.size() - begin);
        if (base) {
#pragma omp simd
          for (int64_t i = 0; i < n; ++i)
            out[begin + i] = base[begin + i] + (bits[i] >= threshold ? scale * in[begin + i] : T(0));
        } else {
#pragma omp simd
          for (int64_t i = 0; i < n; ++i) out[begin + i] = bits[i] >= threshold ? scale * in[begin + i] : T(0);
        }
      }
    });
  });
}

int64_t CpuBackend::first_nonfinite(const Tensor& x) {
  return visit_real(x.dtype(), [&](auto t) -> int64_t {
    using T = decltype(t);
    const T* in = x.data<T>();
    const T* bad = std::find_if(in, in + x.size(), [](T value) { return !std::isfinite(value); });
    return bad == in + x.size() ? -1 : bad - in;
  });
}

}  // namespace gradus
