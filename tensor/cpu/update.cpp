#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"

namespace gradus {

void CpuBackend::increment(Out step) { ++*step.data<int32_t>(); }

// Kingma & Ba 2015, algorithm 1; decoupled: Loshchilov & Hutter 2019 (AdamW).
void CpuBackend::adam(const AdamSpec& spec, In lr, In step, In gradient, Out weight, Out m, Out v) {
  const double rate = *lr.data<double>(), t = *step.data<int32_t>();
  const double first_correction = 1 - std::pow(spec.beta1, t),
               second_correction = 1 - std::pow(spec.beta2, t);
  visit_real(weight.dtype(), [&]<class T>(T) {
    T *g = gradient.data<T>(), *w = weight.data<T>(), *mean = m.data<T>(), *square = v.data<T>();
    const T beta1 = spec.beta1, beta2 = spec.beta2, rest1 = 1 - spec.beta1, rest2 = 1 - spec.beta2;
    const T step_size = rate / first_correction, eps = spec.eps;
    const T root_correction = 1 / std::sqrt(second_correction);
    const T l2 = spec.decoupled ? 0 : spec.weight_decay,
            shrink = spec.decoupled ? 1 - rate * spec.weight_decay : 1;
    cpu::elementwise(weight.size(), [=, decayed = spec.decayed](int64_t i) {
      const T gi = g[i] + (i < decayed ? l2 * w[i] : 0);
      mean[i] = beta1 * mean[i] + rest1 * gi;
      square[i] = beta2 * square[i] + rest2 * gi * gi;
      w[i] = (i < decayed ? shrink : 1) * w[i] -
             step_size * mean[i] / (std::sqrt(square[i]) * root_correction + eps);
    });
  });
}

// velocity = momentum velocity + g; w -= lr velocity, or with Nesterov w -= lr (g + momentum velocity).
void CpuBackend::sgd(const SgdSpec& spec, In lr, In gradient, Out weight, Out velocity) {
  visit_real(weight.dtype(), [&]<class T>(T) {
    T *g = gradient.data<T>(), *w = weight.data<T>(), *u = velocity.data<T>();
    const T rate = *lr.data<double>(), momentum = spec.momentum, decay = spec.weight_decay;
    cpu::elementwise(weight.size(), [=, decayed = spec.decayed, nesterov = spec.nesterov](int64_t i) {
      const T gi = g[i] + (i < decayed ? decay * w[i] : T(0));
      u[i] = momentum * u[i] + gi;
      w[i] -= rate * (nesterov ? gi + momentum * u[i] : u[i]);
    });
  });
}

void CpuBackend::sum_squares(In x, Out sum) {
  constexpr int64_t kBlock = 1 << 16;
  const Tensor partial({cpu::blocks_of(x.size(), kBlock)}, DType::f64);
  double* sums = partial.data<double>();
  visit_real(x.dtype(), [&]<class T>(T) {
    cpu::parallel_blocks(x.size(), kBlock, 1, [&](int64_t block, int64_t begin, int64_t end) {
      sums[block] = cpu::sum<T>(end - begin, [in = x.data<T>() + begin](int64_t i) { return in[i] * in[i]; });
    });
  });
  *sum.data<double>() = cpu::sum<double>(partial.size(), [=](int64_t i) { return sums[i]; });
}

void CpuBackend::clip(In sum_squares, double max_norm, Out x) {
  const double scale = max_norm / (std::sqrt(*sum_squares.data<double>()) + 1e-6);  // 1e-6 as PyTorch
  if (scale >= 1) return;
  visit_real(x.dtype(), [&]<class T>(T) {
    cpu::elementwise(x.size(), [out = x.data<T>(), factor = T(scale)](int64_t i) { out[i] *= factor; });
  });
}

}  // namespace gradus
