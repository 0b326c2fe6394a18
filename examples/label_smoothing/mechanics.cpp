// Demos 2 to 5: what the loss is, seen on a few rows of logits. Nothing is trained.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

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

// Logits [1, V] with probability p on class 0, the target, and the rest in equal parts on the others.
Variable logits_with(double p, int64_t vocab) {
  std::vector<double> z(vocab, 0);
  z[0] = std::log(p / (1 - p) * static_cast<double>(vocab - 1));
  return Variable(Tensor::from(z, {1, vocab}), /*requires_grad=*/true);
}
Tensor first_class() { return Tensor::zeros({1}, DType::i32); }  // the target of one row

std::vector<double> gradient_of(const Variable& loss, const Variable& leaf) {
  loss.backward();
  return leaf.grad().to_vector<double>();
}

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
  html::Table table{{"convention", "class", "q"}}, sums{{"convention", "target", "another", "pad", "sum"}};
  for (const auto& [convention, name] : kConventions) {
    names.push_back(name);
    q.push_back(target_of(convention, /*y=*/3));
    for (int64_t j = 0; j < kVocab; ++j) table.add(name, classes[j], q.back()[j]);
    const double sum = std::accumulate(q.back().begin(), q.back().end(), 0.);
    sums.add(name, q.back()[3], q.back()[1], q.back()[0] + 0., sum);
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
                      svg::bars({"Hard and soft target", "Mass of each class.", {"mass of the class"}, {}},
                                classes, {{"hard label", hard}, {"uniform", q[0]}, {"others_not_pad", q[3]}}),
                      "A hard label beside two soft ones.")},
      .data = {{"soft_targets", table}, {"soft_targets_sums", sums, /*on_the_page=*/true}},
      .honest =
          "The chapter's formula is <i>uniform</i>, but its first listing overwrites the &#949;/V that "
          "already "
          "stood on the target, so that its labels (<i>as_printed</i>) sum to 1 - &#949;/V and are no "
          "distribution: at V = 6 one sees it, at V = 32,000 nobody does."};
}

Demo sparse_or_dense(const Settings&) {
  constexpr int64_t kVocab = 10;
  constexpr double kSmoothing = 0.1;
  Demo demo{.name = "sparse_or_dense", .title = "Is the gradient sparse?"};
  html::Table table{
      {"p of the target", "smoothing", "class", "gradient by log-probabilities", "gradient by logits"}};
  html::Table counts{
      {"p of the target", "smoothing", "not 0 by log-probs", "not 0 by logits", "target's logit"}};
  svg::Series hard{"hard labels", {}, {}}, soft{"smoothing 0.1", {}, {}};
  for (const double p : {0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.91, 0.95, 0.99, 0.999}) {
    for (const double smoothing : {0., kSmoothing}) {
      // shown: sparse_or_dense
      // By the logits, which is what the model feels.
      const Variable z = logits_with(p, kVocab);
      const losses::LabelSmoothingCrossEntropy criterion(smoothing, /*pad_id=*/-1);
      const std::vector<double> by_logits = gradient_of(criterion(z, first_class()), z);
      // By the log-probabilities, as if they could be chosen freely: the loss is -sum q ln p, and q = p -
      // gradient.
      const Variable log_p(log_softmax(z).value(), /*requires_grad=*/true);
      const Tensor q = softmax(z).value() - Tensor::from(by_logits, {1, kVocab});
      const std::vector<double> by_log_p = gradient_of(-sum(Variable(q) * log_p), log_p);
      // end shown
      const auto not_zero = [](const std::vector<double>& g) {
        return std::count_if(g.begin(), g.end(), [](double x) { return std::abs(x) > 1e-12; });
      };
      for (int64_t j = 0; j < kVocab; ++j) table.add(p, smoothing, j, by_log_p[j], by_logits[j]);
      if (p == 0.5 || p == 0.99)
        counts.add(p, smoothing, not_zero(by_log_p), not_zero(by_logits), by_logits[0]);
      svg::Series& series = smoothing > 0 ? soft : hard;
      series.x.push_back(p), series.y.push_back(by_logits[0]);
    }
  }
  demo.claim =
      "The chapter: with hard labels the gradient is sparse, only the correct class matters; smoothing makes "
      "it dense and "
      "keeps it from vanishing.";
  demo.formula =
      "L = -&#931; q<sub>j</sub> ln p<sub>j</sub><br/>&#8706;L/&#8706; ln p<sub>j</sub> = "
      "-q<sub>j</sub><br/>&#8706;L/&#8706;z<sub>j</sub> "
      "= p<sub>j</sub> - q<sub>j</sub>, on the target with p<sub>y</sub> &#8594; 1: hard 0, smoothed &#949; "
      "(1 - 1/V)";
  demo.code = shown("sparse_or_dense");
  demo.figures = {
      html::figure(svg::plot({"Gradient on the logit of the target",
                              "It rises to 0 with hard labels, and crosses 0 with smoothed ones.",
                              {"p of the target"},
                              {"gradient on the target's logit"}},
                             {hard, soft, {"", {0.1, 0.999}, {0, 0}, {}, {}, svg::Mark::reference}}),
                   "V = 10, the other classes equal. Above 0 the loss pushes the target's logit down: beyond "
                   "p = 0.91 the model is too sure for it.")};
  demo.data = {{"sparse_or_dense", table}, {"sparse_or_dense_counts", counts, true}};
  demo.honest =
      "The claim holds for the log-probabilities (1 of V numbers is not 0) and fails for the logits, where "
      "both "
      "gradients are dense (V of V); what differs truly is the limit: as the model grows sure, the hard "
      "gradient goes to 0 "
      "and the smoothed one to &#949; (1 - 1/V), with the other sign.";
  return demo;
}

