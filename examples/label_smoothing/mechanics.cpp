// Demos 2 to 5, and the beginnings of 9 and 10: what the losses are, seen on a few rows of logits. Nothing is
// trained.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "examples/label_smoothing/demo.h"
#include "losses/label_smoothing.h"
#include "losses/variants.h"

namespace gradus::examples::lab {
namespace {

using namespace losses;

const std::vector<std::string> kClasses{"pad", "1", "2", "y", "4", "5"};  // where V is 6

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

// shown: soft_targets
// The gradient of a row is (sum q) p - q, so a class to which the model gives probability 0 is pulled by
// exactly its q. Row j gives everything to the class after j; its gradient on j is -q[j].
std::vector<double> target_of(const SmoothedLoss& loss, int64_t vocab, int32_t y) {
  std::vector<double> z(vocab * vocab, 0), q;
  for (int64_t j = 0; j < vocab; ++j) z[j * vocab + (j + 1) % vocab] = 1000;
  const Variable logits(Tensor::from(z, {vocab, vocab}), /*requires_grad=*/true);
  const Tensor targets = Tensor::from(std::vector<int32_t>(vocab, y), {vocab});
  const std::vector<double> gradient = gradient_of(loss(logits, targets), logits);
  for (int64_t j = 0; j < vocab; ++j) q.push_back(0 - gradient[j * vocab + j]);
  return q;
}
// end shown

}  // namespace

Demo soft_targets(const Settings&) {
  Demo demo{"soft_targets"};
  auto& table = demo.table("soft_targets", {"convention", "class", "q"});
  auto& sums = demo.table("soft_targets_sums", {"convention", "target", "another", "pad", "sum"});
  const auto add = [&](const std::string& name, const std::vector<double>& q) {
    for (size_t j = 0; j < q.size(); ++j) table.add(name, kClasses[j], q[j]);
    if (name != "hard") sums.add(name, q[3], q[1], q[0], std::accumulate(q.begin(), q.end(), 0.));
  };
  add("hard", {0, 0, 0, 1, 0, 0});
  constexpr std::pair<Smoothing, const char*> kConventions[] = {
      {Smoothing::uniform, "uniform"},
      {Smoothing::as_printed, "as_printed"},
      {Smoothing::others, "others"},
      {Smoothing::others_not_pad, "others_not_pad"}};
  for (const auto& [convention, name] : kConventions)
    add(name,
        target_of(LabelSmoothingCrossEntropy(0.1, /*pad_id=*/0, convention, Reduction::sum), 6, /*y=*/3));
  demo.draw("four", table, {"convention", "class", "q", svg::Mark::cells});
  demo.draw("masses", table.where("convention", {"hard", "uniform", "others_not_pad"}),
            {"convention", "class", "q", svg::Mark::bars});
  return demo;
}

Demo sparse_or_dense(const Settings&) {
  constexpr int64_t kVocab = 10;
  Demo demo{"sparse_or_dense"};
  auto& table = demo.table("sparse_or_dense", {"p of the target", "smoothing", "class",
                                               "gradient by log-probabilities", "gradient by logits"});
  auto& counts = demo.table("sparse_or_dense_counts",
                            {"p of the target", "smoothing", "not 0 by log-probs", "not 0 by logits",
                             "target's logit", "norm by log-probs", "norm by logits"});
  auto& norms = demo.table("gradient_norms", {"gradient", "p of the target", "norm"});
  for (const double p : {0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.91, 0.95, 0.99, 0.999}) {
    for (const double smoothing : {0., 0.1}) {
      // shown: sparse_or_dense
      // By the logits, which is what the model feels.
      const Variable z = logits_with(p, kVocab);
      const LabelSmoothingCrossEntropy criterion(smoothing, /*pad_id=*/-1);
      const std::vector<double> by_logits = gradient_of(criterion(z, first_class()), z);
      // By the log-probabilities, as if they could be chosen freely: the loss is -sum q ln p, and q = p -
      // gradient.
      const Variable log_p(log_softmax(z).value(), /*requires_grad=*/true);
      const Tensor q = softmax(z).value() - Tensor::from(by_logits, {1, kVocab});
      const std::vector<double> by_log_p = gradient_of(-sum(Variable(q) * log_p), log_p);
      // end shown
      const auto not_zero = [](const std::vector<double>& g) {
        return std::ranges::count_if(g, [](double x) { return std::abs(x) > 1e-12; });
      };
      const auto norm = [](const std::vector<double>& g) {
        return std::sqrt(std::inner_product(g.begin(), g.end(), g.begin(), 0.));
      };
      for (int64_t j = 0; j < kVocab; ++j) table.add(p, smoothing, j, by_log_p[j], by_logits[j]);
      const std::string label = smoothing == 0 ? "hard" : "0.1";
      norms.add(label + ", log-probs", p, norm(by_log_p)).add(label + ", logits", p, norm(by_logits));
      if (p == 0.1 || p == 0.5 || p == 0.9 || p == 0.99)
        counts.add(p, smoothing, not_zero(by_log_p), not_zero(by_logits), by_logits[0], norm(by_log_p),
                   norm(by_logits));
    }
  }
  const svg::Series zero{"", {0.1, 0.999}, {0, 0}, {}, {}, svg::Mark::reference};
  demo.draw("target", table.where("class", {"0"}),
            {"smoothing", "p of the target", "gradient by logits", svg::Mark::line, false, {zero}});
  demo.draw("norms", norms, {"gradient", "p of the target", "norm"});
  return demo;
}

Demo loss_and_confidence(const Settings&) {
  constexpr int64_t kVocab = 10;
  Demo demo{"loss_and_confidence"};
  auto& curves = demo.table("loss_and_confidence", {"smoothing", "p of the target", "loss"});
  auto& floors =
      demo.table("loss_floors", {"V", "smoothing", "floor of the loss", "p there", "logit gap there"});
  for (const double smoothing : {0., 0.1, 0.2, 0.3}) {
    const LabelSmoothingCrossEntropy criterion(smoothing, /*pad_id=*/-1);
    for (int i = 10; i < 200; ++i)
      curves.add(smoothing, i / 200., criterion(logits_with(i / 200., kVocab), first_class()).value().item());
  }
  for (const int64_t vocab : {5, 10, 100, 1000, 10000, 32000}) {
    // shown: loss_and_confidence
    // Descend until the gradient on the target's logit changes sign: there the loss is at its floor.
    const LabelSmoothingCrossEntropy criterion(/*smoothing=*/0.1, /*pad_id=*/-1);
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
  const auto run = [&](const SmoothedLoss& criterion) {
    const Variable logits(z, /*requires_grad=*/true), loss = criterion(logits, target);
    return std::pair(loss.value().to_vector<double>(), gradient_of(sum(loss), logits));
  };
  constexpr auto kRow = Reduction::none;
  const auto [ce, ce_gradient] = run(LabelSmoothingCrossEntropy(0.1, -1, Smoothing::uniform, kRow));
  const auto kl = run(LabelSmoothingLoss(kVocab, 0.1, -1, Smoothing::uniform, kRow));
  const auto printed = run(LabelSmoothingLoss(kVocab, 0.1, -1, Smoothing::as_printed, kRow));
  const auto nll = run(CrossEntropy({.reduction = kRow})).first;
  // end shown
  auto& rows = demo.table("kl_and_ce", {"listing", "nll", "CE", "KL", "CE - KL"});
  auto& summary = demo.table("kl_and_ce_summary",
                             {"the CE listing against", "CE - KL is between", "gradients differ by"});
  for (const auto& [name, other] : {std::pair("KL, uniform", kl), std::pair("KL, as printed", printed)}) {
    std::vector<double> gaps;
    double worst = 0;
    for (size_t i = 0; i < ce.size(); ++i) {
      gaps.push_back(ce[i] - other.first[i]);
      rows.add(name, nll[i], ce[i], other.first[i], gaps[i]);
    }
    for (size_t i = 0; i < ce_gradient.size(); ++i)
      worst = std::max(worst, std::abs(ce_gradient[i] - other.second[i]));
    const auto [least, most] = std::ranges::minmax(gaps);
    summary.add(name, message(least, " and ", most), worst < 1e-12 ? "less than 1e-12" : message(worst));
  }
  demo.draw("scale", rows, {"listing", "CE", "KL", svg::Mark::points});
  demo.draw("closer", rows, {"listing", "nll", "CE - KL", svg::Mark::points});
  return demo;
}

void draw_wrong_word(Demo& demo) {
  auto& table = demo.table("penalty_pull", {"loss", "p of the wrong word", "gradient on its logit"});
  const auto add = [&](const std::string& name, const auto& loss) {
    for (double p = 1e-6; p < 0.011; p *= std::pow(10, 0.25)) {
      std::vector<double> z(10, std::log((1 - p) * 0.1 / 8));
      z[0] = std::log((1 - p) * 0.9), z[1] = std::log(p);
      const Variable logits(Tensor::from(z, {1, 10}), /*requires_grad=*/true);
      table.add(name, p, gradient_of(loss(logits, first_class()), logits)[1]);
    }
  };
  const CrossEntropy hard;
  add("hard", hard);
  add("smoothing 0.1", LabelSmoothingCrossEntropy(0.1, /*pad_id=*/-1));
  add("penalty 1", [&](const auto& z, const auto& y) { return hard(z, y) + ConfidencePenalty()(z, y); });
  demo.draw("pull", table, {"loss", "p of the wrong word", "gradient on its logit", svg::Mark::line, true});
}

void draw_targets(Demo& demo) {
  const Tensor counts = Tensor::from(std::vector<double>{0, 15, 8, 3, 3, 1}, {6});
  const Tensor weight = Tensor::from(std::vector<double>{1, 0.25, 1 / 3., 0.5, 0.5, std::sqrt(0.5)}, {6});
  auto& table = demo.table("targets_of_variants", {"loss", "class", "weight"});
  const auto add = [&](const std::string& name, const SmoothedLoss& loss) {
    const std::vector<double> q = target_of(loss, /*vocab=*/6, /*y=*/3);
    for (size_t j = 0; j < q.size(); ++j) table.add(name, kClasses[j], q[j]);
  };
  constexpr auto kSum = Reduction::sum;
  add("uniform", LabelSmoothingCrossEntropy(0.3, /*pad_id=*/0, Smoothing::uniform, kSum));
  add("others_not_pad", LabelSmoothingCrossEntropy(0.3, 0, Smoothing::others_not_pad, kSum));
  const CrossEntropyOptions common{.smoothing = 0.3, .pad_id = 0, .reduction = kSum};
  CrossEntropyOptions unigram = common, per_target = common, per_class = common;
  unigram.prior = unigram_prior(counts);
  per_target.class_weight = per_class.class_weight = weight;
  per_class.weighting = ClassWeighting::per_class;
  add("unigram", CrossEntropy(unigram));
  add("per_target", CrossEntropy(per_target));
  add("per_class", CrossEntropy(per_class));
  demo.draw("targets", table, {"loss", "class", "weight", svg::Mark::cells});
}

}  // namespace gradus::examples::lab
