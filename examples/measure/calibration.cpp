#include "examples/measure/calibration.h"

#include <algorithm>
#include <cmath>

namespace gradus::examples {

std::vector<TokenPrediction> predictions(const Tensor& logits, std::span<const int32_t> targets,
                                         int32_t ignored, double temperature) {
  check(temperature > 0 && std::isfinite(temperature), "calibration: expected a temperature above 0, got ",
        temperature);
  check(logits && logits.shape().rank() >= 1 && logits.shape()[-1] > 0 &&
            logits.shape().before(-1) == std::ssize(targets),
        "calibration: logits ", logits.shape(), " do not fit ", targets.size(), " targets");
  const int64_t vocab = logits.shape()[-1];
  const std::vector<double> all = logits.to(DType::f64).to_vector<double>();
  std::vector<TokenPrediction> tokens;
  for (size_t r = 0; r < targets.size(); ++r) {
    if (targets[r] == ignored) continue;
    const std::span<const double> z(all.data() + r * vocab, vocab);
    const auto best = std::ranges::max_element(z);
    check(std::isfinite(*best) && std::ranges::none_of(z, [](double x) { return std::isnan(x); }),
          "calibration: row ", r, " of the logits is not finite");
    double sum = 0, squares = 0, entropy = 0;
    for (double x : z) sum += std::exp((x - *best) / temperature);
    const auto log_p = [&, log_sum = std::log(sum)](double x) { return (x - *best) / temperature - log_sum; };
    for (double x : z) {
      const double l = log_p(x);
      squares += std::exp(2 * l), entropy -= l > -INFINITY ? std::exp(l) * l : 0;
    }
    const double right = targets[r] >= 0 && targets[r] < vocab ? log_p(z[targets[r]]) : -INFINITY;
    tokens.push_back({std::exp(log_p(*best)), entropy, right, squares + 1 - 2 * std::exp(right), targets[r],
                      static_cast<int32_t>(best - z.begin())});
  }
  return tokens;
}

Calibration calibration(std::span<const TokenPrediction> tokens, int64_t bins) {
  check(bins >= 1, "calibration: expected at least one bin, got ", bins);
  Calibration c;
  const double n = bins, total = std::max<double>(1, tokens.size());
  c.bins.resize(bins);
  for (const TokenPrediction& t : tokens) {
    ReliabilityBin& bin = c.bins[std::clamp<int64_t>(std::ceil(t.confidence * n) - 1, 0, bins - 1)];
    ++bin.count, ++c.tokens;
    bin.confidence += t.confidence, bin.accuracy += t.correct();
    c.confidence += t.confidence / total, c.accuracy += t.correct() / total, c.entropy += t.entropy / total;
    c.nll -= t.target_log_p / total, c.brier += t.brier / total;
  }
  for (ReliabilityBin& bin : c.bins) {
    c.ece += std::abs(bin.accuracy - bin.confidence) / total;
    if (bin.count > 0) bin.confidence /= bin.count, bin.accuracy /= bin.count;
  }
  return c;
}

// With b = 1 / T the nll of a row is ln sum exp(b z) - b z_y: convex in b, with slope E_p[z] - z_y, which is
// T (- entropy - ln p_y). So the sign of the sum of these tells on which side the minimum lies.
double fit_temperature(const Tensor& logits, std::span<const int32_t> targets, int32_t ignored) {
  double low = 0.05, high = 20;  // of b
  for (int round = 0; round < 40; ++round) {
    const double b = std::sqrt(low * high);
    double slope = 0;
    for (const TokenPrediction& t : predictions(logits, targets, ignored, 1 / b)) {
      check(t.target >= 0 && t.target < logits.shape()[-1], "temperature: target ", t.target,
            " is outside [0, ", logits.shape()[-1], ")");
      slope -= t.entropy + t.target_log_p;
    }
    (slope > 0 ? high : low) = b;  // of a row without finite ln p of its target: a flatter p is better
  }
  return 1 / std::sqrt(low * high);
}

}  // namespace gradus::examples
