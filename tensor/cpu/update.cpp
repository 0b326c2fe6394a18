#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/sums.h"

namespace gradus {
using cpu::blocks_of;
using cpu::parallel_blocks;
using cpu::parallel_for;

// Kingma & Ba 2015, algorithm 1; decoupled: Loshchilov & Hutter 2019 (AdamW).
void CpuBackend::adam(const AdamSpec& spec, const Tensor& lr, const Tensor& step, const Tensor& gradient, Out weight,
                      Out m, Out v) {
  const double rate = *lr.data<double>(), t = *step.data<int32_t>();
  const double first_correction = 1 - std::pow(spec.beta1, t), second_correction = 1 - std::pow(spec.beta2, t);
  visit_real(weight.dtype(), [&](auto type) {
    using T = decltype(type);
    const T *g = gradient.data<T>();
    T *w = weight.data<T>(), *mean = m.data<T>(), *square = v.data<T>();
    const T beta1 = static_cast<T>(spec.beta1), beta2 = static_cast<T>(spec.beta2), eps = static_cast<T>(spec.eps);
    const T step_size = static_cast<T>(rate / first_correction);
    const T root_correction = static_cast<T>(1 / std::sqrt(second_correction));
    parallel_for(weight.size(), 4, [&](int64_t begin, int64_t end) {
      const auto update = [&](int64_t from, int64_t to, double decay) {
        const T shrink = static_cast<T>(spec.decoupled ? 1 - rate * decay : 1);
        const T l2 = static_cast<T>(spec.decoupled ? 0 : decay);
#pragma omp simd
        for (int64_t i = from; i < to; ++i) {
          const T gi = g[i] + l2 * w[i];
          mean[i] = beta1 * mean[i] + (1 - beta1) * gi;
          square[i] = beta2 * square[i] + (1 - beta2) * gi * gi;
          w[i] = shrink * w[i] - step_size * mean[i] / (std::sqrt(square[i]) * root_correction + eps);
        }
      };
      const int64_t middle = std::clamp(spec.decayed, begin, end);
      update(begin, middle, spec.weight_decay);
      update(middle, end, 0);
    });
  });
}

// velocity = momentum velocity + g; w -= lr velocity, or with Nesterov w -= lr (g + momentum velocity).
void CpuBackend::sgd(const SgdSpec& spec, const Tensor& lr, const Tensor& gradient, Out weight, Out velocity) {
  visit_real(weight.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* g = gradient.data<T>();
    T *w = weight.data<T>(), *u = velocity.data<T>();
    const T rate = static_cast<T>(*lr.data<double>()), momentum = static_cast<T>(spec.momentum);
    parallel_for(weight.size(), 3, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T gi = g[i] + (i < spec.decayed ? static_cast<T>(spec.weight_decay) * w[i] : T(0));
        u[i] = momentum * u[i] + gi;
        w[i] -= rate * (spec.nesterov ? gi + momentum * u[i] : u[i]);
      }
    });
  });
}

void CpuBackend::sum_squares(const Tensor& x, Out sum) {
  constexpr int64_t kBlock = 1 << 16;
  const Tensor partial({blocks_of(x.size(), kBlock)}, DType::f64);
  visit_real(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* in = x.data<T>();
    parallel_blocks(x.size(), kBlock, 1, [&](int64_t block, int64_t begin, int64_t end) {
      partial.data<double>()[block] = cpu::sum<T>(end - begin, [=](int64_t i) { return in[begin + i] * in[begin + i]; });
    });
  });
  double total = 0;
  for (int64_t i = 0; i < partial.size(); ++i) total += partial.data<double>()[i];
  *sum.data<double>() = total;
}

void CpuBackend::clip(const Tensor& sum_squares, double max_norm, Out x) {
  const double scale = max_norm / (std::sqrt(*sum_squares.data<double>()) + 1e-6);  // as PyTorch: never divides by 0
  if (scale >= 1) return;
  visit_real(x.dtype(), [&](auto t) {
    using T = decltype(t);
    T* out = x.data<T>();
    parallel_for(x.size(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[i] *= static_cast<T>(scale);
    });
  });
}

}  // namespace gradus
