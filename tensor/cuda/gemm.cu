#include "tensor/cuda/gemm.cuh"
#include "tensor/cuda/launch.cuh"

namespace gradus {
namespace {

using namespace cuda;

struct Identity {
  template <class T> __device__ static T f(T x) { return x; }
};

constexpr int64_t kRows = 8;  // that a thread of bias_activation reads before it computes the first

// y [rows, columns] = f(y + bias), and before f into pre; bias and pre may be null. A thread keeps to
// its column.
template <class T, class Fn>
__global__ void bias_activation(int64_t rows, int64_t columns, const T* bias, T* y, T* pre, Fn fn) {
  const int64_t j = thread_index();
  if (j >= columns) return;
  const T offset = bias ? bias[j] : 0;
  for (int64_t first = kRows * blockIdx.y; first < rows; first += kRows * gridDim.y) {
    T *out = y + first * columns + j, *kept = pre + first * columns + j, x[kRows];
    const int count = rows - first < kRows ? rows - first : kRows;
    for (int k = 0; k < kRows; ++k) x[k] = k < count ? out[k * columns] + offset : T(0);
    for (int k = 0; k < kRows; ++k)
      if (k < count) {
        if (pre) kept[k * columns] = x[k];
        out[k * columns] = fn.f(x[k]);
      }
  }
}

}  // namespace

void CudaBackend::gemm(const GemmShape& s, In a, In b, double beta, Out c) {
  if (s.k == 0 && beta == 0) return fill(0, c);
  visit_real(c.dtype(), [&]<class T>(T) {
    product(s, 1, a.data<T>(), s.transpose_a ? s.m : s.k, b.data<T>(), s.transpose_b ? s.k : s.n, beta,
            c.data<T>(), s.n);
  });
}

void CudaBackend::linear(In x, In w, In b, std::optional<UnaryOp> activation, Out y, Out pre) {
  const int64_t rows = x.shape().before(-1), columns = w.shape()[0];
  gemm({rows, columns, w.shape()[1], false, true}, x, w, 0, y);
  if (!b && !pre && !activation) return;
  visit_real(y.dtype(), [&]<class T>(T) {
    const dim3 grid(blocks_for(columns), std::min<int64_t>((rows + kRows - 1) / kRows, 65535));
    const auto run = [&]<class Fn>(Fn fn) {
      launch(bias_activation<T, Fn>, {grid}, rows, columns, b, y, pre, fn);
    };
    activation ? visit(*activation, run) : run(Identity{});
  });
}

}  // namespace gradus
