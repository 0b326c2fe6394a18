#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/strided.cuh"

namespace gradus {
namespace {

using namespace cuda;

// What map() computes at each place. Structs and not lambdas: nvcc wants kernels' types to have names.
template <class T> struct Constant {
  T value;
  __device__ T operator()(int64_t) const { return value; }
};
template <class From, class To> struct Cast {
  const From* x;
  __device__ To operator()(int64_t i) const { return static_cast<To>(x[i]); }
};
template <class T, class Fn> struct Forward {
  const T* x;
  Fn fn;
  __device__ T operator()(int64_t i) const { return fn.f(x[i]); }
};
template <class T, class Fn> struct Backward {
  const T *x, *y, *dy;
  Fn fn;
  __device__ T operator()(int64_t i) const { return dy[i] * fn.slope(x[i], y[i]); }
};
template <class T, class Fn, class At> struct Pairwise {
  const T *a, *b;
  At at_a, at_b;
  __device__ auto operator()(int64_t i) const { return Fn::f(a[at_a.offset(i)], b[at_b.offset(i)]); }
};
template <class T, class At> struct Choice {
  const int32_t* mask;
  const T *a, *b;
  At at_mask, at_a, at_b;
  __device__ T operator()(int64_t i) const {
    return mask[at_mask.offset(i)] != 0 ? a[at_a.offset(i)] : b[at_b.offset(i)];
  }
};

// y[i] = Fn::f of the elements of a and b, stretched to y, that belong to i.
template <class T, class Fn, class To> void pairwise(In a, In b, const Tensor& y, To* to) {
  const auto run = [&]<class At>(const At& at_a, const At& at_b) {
    map(y.size(), to, Pairwise<T, Fn, At>{a.data<T>(), b.data<T>(), at_a, at_b});
  };
  with_axes(run, Strided::broadcast(a.shape(), y.shape()), Strided::broadcast(b.shape(), y.shape()));
}

}  // namespace

void CudaBackend::fill(double value, Out y) {
  visit(y.dtype(), [&]<class T>(T) { map(y.size(), y.data<T>(), Constant<T>{static_cast<T>(value)}); });
}

void CudaBackend::cast(In x, Out y) {
  visit(x.dtype(), [&]<class From>(From) {
    visit(y.dtype(), [&]<class To>(To) { map(x.size(), y.data<To>(), Cast<From, To>{x.data<From>()}); });
  });
}

void CudaBackend::unary(const UnaryOp& op, In x, Out y) {
  visit_real(x.dtype(), [&]<class T>(T) {
    visit(op, [&]<class Fn>(Fn fn) { map(x.size(), y.data<T>(), Forward<T, Fn>{x.data<T>(), fn}); });
  });
}

void CudaBackend::unary_backward(const UnaryOp& op, In x, In y, In dy, Out dx) {
  visit_real(dy.dtype(), [&]<class T>(T) {
    visit(op, [&]<class Fn>(Fn fn) {
      const T* dout = dy.data<T>();
      // What the slope does not read may be absent: point it at dy, which is there.
      const T *in = fn.needs_x ? x.data<T>() : dout, *out = fn.needs_y ? y.data<T>() : dout;
      map(dy.size(), dx.data<T>(), Backward<T, Fn>{in, out, dout, fn});
    });
  });
}

void CudaBackend::binary(Binary op, In a, In b, Out y) {
  visit_real(y.dtype(), [&]<class T>(T) {
    visit(op, [&]<class Fn>(Fn) { pairwise<T, Fn>(a, b, y, y.data<T>()); });
  });
}

void CudaBackend::compare(Compare op, In a, In b, Out y) {
  visit(a.dtype(), [&]<class T>(T) {
    visit(op, [&]<class Fn>(Fn) { pairwise<T, Fn>(a, b, y, y.data<int32_t>()); });
  });
}

void CudaBackend::where(In mask, In a, In b, Out y) {
  visit(y.dtype(), [&]<class T>(T) {
    const auto run = [&]<class At>(const At& at_mask, const At& at_a, const At& at_b) {
      map(y.size(), y.data<T>(),
          Choice<T, At>{mask.data<int32_t>(), a.data<T>(), b.data<T>(), at_mask, at_a, at_b});
    };
    with_axes(run, Strided::broadcast(mask.shape(), y.shape()), Strided::broadcast(a.shape(), y.shape()),
              Strided::broadcast(b.shape(), y.shape()));
  });
}

namespace {

// One thread for each counter, which decides for eight elements, 16 apart.
template <class T>
__global__ void dropout_kernel(const T* x, const T* residual, DropoutBits bits, T scale, T* y, int64_t n) {
  constexpr int kHalves = kDropoutGroup / kDropoutLanes;
  const int64_t group = thread_index() / kDropoutLanes, lane = thread_index() % kDropoutLanes;
  const int64_t first = group * kDropoutGroup + lane;
  T value[kHalves], base[kHalves] = {};  // all reads are under way before the first is used
  for (int half = 0; half < kHalves; ++half)
    if (const int64_t i = first + half * kDropoutLanes; i < n) value[half] = x[i];
  for (int half = 0; half < kHalves && residual; ++half)
    if (const int64_t i = first + half * kDropoutLanes; i < n) base[half] = residual[i];
  const PhiloxBlock random = bits.block(group, lane);
  for (int half = 0; half < kHalves; ++half)
    if (const int64_t i = first + half * kDropoutLanes; i < n)
      y[i] = base[half] + (bits.keeps(random, half) ? scale * value[half] : T(0));
}

template <class T> __global__ void first_nonfinite_kernel(const T* x, int64_t n, double* index) {
  const int64_t first = first_bad(n, [x](int64_t i) { return !std::isfinite(x[i]); });
  if (threadIdx.x == 0) *index = first < n ? static_cast<double>(first) : -1;
}

}  // namespace

void CudaBackend::dropout(In x, In residual, double p, const Draw& draw, Out y) {
  visit_real(x.dtype(), [&]<class T>(T) {
    const int64_t counters = blocks_for(x.size(), kDropoutGroup) * kDropoutLanes;
    launch(dropout_kernel<T>, {blocks_for(counters)}, x, residual, DropoutBits(draw, p),
           dropout_scale(dropout_threshold(p)), y, x.size());
  });
}

int64_t CudaBackend::first_nonfinite(In x) {
  const Tensor index({1}, DType::f64, Device::cuda);
  visit_real(x.dtype(), [&]<class T>(T) {
    launch(first_nonfinite_kernel<T>, {1, 1024}, x, x.size(), index);
  });
  return static_cast<int64_t>(index.item());
}

}  // namespace gradus
