// Exercise 5: learning rates that warm up.
//
// In its first steps Adam divides by a variance of which it has seen little, and a Transformer's gradients
// are large. So the learning rate begins small. Write two schedules, as functions of the step alone (steps
// count from 1):
//
//     noam       d_model^-0.5 min(step^-0.5, step warmup^-1.5)                 (Vaswani et al. 2017, eq. 3)
//     trapezoid  rises in a straight line from 0 (at step 0) to `peak` (at step `warmup`),
//                stays there until step `decay_from`,
//                falls in a straight line to 0 at step `total`, and stays 0
//
// noam, too, is a line and then a curve: where do they meet, and what is the peak? optim/schedule.h has the
// library's schedules, should you be stuck. What stands here now never changes.
#pragma once

#include <algorithm>
#include <cmath>

namespace gradus::exercises {

inline double noam(double step, double d_model, double warmup) { return 1 / std::sqrt(d_model * warmup); }

inline double trapezoid(double step, double peak, double warmup, double decay_from, double total) {
  return peak;
}

}  // namespace gradus::exercises
