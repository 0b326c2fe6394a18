#include "examples/support/calibration.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace gradus::examples {
namespace {

// Calls fn(row of z / temperature - its maximum, as probabilities' logarithms; target) for rows that count.
template <class Fn>
void for_rows(const Tensor& logits, std::span<const int32_t> targets, int32_t ignored, double temperature,
              const Fn& fn) {
  check(temperature > 0 && std::isfinite(temperature), "calibration: expected a temperature above 0, got ",
        temperature);
  check(logits && logits.shape().rank() >= 1 && logits.shape()[-1] > 0 &&
            std::cmp_equal(logits.shape().before(-1), targets.size()),
        "calibration: logits ", logits.shape(), " do not fit ", targets.size(), " targets");
  const size_t vocab = static_cast<size_t>(logits.shape()[-1]);
  const std::vector<double> all = logits.to(DType::f64).to_vector<double>();
  std::vector<double> log_p(vocab);
  for (size_t r = 0; r < targets.size(); ++r) {
    if (targets[r] == ignored) continue;
    const std::span<const double> z(all.data() + r * vocab, vocab);
    check(std::ranges::none_of(z, [](double x) { return std::isnan(x) || x == INFINITY; }) &&
              *std::ranges::max_element(z) > -INFINITY,
          "calibration: row ", r, " of the logits is not finite");
    const double max = *std::ranges::max_element(z);
    double sum = 0;
    for (double x : z) sum += std::exp((x - max) / temperature);
    for (size_t j = 0; j < vocab; ++j) log_p[j] = (z[j] - max) / temperature - std::log(sum);
    fn(log_p, targets[r]);
  }
}

}  // namespace

std::vector<TokenPrediction> predictions(const Tensor& logits, std::span<const int32_t> targets,
                                         int32_t ignored, double temperature) {
  std::vector<TokenPrediction> tokens;
  for_rows(logits, targets, ignored, temperature, [&](const std::vector<double>& log_p, int32_t target) {
    const bool known = target >= 0 && std::cmp_less(target, log_p.size());
    const auto best = std::ranges::max_element(log_p);
    double squares = 0, entropy = 0;
    for (double l : log_p) squares += std::exp(2 * l), entropy -= l > -INFINITY ? std::exp(l) * l : 0;
    const double right = known ? log_p[target] : -INFINITY;
    tokens.push_back({std::exp(*best), entropy, right, squares + 1 - 2 * std::exp(right), target,
                      static_cast<int32_t>(best - log_p.begin())});
  });
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

std::vector<svg::Series> diagram(const std::vector<ReliabilityBin>& bins, int64_t few) {
  check(!bins.empty(), "calibration: a reliability diagram without bins");
  svg::Series accuracy{
      .name = "accuracy", .x = {}, .y = {}, .mark = svg::Mark::bars, .wide = 1. / bins.size()};
  svg::Series gap = accuracy, thin = accuracy;
  gap.name = "gap to confidence", thin.name = message("fewer than ", few, " tokens");
  for (size_t i = 0; i < bins.size(); ++i) {
    const auto& [count, confidence, right] = bins[i];
    if (count == 0) continue;
    svg::Series& bar = count < few ? thin : accuracy;
    bar.x.push_back((i + 0.5) / bins.size()), bar.y.push_back(right);
    if (count < few) continue;
    gap.x.push_back(bar.x.back()), gap.y.push_back(confidence);
    gap.low.push_back(std::min(right, confidence)), gap.high.push_back(std::max(right, confidence));
  }
  if (thin.x.empty()) thin.name.clear();
  return {accuracy, gap, thin, {.name = "", .x = {0, 1}, .y = {0, 1}, .mark = svg::Mark::reference}};
}

// With b = 1 / T the nll of a row is ln sum exp(b z) - b z_y: convex in b, with slope E_p[z] - z_y. So the
// sign of the mean slope tells on which side the minimum lies.
double fit_temperature(const Tensor& logits, std::span<const int32_t> targets, int32_t ignored) {
  double low = 0.05, high = 20;  // of b
  for (int round = 0; round < 40; ++round) {
    const double b = std::sqrt(low * high);
    double slope = 0;
    for_rows(logits, targets, ignored, 1 / b, [&](const std::vector<double>& log_p, int32_t target) {
      check(target >= 0 && std::cmp_less(target, log_p.size()), "temperature: target ", target,
            " is outside [0, ", log_p.size(), ")");
      for (double l : log_p) slope += l > -INFINITY ? std::exp(l) * l : 0;
      slope -= log_p[target];
    });
    (slope > 0 ? high : low) = b;  // of a row without finite ln p of its target: a flatter p is better
  }
  return 1 / std::sqrt(low * high);
}

}  // namespace gradus::examples
