#include "tensor/cuda/rows.cuh"

namespace gradus {
namespace {

using namespace cuda;

__global__ void increment_kernel(int32_t* step) { ++*step; }

// Kingma & Ba 2015, algorithm 1; decoupled: Loshchilov & Hutter 2019 (AdamW).
template <class T>
__global__ void adam_kernel(AdamSpec spec, const double* lr, const int32_t* step, const T* __restrict__ g,
                            T* __restrict__ w, T* __restrict__ m, T* __restrict__ v, int64_t n) {
  __shared__ T corrections[2];  // two powers in double cost much more than an element: once a block
  if (threadIdx.x == 0) {
    corrections[0] = static_cast<T>(*lr / (1 - pow(spec.beta1, double(*step))));
    corrections[1] = static_cast<T>(1 / sqrt(1 - pow(spec.beta2, double(*step))));
  }
  __syncthreads();
  const T step_size = corrections[0], root_correction = corrections[1], eps = static_cast<T>(spec.eps);
  const T beta1 = static_cast<T>(spec.beta1), rest1 = static_cast<T>(1 - spec.beta1);
  const T beta2 = static_cast<T>(spec.beta2), rest2 = static_cast<T>(1 - spec.beta2);
  const T l2 = static_cast<T>(spec.decoupled ? 0 : spec.weight_decay);
  const T shrink = static_cast<T>(spec.decoupled ? 1 - *lr * spec.weight_decay : 1);
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const bool decays = i < spec.decayed;
    const T wi = w[i], gi = decays ? g[i] + l2 * wi : g[i];
    const T mi = beta1 * m[i] + rest1 * gi, vi = beta2 * v[i] + rest2 * gi * gi;
    m[i] = mi, v[i] = vi;
    w[i] = (decays ? shrink * wi : wi) - step_size * mi / (std::sqrt(vi) * root_correction + eps);
  }
}

// velocity = momentum velocity + g; w -= lr velocity, or with Nesterov w -= lr (g + momentum velocity).
template <class T>
__global__ void sgd_kernel(SgdSpec spec, const double* lr, const T* __restrict__ g, T* __restrict__ w,
                           T* __restrict__ u, int64_t n) {
  const T rate = static_cast<T>(*lr), momentum = static_cast<T>(spec.momentum);
  const T decay = static_cast<T>(spec.weight_decay);
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const T wi = w[i], gi = i < spec.decayed ? g[i] + decay * wi : g[i], ui = momentum * u[i] + gi;
    u[i] = ui;
    w[i] = wi - rate * (spec.nesterov ? gi + momentum * ui : ui);
  }
}

// sums[block] of the squares of kSquaresRun elements, in double.
constexpr int64_t kSquaresRun = 8192;
template <class T> __global__ void sum_squares_kernel(const T* x, int64_t n, double* sums) {
  const int64_t begin = int64_t{blockIdx.x} * kSquaresRun;
  const double total = sum<double>(min(kSquaresRun, n - begin), [=](int64_t i) {
    const double xi = x[begin + i];
    return xi * xi;
  });
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

__global__ void add_up_kernel(const double* sums, int64_t n, double* total) {  // one block
  const double all = sum<double>(n, [=](int64_t i) { return sums[i]; });
  if (threadIdx.x == 0) *total = all;
}

template <class T> __global__ void clip_kernel(const double* sum_squares, double max_norm, T* x, int64_t n) {
  const double scale = max_norm / (sqrt(*sum_squares) + 1e-6);  // 1e-6 as PyTorch
  if (scale >= 1) return;
  for (int64_t i = thread_index(); i < n; i += thread_count()) x[i] *= static_cast<T>(scale);
}

}  // namespace

void CudaBackend::increment(Out step) { launch(increment_kernel, {1, 1}, step); }

void CudaBackend::adam(const AdamSpec& spec, In lr, In step, In g, Out w, Out m, Out v) {
  visit_real(w.dtype(), [&]<class T>(T) {
    launch(adam_kernel<T>, {striding_blocks(w.size())}, spec, lr, step, g, w, m, v, w.size());
  });
}

void CudaBackend::sgd(const SgdSpec& spec, In lr, In g, Out w, Out velocity) {
  visit_real(w.dtype(), [&]<class T>(T) {
    launch(sgd_kernel<T>, {striding_blocks(w.size())}, spec, lr, g, w, velocity, w.size());
  });
}

void CudaBackend::sum_squares(In x, Out sum) {
  const unsigned blocks = blocks_for(x.size(), kSquaresRun);
  const Tensor partial({blocks}, DType::f64, Device::cuda);
  visit_real(x.dtype(), [&]<class T>(T) { launch(sum_squares_kernel<T>, {blocks}, x, x.size(), partial); });
  launch(add_up_kernel, {1}, partial, blocks, sum);
}

void CudaBackend::clip(In sum_squares, double max_norm, Out x) {
  visit_real(x.dtype(), [&]<class T>(T) {
    launch(clip_kernel<T>, {striding_blocks(x.size())}, sum_squares, max_norm, x, x.size());
  });
}

}  // namespace gradus
