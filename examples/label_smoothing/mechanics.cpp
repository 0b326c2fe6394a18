// Demos 2 to 5: what the loss is, seen on a few rows of logits. Nothing is trained.
#include <cmath>
#include <numeric>

#include "examples/label_smoothing/demo.h"
#include "losses/label_smoothing.h"

namespace gradus::examples::lab {
namespace {

using losses::Smoothing;

struct Convention {
  Smoothing value;
  const char* name;
};
constexpr Convention kConventions[] = {{Smoothing::uniform, "uniform"},
                                       {Smoothing::as_printed, "as_printed"},
                                       {Smoothing::others, "others"},
                                       {Smoothing::others_not_pad, "others_not_pad"}};

// Six significant digits, for tables that people read.
std::string digits(double value) { return message(std::round(value * 1e6) / 1e6); }

}  // namespace

Demo soft_targets(const Settings&) {
  // shown: soft_targets
  // The gradient of a row is (sum q) p - q, so a class to which the model gives probability 0 is pulled by
  // exactly its q. Row j gives everything to the class after j; its gradient on j is -q[j].
  constexpr int64_t kVocab = 6;
  const auto target_of = [](losses::Smoothing convention, int32_t y) {
    std::vector<double> z(kVocab * kVocab, 0), q;
    for (int64_t j = 0; j < kVocab; ++j) z[j * kVocab + (j + 1) % kVocab] = 1000;
    const Variable logits(Tensor::from(z, {kVocab, kVocab}), /*requires_grad=*/true);
    const losses::LabelSmoothingCrossEntropy loss(/*smoothing=*/0.1, /*pad_id=*/0, convention,
                                                  Reduction::sum);
    loss(logits, Tensor::from(std::vector<int32_t>(kVocab, y), {kVocab})).backward();
    const std::vector<double> gradient = logits.grad().to_vector<double>();
    for (int64_t j = 0; j < kVocab; ++j) q.push_back(-gradient[j * kVocab + j]);
    return q;
  };
  // end shown
  const std::vector<std::string> classes{"pad", "1", "2", "y", "4", "5"};
  std::vector<std::vector<double>> q;
  std::vector<std::string> names;
  html::Table table{{"convention", "class", "q"}},
      sums{{"convention", "q of the target", "q of another", "q of pad", "sum"}};
  for (const auto& [convention, name] : kConventions) {
    names.push_back(name);
    q.push_back(target_of(convention, /*y=*/3));
    for (int64_t j = 0; j < kVocab; ++j) table.add(name, classes[j], q.back()[j]);
    const double sum = std::accumulate(q.back().begin(), q.back().end(), 0.);
    sums.add(name, digits(q.back()[3]), digits(q.back()[1]), digits(q.back()[0]), digits(sum));
  }
  std::vector<double> hard(kVocab, 0);
  hard[3] = 1;
  return {
      .name = "soft_targets",
      .title = "Soft targets, in four conventions",
      .claim =
          "Instead of all its mass, the label gives the target about 1 - &#949;, and spreads &#949; over the "
          "vocabulary. How exactly, the chapter says in two ways, and two more are in use.",
      .formula =
          "uniform: q<sub>j</sub> = (1 - &#949;) [j = y] + &#949;/V<br/>as_printed: q<sub>y</sub> = 1 - "
          "&#949;, "
          "else &#949;/V<br/>others: q<sub>y</sub> = 1 - &#949;, else &#949;/(V - 1)<br/>others_not_pad: "
          "q<sub>y</sub> = 1 - &#949;, q<sub>pad</sub> = 0, else &#949;/(V - 2)",
      .code = shown("soft_targets"),
      .figures = {html::figure(svg::heat_map({"The four targets",
                                              "A row for each convention, a column for each class.",
                                              {"class"},
                                              {"convention"}},
                                             names, classes, q),
                               "The target q in each convention: V = 6, &#949; = 0.1. A dot is an exact 0."),
                  html::figure(
                      svg::bars(
                          {"Hard and soft target", "Mass of each class.", {"mass of the class"}, {}}, classes,
                          {{"hard label", {}, hard}, {"uniform", {}, q[0]}, {"others_not_pad", {}, q[3]}}),
                      "A hard label beside two soft ones.")},
      .data = {{"soft_targets", table}, {"soft_targets_sums", sums, /*on_the_page=*/true}},
      .honest =
          "The chapter's formula is <i>uniform</i>, but its first listing overwrites the &#949;/V that "
          "already "
          "stood on the target, so that its labels (<i>as_printed</i>) sum to 1 - &#949;/V and are no "
          "distribution: at V = 6 one sees it, at V = 32,000 nobody does."};
}

}  // namespace gradus::examples::lab
