#include <cmath>
#include <limits>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/sums.h"

namespace gradus {
using cpu::parallel_blocks;
using cpu::parallel_for;

void CpuBackend::softmax(const Tensor& x, bool log, Out y) {
  const int64_t d = x.shape()[-1];  // x [N, D]
  visit_real(x.dtype(), [&](auto t) {
    using T = decltype(t);
    parallel_for(x.shape().rows(), d, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* in = x.data<T>() + r * d;
        T* out = y.data<T>() + r * d;
        const T max = cpu::max(d, in);
        const T sum = static_cast<T>(cpu::sum<T>(d, [=](int64_t j) { return out[j] = math::exp(in[j] - max); }));
        const T log_sum = std::log(sum), scale = 1 / sum;
#pragma omp simd
        for (int64_t j = 0; j < d; ++j) out[j] = log ? in[j] - max - log_sum : out[j] * scale;
      }
    });
  });
}

// softmax: dx = y (dy - sum y dy). log_softmax: dx = dy - exp(y) sum dy.
void CpuBackend::softmax_backward(const Tensor& y, const Tensor& dy, bool log, Out dx) {
  const int64_t d = y.shape()[-1];
  visit_real(y.dtype(), [&](auto t) {
    using T = decltype(t);
    parallel_for(y.shape().rows(), d, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T *out = y.data<T>() + r * d, *dout = dy.data<T>() + r * d;
        T* din = dx.data<T>() + r * d;
        const T sum = static_cast<T>(cpu::sum<T>(d, [=](int64_t j) { return log ? dout[j] : out[j] * dout[j]; }));
#pragma omp simd
        for (int64_t j = 0; j < d; ++j) din[j] = log ? dout[j] - math::exp(out[j]) * sum : out[j] * (dout[j] - sum);
      }
    });
  });
}

void CpuBackend::layer_norm(const Tensor& x, const Tensor& gain, const Tensor& bias, double eps, Out y, Out mean,
                            Out rstd) {
  const int64_t d = x.shape()[-1];
  visit_real(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T *g = gain.data<T>(), *b = bias.data<T>();
    parallel_for(x.shape().rows(), d, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* in = x.data<T>() + r * d;
        T* out = y.data<T>() + r * d;
        const double n = static_cast<double>(d);
        const T mu = static_cast<T>(cpu::sum<T>(d, [=](int64_t j) { return in[j]; }) / n);
        const double variance = cpu::sum<T>(d, [=](int64_t j) { return (in[j] - mu) * (in[j] - mu); }) / n;
        const T scale = static_cast<T>(1 / std::sqrt(variance + eps));
#pragma omp simd
        for (int64_t j = 0; j < d; ++j) out[j] = (in[j] - mu) * scale * g[j] + b[j];
        mean.data<T>()[r] = mu;
        rstd.data<T>()[r] = scale;
      }
    });
  });
}

// With h = (x - mean) rstd and u = gain dy:  dx = rstd (u - mean(u) - h mean(u h)), dgain = sum dy h, dbias = sum dy.
void CpuBackend::layer_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gain, const Tensor& mean,
                                     const Tensor& rstd, Out dx, Out dgain, Out dbias) {
  constexpr int64_t kRows = 64;  // per partial sum of dgain and dbias
  const int64_t d = x.shape()[-1], n = x.shape().rows();
  visit_real(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* g = gain.data<T>();
    const Tensor partial = Tensor::zeros({cpu::blocks_of(n, kRows), 2, d}, x.dtype());
    parallel_blocks(n, kRows, d, [&](int64_t block, int64_t begin, int64_t end) {
      T *dg = partial.data<T>() + block * 2 * d, *db = dg + d;
      for (int64_t r = begin; r < end; ++r) {
        const T *in = x.data<T>() + r * d, *dout = dy.data<T>() + r * d;
        const T mu = mean.data<T>()[r], scale = rstd.data<T>()[r];
        T sum_u = 0, sum_uh = 0;
#pragma omp simd reduction(+ : sum_u, sum_uh)
        for (int64_t j = 0; j < d; ++j) {
          const T h = (in[j] - mu) * scale, u = g[j] * dout[j];
          sum_u += u;
          sum_uh += u * h;
          dg[j] += dout[j] * h;
          db[j] += dout[j];
        }
        if (!dx) continue;
        T* din = dx.data<T>() + r * d;
        const T mean_u = sum_u / static_cast<T>(d), mean_uh = sum_uh / static_cast<T>(d);
#pragma omp simd
        for (int64_t j = 0; j < d; ++j) {
          const T h = (in[j] - mu) * scale;
          din[j] = scale * (g[j] * dout[j] - mean_u - h * mean_uh);
        }
      }
    });
    for (int64_t block = 0; block < partial.shape()[0]; ++block) {
      const T *dg = partial.data<T>() + block * 2 * d, *db = dg + d;
      for (int64_t j = 0; dgain && j < d; ++j) dgain.data<T>()[j] += dg[j];
      for (int64_t j = 0; dbias && j < d; ++j) dbias.data<T>()[j] += db[j];
    }
  });
}

}  // namespace gradus
