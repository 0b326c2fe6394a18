// Smoothing towards a prior, the one target distribution that takes more than three numbers: what the loss of
// a row, and its gradient, are then (losses/variants.h).
#pragma once

#include "tensor/backend.h"
#include "tensor/cpu/parallel.h"

namespace gradus::cpu {

// With a prior q is instead (1 - eps) weight on the target plus eps prior_j on every class, the target
// included.
template <class T> struct PriorMix {
  PriorMix(const CrossEntropySpec& spec, int64_t vocab) : eps(*spec.smoothing.data<double>()) {
    if (!spec.prior) return;
    prior = spec.prior.data<T>();
    prior_sum = sum<T>(vocab, [p = prior](int64_t j) { return p[j]; });
    if (spec.weighted_prior) weight = spec.class_weight.data<T>();
  }
  explicit operator bool() const { return prior != nullptr; }
  double hard(int64_t y) const { return (1 - eps) * (weight ? static_cast<double>(weight[y]) : 1.); }

  double loss(const T* z, T max, double log_sum, int64_t vocab, int64_t y) const {
    const double loss = hard(y) != 0 ? hard(y) * (log_sum - (z[y] - max)) : 0;
    if (eps == 0) return loss;
    const auto term = [=, p = prior](int64_t j) { return p[j] != 0 ? p[j] * (z[j] - max) : 0; };
    return loss - eps * (sum<T>(vocab, term) - prior_sum * log_sum);
  }

  double eps, prior_sum = 0;
  const T *prior = nullptr, *weight = nullptr;
};

}  // namespace gradus::cpu
