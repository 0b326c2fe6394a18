#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"

namespace gradus {
namespace {

template <class Parameters> std::vector<int64_t> sizes_of(const Parameters& parameters) {
  std::vector<int64_t> sizes;
  for (const auto& p : parameters) sizes.push_back(p.weight.size());
  return sizes;
}

std::vector<int64_t> sizes_of(std::span<const Out> tensors) {
  std::vector<int64_t> sizes;
  for (const Tensor& x : tensors) sizes.push_back(x.size());
  return sizes;
}

}  // namespace

// Kingma & Ba 2015, algorithm 1; decoupled: Loshchilov & Hutter 2019 (AdamW).
void CpuBackend::adam(const AdamSpec& spec, std::span<const AdamParameter> parameters) {
  if (parameters.empty()) return;
  visit_real(parameters[0].weight.dtype(), [&]<class T>(T) {
    const T beta1 = spec.beta1, beta2 = spec.beta2, rest1 = 1 - spec.beta1, rest2 = 1 - spec.beta2;
    const T eps = spec.eps;
    cpu::parallel_pieces(sizes_of(parameters), [&](int64_t which, int64_t begin, int64_t end) {
      const AdamParameter& p = parameters[which];
      const T* g = p.gradient.data<T>();
      T *w = p.weight.data<T>(), *m = p.m.data<T>(), *v = p.v.data<T>();
      const T step_size = p.lr / (1 - std::pow(spec.beta1, p.step));
      const T root_correction = 1 / std::sqrt(1 - std::pow(spec.beta2, p.step));
      const T l2 = spec.decoupled ? 0 : p.weight_decay,
              shrink = spec.decoupled ? 1 - p.lr * p.weight_decay : 1;
      cpu::lanes(begin, end, [=](int64_t i) {
        const T gi = g[i] + l2 * w[i];
        m[i] = beta1 * m[i] + rest1 * gi;
        v[i] = beta2 * v[i] + rest2 * gi * gi;
        w[i] = shrink * w[i] - step_size * m[i] / (std::sqrt(v[i]) * root_correction + eps);
      });
    });
  });
}

// velocity = momentum velocity + g; w -= lr velocity, or with Nesterov w -= lr (g + momentum velocity).
void CpuBackend::sgd(const SgdSpec& spec, std::span<const SgdParameter> parameters) {
  if (parameters.empty()) return;
  visit_real(parameters[0].weight.dtype(), [&]<class T>(T) {
    const T momentum = spec.momentum;
    cpu::parallel_pieces(sizes_of(parameters), [&](int64_t which, int64_t begin, int64_t end) {
      const SgdParameter& p = parameters[which];
      const T *g = p.gradient.data<T>(), lr = p.lr, decay = p.weight_decay;
      T *w = p.weight.data<T>(), *u = p.velocity.data<T>();
      cpu::lanes(begin, end, [=, nesterov = spec.nesterov](int64_t i) {
        const T gi = g[i] + decay * w[i];
        u[i] = momentum * u[i] + gi;
        w[i] -= lr * (nesterov ? gi + momentum * u[i] : u[i]);
      });
    });
  });
}

void CpuBackend::clear(std::span<const Out> x) {
  for (const Out& each : x) fill(0, each);
}

void CpuBackend::scale(double factor, std::span<const Out> x) {
  if (x.empty()) return;
  visit_real(x[0].dtype(), [&]<class T>(T) {
    cpu::parallel_pieces(sizes_of(x), [&](int64_t which, int64_t begin, int64_t end) {
      cpu::lanes(begin, end, [=, out = x[which].data<T>()](int64_t i) { out[i] = T(out[i] * factor); });
    });
  });
}

// Squares in double: those of 1e-24 and of 1e20 have no place in a float.
void CpuBackend::sum_squares(std::span<const Tensor> x, Out sum) {
  double total = 0;
  for (const Tensor& each : x)
    visit_real(each.dtype(), [&]<class T>(T) {
      constexpr int64_t kBlock = 1 << 14;
      const Tensor partial({cpu::blocks_of(each.size(), kBlock)}, DType::f64);
      double* sums = partial.data<double>();
      cpu::parallel_blocks(each.size(), kBlock, 1, [&](int64_t block, int64_t begin, int64_t end) {
        sums[block] = cpu::sum<double>(end - begin, [in = each.data<T>() + begin](int64_t i) {
          const double value = in[i];
          return value * value;
        });
      });
      total += cpu::sum<double>(partial.size(), [=](int64_t i) { return sums[i]; });
    });
  *sum.data<double>() = total;
}

void CpuBackend::clip(In sum_squares, double max_norm, std::span<const Out> x) {
  const double factor = max_norm / (std::sqrt(*sum_squares.data<double>()) + 1e-6);  // 1e-6 as PyTorch
  if (factor < 1) scale(factor, x);
}

}  // namespace gradus
