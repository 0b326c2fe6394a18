// The target distribution q of a label-smoothing loss, as the kernels see it: one number on the target class,
// one on every other class, and possibly 0 on the pad column. The four conventions in use differ only in
// those numbers (losses/README.md tells who uses which, and why it matters).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "tensor/device.h"

namespace gradus {

// The pad id of a loss where nothing is padding: no target has it, so any id outside [0, V) is an error.
constexpr int32_t kNoPad = std::numeric_limits<int32_t>::min();

enum class Smoothing { uniform, as_printed, others, others_not_pad };
enum class Reduction { mean, sum, none };

struct TargetDistribution {
  double on;         // q of the target class
  double off;        // q of each other class
  double off_count;  // how many classes carry `off`
  int64_t excluded;  // the column with q = 0, or -1

  // A pad id outside [0, vocab) is no class: `others_not_pad` is then `others`.
  HOST_DEVICE static TargetDistribution of(Smoothing convention, double eps, int64_t vocab, int32_t pad_id) {
    if (eps == 0) return {1, 0, 0, -1};  // also where there are no others
    const double v = static_cast<double>(vocab);
    if (convention == Smoothing::uniform) return {1 - eps + eps / v, eps / v, v - 1, -1};
    if (convention == Smoothing::as_printed) return {1 - eps, eps / v, v - 1, -1};
    if (convention == Smoothing::others || pad_id < 0 || pad_id >= vocab)
      return {1 - eps, eps / (v - 1), v - 1, -1};
    return {1 - eps, eps / (v - 2), v - 2, pad_id};
  }

  HOST_DEVICE double sum() const { return on + off * off_count; }
  // sum q ln q
  HOST_DEVICE double negative_entropy() const { return x_log_x(on) + off_count * x_log_x(off); }
  HOST_DEVICE static double x_log_x(double x) { return x > 0 ? x * std::log(x) : 0; }
};

// What the sum over rows is divided by: for the mean the weights of the rows that count, where there are any.
HOST_DEVICE inline double loss_divisor(Reduction reduction, double weights) {
  return reduction == Reduction::mean && weights > 0 ? weights : 1;
}

// The sums over rows that a loss reports beside itself, f64 [kLossSums].
enum LossSum { kSmoothed, kNll, kCorrect, kTokens, kWeights, kLossSums };

}  // namespace gradus
