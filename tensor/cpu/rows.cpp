#include <cmath>
#include <limits>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"

namespace gradus {

void CpuBackend::softmax(In x, bool log, Out y) {
  const int64_t d = x.shape()[-1];  // x [N, D]
  visit_real(x.dtype(), [&]<class T>(T) {
    cpu::parallel_rows(x.shape().before(-1), d, [&](int64_t r) {
      const T *in = x.data<T>() + r * d, max = cpu::max(d, in);
      T* out = y.data<T>() + r * d;
      if (!log) {
        const T scale = 1 / cpu::sum<T>(d, [=](int64_t j) { return out[j] = math::exp(in[j] - max); });
        return cpu::lanes(0, d, [=](int64_t j) { out[j] *= scale; });
      }
      // The sum leaves out one largest element, whose exp is 1: see cross_entropy.cpp.
      const int64_t largest = cpu::find(d, in, max);
      const auto term = [=](int64_t j) { return math::exp(in[j] - max); };
      const T log_sum = std::log1p(cpu::sum_without<T>(d, largest, -1, term));
      cpu::lanes(0, d, [=](int64_t j) { out[j] = in[j] - max - log_sum; });
    });
  });
}

// softmax: dx = y (dy - sum y dy). log_softmax: dx = dy - exp(y) sum dy.
void CpuBackend::softmax_backward(In y, In dy, bool log, Out dx) {
  const int64_t d = y.shape()[-1];
  visit_real(y.dtype(), [&]<class T>(T) {
    cpu::parallel_rows(y.shape().before(-1), d, [&](int64_t r) {
      const T *out = y.data<T>() + r * d, *dout = dy.data<T>() + r * d;
      T* din = dx.data<T>() + r * d;
      const T sum = cpu::sum<T>(d, [=](int64_t j) { return log ? dout[j] : out[j] * dout[j]; });
      cpu::lanes(0, d, [=](int64_t j) {
        din[j] = log ? math::minus_share(dout[j], sum, out[j]) : out[j] * (dout[j] - sum);
      });
    });
  });
}

// The mean is mu + c: mu, one sum rounded to T, shifts the row near 0, where the second pass finds what it
// lacks and corrects the variance for it.
void CpuBackend::layer_norm(In x, In gain, In bias, double eps, Out y, Out statistics) {
  const int64_t d = x.shape()[-1];
  visit_real(x.dtype(), [&]<class T>(T) {
    const T *g = gain.data<T>(), *b = bias.data<T>();
    cpu::parallel_rows(x.shape().before(-1), d, [&](int64_t r) {
      const T* in = x.data<T>() + r * d;
      T *out = y.data<T>() + r * d, *kept = statistics.data<T>() + 3 * r;
      const T mu = cpu::sum<T>(d, [=](int64_t j) { return in[j]; }) / d;
      const double c = cpu::sum<T>(d, [=](int64_t j) { return in[j] - mu; }) / d;
      const auto squared = [=](auto offset) { return offset * offset; };
      double square = cpu::sum<T>(d, [=](int64_t j) { return squared(in[j] - mu); }) / d;
      const bool fits = square >= std::numeric_limits<T>::min() && std::isfinite(square);
      if (!fits)  // the squares of 1e20 and of 1e-25 have no place in a float
        square = cpu::sum<double>(d, [=](int64_t j) { return squared(double{in[j]} - mu); }) / d;
      const T shift = c, rstd = 1 / std::sqrt(std::max(square - c * c, 0.) + eps);
      cpu::lanes(0, d, [=](int64_t j) { out[j] = ((in[j] - mu) - shift) * rstd * g[j] + b[j]; });
      kept[0] = mu;
      kept[1] = shift;
      kept[2] = rstd;
    });
  });
}

// With h = (x - mean) rstd and u = gain dy:  dx = rstd (u - mean(u) - h mean(u h)), dgain = sum dy h, dbias =
// sum dy.
void CpuBackend::layer_norm_backward(In dy, In x, In gain, In statistics, bool add, Out dx, Out dgain,
                                     Out dbias) {
  constexpr int64_t kRows = 64;  // per partial sum of dgain and dbias
  const int64_t d = x.shape()[-1], n = x.shape().before(-1);
  const Tensor partial = Tensor::zeros({cpu::blocks_of(n, kRows), 2, d}, x.dtype());
  visit_real(x.dtype(), [&]<class T>(T) {
    const T* g = dx ? gain.data<T>() : nullptr;
    cpu::parallel_blocks(n, kRows, d, [&](int64_t block, int64_t begin, int64_t end) {
      T *dg = partial.data<T>() + block * 2 * d, *db = dg + d;
      for (int64_t r = begin; r < end; ++r) {
        const T *in = x.data<T>() + r * d, *dout = dy.data<T>() + r * d;
        const T *kept = statistics.data<T>() + 3 * r, mu = kept[0], shift = kept[1], rstd = kept[2];
        const auto h = [=](int64_t j) { return ((in[j] - mu) - shift) * rstd; };
        cpu::lanes(0, d, [=](int64_t j) {
          dg[j] += dout[j] * h(j);
          db[j] += dout[j];
        });
        if (!dx) continue;
        T* din = dx.data<T>() + r * d;
        const T mean_u = cpu::sum<T>(d, [=](int64_t j) { return g[j] * dout[j]; }) / d;
        const T mean_uh = cpu::sum<T>(d, [=](int64_t j) { return g[j] * dout[j] * h(j); }) / d;
        const auto dx_j = [=](int64_t j) { return rstd * (g[j] * dout[j] - mean_u - h(j) * mean_uh); };
        if (add) cpu::lanes(0, d, [=](int64_t j) { din[j] += dx_j(j); });
        else cpu::lanes(0, d, [=](int64_t j) { din[j] = dx_j(j); });
      }
    });
    const auto add_blocks = [&](int64_t which, T* out) {
      const T* in = partial.data<T>() + which * d;
      cpu::lanes(0, d, [=, blocks = partial.shape()[0]](int64_t j) {
        double total = 0;
        for (int64_t block = 0; block < blocks; ++block) total += in[block * 2 * d + j];
        out[j] += static_cast<T>(total);
      });
    };
    if (dgain) add_blocks(0, dgain.data<T>());
    if (dbias) add_blocks(1, dbias.data<T>());
  });
}

}  // namespace gradus
