// Solution of exercise 4. The slope of the nll with respect to 1 / T comes from autograd.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "examples/exercises/bin.h"
#include "losses/cross_entropy.h"

namespace gradus::exercises {

// confidence [N] in [0, 1], correct [N]: 1 where the prediction was right, else 0
inline std::vector<Bin> reliability(std::span<const double> confidence, std::span<const int> correct,
                                    int bins) {
  std::vector<Bin> result(bins);
  for (size_t i = 0; i < confidence.size(); ++i) {
    Bin& bin = result[std::min(static_cast<int>(confidence[i] * bins), bins - 1)];
    ++bin.count;
    bin.confidence += confidence[i];
    bin.accuracy += correct[i];
  }
  for (Bin& bin : result)
    if (bin.count > 0) bin.confidence /= bin.count, bin.accuracy /= bin.count;
  return result;
}

inline double expected_calibration_error(std::span<const Bin> bins) {
  double gaps = 0, all = 0;
  for (const Bin& bin : bins) {
    gaps += bin.count * std::fabs(bin.accuracy - bin.confidence);
    all += bin.count;
  }
  return all > 0 ? gaps / all : 0;
}

// logits f64 [N, V], target i32 [N] -> T
inline double fit_temperature(const Tensor& logits, const Tensor& target) {
  double low = 0.01, high = 100;  // of 1 / T
  while (high / low > 1 + 1e-12) {
    const double middle = std::sqrt(low * high);
    const Variable inverse(Tensor::full({}, middle, DType::f64), /*requires_grad=*/true);
    losses::CrossEntropy()(Variable(logits) * inverse, target).backward();
    (inverse.grad().item() > 0 ? high : low) = middle;
  }
  return 1 / low;
}

}  // namespace gradus::exercises