Demo loss_and_confidence(const Settings&) {
  constexpr int64_t kVocab = 10;
  Demo demo{.name = "loss_and_confidence", .title = "Loss against confidence, and its floor"};
  html::Table curves{{"smoothing", "p of the target", "loss"}},
      floors{{"V", "smoothing", "floor of the loss", "p there", "logit gap there"}};
  std::vector<svg::Series> series;
  for (const double smoothing : {0., 0.1, 0.2, 0.3}) {
    const losses::LabelSmoothingCrossEntropy criterion(smoothing, /*pad_id=*/-1);
    svg::Series curve{message("smoothing ", smoothing), {}, {}};
    for (int i = 10; i < 200; ++i) {
      const double p = i / 200., loss = criterion(logits_with(p, kVocab), first_class()).value().item();
      curves.add(smoothing, p, loss);
      curve.x.push_back(p), curve.y.push_back(loss);
    }
    series.push_back(curve);
  }
  for (const int64_t vocab : {5, 10, 100, 1000, 10000, 32000}) {
    // shown: loss_and_confidence
    // Descend until the gradient on the target's logit changes sign: there the loss is at its floor.
    const losses::LabelSmoothingCrossEntropy criterion(/*smoothing=*/0.1, /*pad_id=*/-1);
    double low = 0.5, high = 1 - 1e-9;
    while (high - low > 1e-12) {
      const double p = (low + high) / 2;
      const Variable z = logits_with(p, vocab);
      (gradient_of(criterion(z, first_class()), z)[0] < 0 ? low : high) = p;
    }
    const Variable z = logits_with(low, vocab);
    const double floor = criterion(z, first_class()).value().item(), gap = z.value().data<double>()[0];
    // end shown
    floors.add(vocab, 0.1, floor, low, gap);
  }
  demo.claim =
      "Hard labels are never content: the loss falls as long as p of the target rises. A smoothed loss is "
      "least at a p below 1.";
  demo.formula =
      "least at p = q: p<sub>y</sub> = 1 - &#949; + &#949;/V, z<sub>y</sub> - z<sub>j</sub> = ln(1 + V (1 - "
      "&#949;)/&#949;)<br/>floor "
      "H(q) = -&#931; q<sub>j</sub> ln q<sub>j</sub>";
  demo.code = shown("loss_and_confidence");
  demo.figures = {html::figure(svg::plot({"Loss against confidence",
                                          "One curve for each smoothing; the smoothed ones have a minimum.",
                                          {"p of the target"},
                                          {"loss", false, 0.}},
                                         series),
                               "V = 10, the other classes equal.")};
  demo.data = {{"loss_and_confidence", curves}, {"loss_floors", floors, true}};
  demo.honest =
      "A smoothed loss that stands still at 1.36 with V = 32,000 is as good as a hard loss of 0, so losses "
      "of different "
      "&#949; must not share an axis (here only to show the shapes); the chapter does not mention the floor.";
  return demo;
}

