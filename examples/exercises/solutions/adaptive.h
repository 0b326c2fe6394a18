// Solution of exercise 3.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gradus::exercises {

inline double linear_smoothing(double step, double total, double last) {
  return last * std::min(step / total, 1.);
}

inline double cosine_smoothing(double step, double total, double last) {
  return last * (1 - std::cos(std::numbers::pi * std::min(step / total, 1.))) / 2;
}

class ConfidenceTriggered {
 public:
  ConfidenceTriggered(double last, double threshold) : last_(last), threshold_(threshold) {}

  double update(double batch_confidence) {
    running_ = 0.9 * running_ + 0.1 * batch_confidence;
    return last_ * std::max(0., (running_ - threshold_) / (1 - threshold_));
  }

 private:
  double last_, threshold_, running_ = 0;
};

}  // namespace gradus::exercises
