// Learning rates as functions of the step, counted from 1: optimizer.set_lr(noam(step, 512, 4000)). They hold
// no state, so resuming needs the step alone. During warmup all of them rise linearly.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/error.h"

namespace gradus::optim {

// The part of the peak that warmup has reached: 1 from step `warmup` on.
inline double warmed_up(double step, double warmup) {
  check(step >= 1 && warmup >= 0, "schedule: expected step >= 1 and warmup >= 0, got ", step, " and ",
        warmup);
  return step < warmup ? step / warmup : 1;
}

// How far from the end of warmup to the last step: 0 to 1.
inline double progress(double step, double warmup, double total) {
  check(total > warmup, "schedule: expected more steps in total than in warmup, got ", total, " and ",
        warmup);
  return std::clamp((step - warmup) / (total - warmup), 0., 1.);
}

inline void check_rate(const char* what, double rate) {
  check(rate >= 0 && std::isfinite(rate), "schedule: expected ", what, " >= 0, got ", rate);
}

inline double inverse_square_root(double step, double peak, double warmup) {
  check_rate("a peak", peak);
  return peak * warmed_up(step, warmup) * std::sqrt(std::max(warmup, 1.) / std::max({step, warmup, 1.}));
}

// Vaswani et al. 2017, eq. 3: d_model^-0.5 min(step^-0.5, step warmup^-1.5): the curve above with peak
// 1 / sqrt(d_model warmup).
inline double noam(double step, double d_model, double warmup) {
  check(d_model >= 1 && warmup >= 1, "noam: expected d_model and warmup >= 1, got ", d_model, " and ",
        warmup);
  return inverse_square_root(step, 1 / std::sqrt(d_model * warmup), warmup);
}

// From the peak at warmup to `last` at step total, in a straight line or half a cosine (Loshchilov & Hutter
// 2017).
inline double linear(double step, double peak, double warmup, double total, double last = 0) {
  check_rate("a peak", peak);
  check_rate("a last rate", last);
  const double t = progress(step, warmup, total);
  return peak * warmed_up(step, warmup) + (last - peak) * t;
}
inline double cosine(double step, double peak, double warmup, double total, double last = 0) {
  check_rate("a peak", peak);
  check_rate("a last rate", last);
  const double t = progress(step, warmup, total);
  return peak * warmed_up(step, warmup) + (last - peak) * (1 - std::cos(std::numbers::pi * t)) / 2;
}

}  // namespace gradus::optim
