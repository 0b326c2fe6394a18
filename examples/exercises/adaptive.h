// Exercise 3: smoothing that grows with training.
//
// At first a model is unsure of everything, and there is nothing to hold it back from. So let eps begin at 0
// and grow to `last`. Three ways, with r = step / total, at most 1:
//
//     linear                eps = last r
//     cosine                eps = last (1 - cos(pi r)) / 2
//     confidence-triggered  eps = last max(0, (c - threshold) / (1 - threshold))
//
// where c is the running confidence: 0 at first, then c <- 0.9 c + 0.1 (this batch's mean of the largest p).
// Steps count from 1; after `total` eps stays at `last`. A training loop then says, before each step,
//
//     criterion.set_smoothing(linear_smoothing(step, 1000, 0.1));
//
// What stands here now is a constant eps.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gradus::exercises {

inline double linear_smoothing(double step, double total, double last) { return last; }

inline double cosine_smoothing(double step, double total, double last) { return last; }

class ConfidenceTriggered {
 public:
  ConfidenceTriggered(double last, double threshold) : last_(last), threshold_(threshold) {}

  // Takes the mean confidence of one more batch; returns eps for the next step.
  double update(double batch_confidence) { return last_; }

 private:
  double last_, threshold_;
};

}  // namespace gradus::exercises
