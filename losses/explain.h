// explain: how each class contributes to the loss of one token, as a table.
#pragma once

#include <algorithm>
#include <array>
#include <iomanip>
#include <sstream>
#include <string>
#include <utility>

#include "losses/label_smoothing.h"

namespace gradus::losses {

struct Explain {
  double smoothing = 0.1;
  int32_t pad_id = -1;
  Smoothing convention = Smoothing::uniform;
  std::vector<std::string> names = {};  // of the classes; if empty, the table shows class numbers
  size_t rows = 10;                     // of the table; one line sums up all other classes
};

// logits [V], real. One line per class: p, q, its share -q ln p of the loss, and the gradient (sum q) p - q
// with respect to its logit. The target comes first, then the other classes by decreasing p. The last line
// has sums.
inline std::string explain(const Tensor& logits, ClassId target, const Explain& options = {}) {
  check(logits && logits.shape().rank() == 1, "explain: expected logits [V], got ", logits.shape());
  const int64_t vocab = logits.size();
  check(options.names.empty() || std::cmp_equal(options.names.size(), vocab),
        "explain: ", options.names.size(), " names for ", vocab, " classes");
  const Tensor z = logits.to(Device::cpu).to(DType::f64).reshape({1, vocab});
  check(target != options.pad_id, "explain: the target is the pad id, whose row does not count");
  const Variable leaf(z, /*requires_grad=*/true);
  const LabelSmoothingCrossEntropy criterion(options.smoothing, options.pad_id, options.convention);
  const Variable loss = criterion(leaf, Tensor::from(std::vector<int32_t>{target}, {1}));
  loss.backward();
  check(!std::isnan(loss.value().item()), "explain: the loss of these logits is not a number");
  const auto gradient = leaf.grad().to_vector<double>(), p = softmax(z).to_vector<double>(),
             log_p = log_softmax(z).to_vector<double>();
  const auto q = TargetDistribution::of(options.convention, options.smoothing, vocab, options.pad_id);

  using Row = std::array<double, 4>;  // p, q, share, gradient
  std::vector<std::pair<std::string, Row>> lines;
  for (int64_t j = 0; j < vocab; ++j) {
    const double mass = j == target ? q.on : j == q.excluded ? 0 : q.off;
    const std::string name = options.names.empty() ? std::to_string(j) : options.names[j];
    lines.emplace_back(name, Row{p[j], mass, mass > 0 ? -mass * log_p[j] : 0, gradient[j]});
  }
  std::rotate(lines.begin(), lines.begin() + target, lines.begin() + target + 1);
  lines[0].first += " (target)";
  std::stable_sort(lines.begin() + 1, lines.end(),
                   [](const auto& a, const auto& b) { return a.second[0] > b.second[0]; });

  std::ostringstream out;
  out << std::fixed << std::setprecision(6);
  const auto print = [&](const std::string& name, const Row& row) {
    out << std::left << std::setw(16) << name << std::right;
    for (double x : row) out << std::setw(12) << (std::abs(x) < 5e-7 ? 0 : x);  // never -0.000000
    out << "\n";
  };
  out << "class                      p           q     -q ln p    gradient\n";
  Row rest{}, all{};
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto& [name, row] = lines[i];
    for (size_t c = 0; c < 4; ++c) all[c] += row[c], rest[c] += i < options.rows ? 0 : row[c];
    if (i < options.rows) print(name, row);
  }
  if (options.rows < lines.size()) print(message(lines.size() - options.rows, " others"), rest);
  print("sum", all);
  return out.str();
}

}  // namespace gradus::losses
