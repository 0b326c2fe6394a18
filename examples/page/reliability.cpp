#include "examples/page/reliability.h"

#include <algorithm>

#include "tensor/error.h"

namespace gradus::examples {

std::vector<svg::Series> diagram(const std::vector<ReliabilityBin>& bins, int64_t few) {
  check(!bins.empty(), "calibration: a reliability diagram without bins");
  svg::Series accuracy{"accuracy", {}, {}, {}, {}, svg::Mark::bars, /*wide=*/1. / bins.size()};
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

}  // namespace gradus::examples
