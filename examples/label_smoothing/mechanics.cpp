// Demos 2 to 5: what the loss is, seen on a few rows of logits. Nothing is trained.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "examples/label_smoothing/demo.h"
#include "losses/label_smoothing.h"

namespace gradus::examples::lab {
namespace {

using losses::Smoothing;

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
  Demo demo{"soft_targets"};
  const std::vector<std::string> classes{"pad", "1", "2", "y", "4", "5"};
  html::Table table{{"convention", "class", "q"}}, sums{{"convention", "target", "another", "pad", "sum"}};
  const auto add = [&](const std::string& name, const std::vector<double>& q) {
    for (int64_t j = 0; j < kVocab; ++j) table.add(name, classes[j], q[j]);
    if (name != "hard") sums.add(name, q[3], q[1], q[0] + 0., std::accumulate(q.begin(), q.end(), 0.));
  };
  add("hard", {0, 0, 0, 1, 0, 0});
  for (const auto& [convention, name] : {std::pair(Smoothing::uniform, "uniform"),
                                         {Smoothing::as_printed, "as_printed"},
                                         {Smoothing::others, "others"},
                                         {Smoothing::others_not_pad, "others_not_pad"}})
    add(name, target_of(convention, /*y=*/3));
  demo.draw("four", table, {"convention", "class", "q", svg::Mark::cells});
  demo.draw("masses", table.where("convention", {"hard", "uniform", "others_not_pad"}),
            {"convention", "class", "q", svg::Mark::bars});
  demo.data = {{"soft_targets", table}, {"soft_targets_sums", sums, /*on_the_page=*/true}};
  return demo;
}

Demo sparse_or_dense(const Settings&) {
  constexpr int64_t kVocab = 10;
  constexpr double kSmoothing = 0.1;
  Demo demo{"sparse_or_dense"};
  html::Table table{
      {"p of the target", "smoothing", "class", "gradient by log-probabilities", "gradient by logits"}};
  html::Table counts{
      {"p of the target", "smoothing", "not 0 by log-probs", "not 0 by logits", "target's logit"}};
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
    }
  }
  demo.draw("target", table.where("class", {"0"}),
            {.by = "smoothing",
             .x = "p of the target",
             .y = "gradient by logits",
             .more = {{"", {0.1, 0.999}, {0, 0}, {}, {}, svg::Mark::reference}}});
  demo.data = {{"sparse_or_dense", table}, {"sparse_or_dense_counts", counts, true}};
  return demo;
}

Demo loss_and_confidence(const Settings&) {
  constexpr int64_t kVocab = 10;
  Demo demo{"loss_and_confidence"};
  html::Table curves{{"smoothing", "p of the target", "loss"}},
      floors{{"V", "smoothing", "floor of the loss", "p there", "logit gap there"}};
  for (const double smoothing : {0., 0.1, 0.2, 0.3}) {
    const losses::LabelSmoothingCrossEntropy criterion(smoothing, /*pad_id=*/-1);
    for (int i = 10; i < 200; ++i)
      curves.add(smoothing, i / 200., criterion(logits_with(i / 200., kVocab), first_class()).value().item());
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
  demo.draw("curves", curves, {"smoothing", "p of the target", "loss"});
  demo.data = {{"loss_and_confidence", curves}, {"loss_floors", floors, true}};
  return demo;
}

Demo kl_and_ce(const Settings&) {
  constexpr int64_t kRows = 200, kVocab = 10;
  constexpr uint64_t kSeed = 1;
  Demo demo{"kl_and_ce", {{"seed", message(kSeed)}}};
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
  html::Table rows{{"listing", "nll", "CE", "KL", "CE - KL"}},
      summary{{"the CE listing against", "CE - KL is between", "gradients differ by"}};
  for (const auto& [name, other] : {std::pair("KL, uniform", kl), std::pair("KL, as printed", printed)}) {
    double least = INFINITY, most = -INFINITY, worst = 0;
    for (size_t i = 0; i < ce.losses.size(); ++i) {
      const double gap = ce.losses[i] - other.losses[i];
      rows.add(name, nll.losses[i], ce.losses[i], other.losses[i], gap);
      least = std::min(least, gap), most = std::max(most, gap);
    }
    for (size_t i = 0; i < ce.gradient.size(); ++i)
      worst = std::max(worst, std::abs(ce.gradient[i] - other.gradient[i]));
    summary.add(name, message(least, " and ", most), worst < 1e-12 ? "less than 1e-12" : message(worst));
  }
  demo.draw("scale", rows, {"listing", "CE", "KL", svg::Mark::points});
  demo.draw("closer", rows, {"listing", "nll", "CE - KL", svg::Mark::points});
  demo.data = {{"kl_and_ce", rows}, {"kl_and_ce_summary", summary, true}};
  return demo;
}

}  // namespace gradus::examples::lab
