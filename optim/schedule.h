// Learning rates as functions of the step, counted from 1: optimizer.set_lr(noam(step, 512, 4000)). They hold no state, so
// resuming needs the step alone. During warmup all of them rise linearly.
#pragma once

#include <cstdint>

namespace gradus::optim {

// Vaswani et al. 2017, eq. 3: d_model^-0.5 min(step^-0.5, step warmup^-1.5). Peak 1 / sqrt(d_model warmup), at warmup.
double noam(int64_t step, int64_t d_model, int64_t warmup);
// The same curve, given its peak.
double inverse_square_root(int64_t step, double peak, int64_t warmup);
// From the peak at warmup in a straight line, or half a cosine (Loshchilov & Hutter 2017), to `last` at step total.
double linear(int64_t step, double peak, int64_t warmup, int64_t total, double last = 0);
double cosine(int64_t step, double peak, int64_t warmup, int64_t total, double last = 0);

}  // namespace gradus::optim