Demo kl_and_ce(const Settings&) {
  constexpr int64_t kRows = 200, kVocab = 10;
  constexpr uint64_t kSeed = 1;
  Demo demo{.name = "kl_and_ce", .title = "Are the two listings the same loss?"};
  std::vector<int32_t> ids(kRows);
  for (int64_t i = 0; i < kRows; ++i) ids[i] = static_cast<int32_t>(i % kVocab);
  // shown: kl_and_ce
  const Tensor z = Generator(kSeed).normal({kRows, kVocab}, 2), target = Tensor::from(ids, {kRows});
  struct Result {
    std::vector<double> losses, gradient;
  };
  const auto run = [&](const losses::SmoothedLoss& criterion) {
    const Variable logits(z, /*requires_grad=*/true);
    const Variable loss = criterion(logits, target);
    loss.backward(Tensor::full({kRows}, 1, DType::f64));
    return Result{loss.value().to_vector<double>(), logits.grad().to_vector<double>()};
  };
  const Reduction none = Reduction::none;
  const Result ce = run(losses::LabelSmoothingCrossEntropy(0.1, -1, Smoothing::uniform, none));
  const Result kl = run(losses::LabelSmoothingLoss(kVocab, 0.1, -1, Smoothing::uniform, none));
  const Result printed = run(losses::LabelSmoothingLoss(kVocab, 0.1, -1, Smoothing::as_printed, none));
  const Result nll = run(losses::CrossEntropy(-1, none));
  // end shown
  html::Table rows{{"row", "nll", "CE", "KL", "KL as printed"}},
      summary{{"the CE listing against", "CE - KL is between", "gradients differ by"}};
  svg::Series same{"KL, uniform", nll.losses, {}, {}, {}, svg::Mark::points},
      other{"KL, as printed", nll.losses, {}, {}, {}, svg::Mark::points};
  for (size_t i = 0; i < nll.losses.size(); ++i) {
    rows.add(i, nll.losses[i], ce.losses[i], kl.losses[i], printed.losses[i]);
    same.y.push_back(ce.losses[i] - kl.losses[i]), other.y.push_back(ce.losses[i] - printed.losses[i]);
  }
  for (const auto& [name, result, gap] :
       {std::tuple("KL, uniform", kl, same.y), std::tuple("KL, as printed", printed, other.y)}) {
    double worst = 0;
    for (size_t i = 0; i < ce.gradient.size(); ++i)
      worst = std::max(worst, std::abs(ce.gradient[i] - result.gradient[i]));
    const auto [least, most] = std::minmax_element(gap.begin(), gap.end());
    summary.add(name, message(*least, " and ", *most),
                worst < 1e-12 ? std::string("less than 1e-12") : message(worst));
  }
  demo.claim =
      "The chapter: KL divergence or cross-entropy, they are equivalent. It prints one class for each.";
  demo.formula =
      "within one convention CE - KL = H(q), a constant<br/>as printed: CE - KL = S + (&#949;/V)(-ln "
      "p<sub>y</sub>), and the "
      "gradients differ by (&#949;/V)(p<sub>j</sub> - [j = y])";
  demo.code = shown("kl_and_ce");
  demo.figures = {
      html::figure(svg::plot({"KL against CE", "Each point is a row of logits.", {"CE, uniform"}, {"KL"}},
                             {{"KL, uniform", ce.losses, kl.losses, {}, {}, svg::Mark::points},
                              {"KL, as printed", ce.losses, printed.losses, {}, {}, svg::Mark::points}}),
                   "200 random rows, V = 10, &#949; = 0.1: at this scale all seems well."),
      html::figure(
          svg::plot({"CE - KL against nll",
                     "Constant for uniform; a rising line for the listing as printed.",
                     {"nll of the row"},
                     {"CE - KL"}},
                    {same, other}),
          "The same rows, closer: one difference is a constant, the other grows with the row's nll.")};
  demo.data = {{"kl_and_ce", rows}, {"kl_and_ce_summary", summary, true}};
  demo.seeds = message(kSeed, ", of the logits");
  demo.honest =
      "Within one convention the two are equivalent, to the last digits; but the chapter's two classes "
      "follow two "
      "conventions, so that as printed they are different losses with different gradients: by &#949;/V, "
      "which is 0.01 here and "
      "0.000003 at V = 32,000.";
  return demo;
}

}  // namespace gradus::examples::lab
