// Smoothing that changes while a model trains: eps as a function of the step, counted from 1, or of how sure
// the model has become. They decide a number and nothing else: criterion.set_smoothing(...) before each step.
// With a largest eps of 0 training is that of plain cross-entropy.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "losses/cross_entropy.h"

namespace gradus::losses {

// From `first` at step 1 to `last` at step `total` and after: in a straight line, or half a cosine.
inline double adaptive_progress(double step, double total) {
  check(step >= 1 && total > 1, "adaptive smoothing: expected step >= 1 and total > 1, got ", step, " and ",
        total);
  return std::min((step - 1) / (total - 1), 1.);
}
inline double linear_smoothing(double step, double total, double first, double last) {
  check_smoothing("linear smoothing", first), check_smoothing("linear smoothing", last);
  return first + (last - first) * adaptive_progress(step, total);
}
inline double cosine_smoothing(double step, double total, double first, double last) {
  check_smoothing("cosine smoothing", first), check_smoothing("cosine smoothing", last);
  return first + (last - first) * (1 - std::cos(std::numbers::pi * adaptive_progress(step, total))) / 2;
}

// No smoothing until the running confidence reaches `threshold`; from there it grows in proportion, up to
// `largest` at confidence 1. Confidence is the geometric mean of p_y, exp(-nll) of a batch: a by-product of
// the loss.
class ConfidenceTriggered {
 public:
  explicit ConfidenceTriggered(double largest, double threshold = 0.5, double momentum = 0.95)
      : largest_(largest), threshold_(threshold), momentum_(momentum) {
    check_smoothing("confidence-triggered smoothing", largest);
    check(threshold >= 0 && threshold < 1 && momentum >= 0 && momentum < 1,
          "confidence-triggered smoothing: expected threshold and momentum in [0, 1), got ", threshold,
          " and ", momentum);
  }

  // mean_nll of the batch just seen, unsmoothed -> eps for the next one
  double operator()(double mean_nll) {
    check(mean_nll >= 0, "confidence-triggered smoothing: expected an nll of at least 0, got ", mean_nll);
    confidence_ = momentum_ * confidence_ + (1 - momentum_) * std::exp(-mean_nll);
    return largest_ * std::max(0., (confidence_ - threshold_) / (1 - threshold_));
  }

 private:
  double largest_, threshold_, momentum_, confidence_ = 0;
};

}  // namespace gradus::losses
