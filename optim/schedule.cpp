#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/error.h"

namespace gradus::optim {
namespace {

double warm(const char* name, int64_t step, int64_t warmup) {  // rises to 1 at step `warmup`
  check(step >= 1 && warmup >= 0, name, ": expected step >= 1 and warmup >= 0, got ", step, " and ", warmup);
  return step < warmup ? static_cast<double>(step) / static_cast<double>(warmup) : 1;
}

double progress(const char* name, int64_t step, int64_t warmup, int64_t total) {  // 0 at warmup, 1 from total on
  check(total > warmup, name, ": expected more steps in total than in warmup, got ", total, " and ", warmup);
  return std::clamp(static_cast<double>(step - warmup) / static_cast<double>(total - warmup), 0., 1.);
}

}  // namespace

double inverse_square_root(int64_t step, double peak, int64_t warmup) {
  const double rise = warm("inverse_square_root", step, warmup);
  return rise < 1 ? peak * rise : peak * std::sqrt(static_cast<double>(std::max<int64_t>(warmup, 1)) / static_cast<double>(step));
}

double noam(int64_t step, int64_t d_model, int64_t warmup) {
  check(d_model >= 1 && warmup >= 1, "noam: expected d_model and warmup >= 1, got ", d_model, " and ", warmup);
  return inverse_square_root(step, 1 / std::sqrt(static_cast<double>(d_model) * static_cast<double>(warmup)), warmup);
}

double linear(int64_t step, double peak, int64_t warmup, int64_t total, double last) {
  const double rise = warm("linear", step, warmup), t = progress("linear", step, warmup, total);
  return rise < 1 ? peak * rise : peak + (last - peak) * t;
}

double cosine(int64_t step, double peak, int64_t warmup, int64_t total, double last) {
  const double rise = warm("cosine", step, warmup), t = progress("cosine", step, warmup, total);
  return rise < 1 ? peak * rise : last + (peak - last) * (1 + std::cos(std::numbers::pi * t)) / 2;
}

}  // namespace gradus::optim
