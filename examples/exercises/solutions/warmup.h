// Solution of exercise 5. The line and the curve of noam meet at step = warmup, at the height 1 /
// sqrt(d_model warmup).
#pragma once

#include <algorithm>
#include <cmath>

namespace gradus::exercises {

inline double noam(double step, double d_model, double warmup) {
  return std::min(1 / std::sqrt(step), step / std::pow(warmup, 1.5)) / std::sqrt(d_model);
}

inline double trapezoid(double step, double peak, double warmup, double decay_from, double total) {
  return peak * std::clamp(std::min(step / warmup, (total - step) / (total - decay_from)), 0., 1.);
}

}  // namespace gradus::exercises
