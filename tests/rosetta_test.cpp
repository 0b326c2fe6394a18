// "Label smoothing 0.1" in other libraries, losses/ROSETTA.md: what each one really answered, stored in
// fixtures/rosetta.safetensors, is what the named loss of gradus gives; and the formulas that were read in a
// library's source are its conventions.
#include <functional>

#include "fixture.h"
#include "losses/label_smoothing.h"

using namespace gradus;
using namespace gradus::compare;
using losses::CrossEntropy, losses::LabelSmoothingLoss, losses::Reduction, losses::Smoothing;

namespace {

constexpr double kEps = 0.1;
constexpr int64_t kRows = 6, kVocab = 7;
using Loss = std::function<Variable(const Variable& logits, const Tensor& target)>;

// The loss, and the gradient of its sum, within 1e-6 of what a library gave: some compute in float32.
void check_answer(const Fixture& f, const std::string& name, const Loss& loss, const Tensor& target) {
  INFO(name);
  const Variable logits = f.leaf("x.logits");
  const Variable y = loss(logits, target);
  sum(y).backward();
  const Tensor expected = f[name + "y"];
  const bool is_nan = std::isnan(values(expected)[0]);
  if (is_nan) CHECK(y.item() == 0);  // the mean of nothing
  else CHECK(distance(y.value().reshape(expected.shape()), expected) <= 1e-6);
  CHECK(distance(logits.grad(), f[name + "g.logits"]) <= 1e-6);
}

Tensor all_padding() { return ints(std::vector<int32_t>(kRows, 0)); }

}  // namespace

TEST_CASE("rosetta: the answers of other libraries, with and without padding, are those of a named loss") {
  const Fixture f("rosetta");
  const CrossEntropy mean_of_tokens({.smoothing = kEps, .pad_id = 0});
  const CrossEntropy mean_of_rows({.smoothing = kEps});
  const CrossEntropy rows({.smoothing = kEps, .reduction = Reduction::none});
  const CrossEntropy total({.smoothing = kEps, .reduction = Reduction::sum});
  const LabelSmoothingLoss divergence(kVocab, kEps, 0, Smoothing::others_not_pad, Reduction::sum);
  const std::pair<const char*, Loss> cases[] = {
      {"torch", mean_of_tokens},
      {"mindspore", mean_of_tokens},
      {"liger", mean_of_tokens},
      {"tensorflow", mean_of_tokens},
      {"timm", mean_of_rows},
      {"keras", mean_of_rows},
      {"optax", rows},
      {"mlx", rows},
      {"joeynmt", divergence},
      // asked to ignore class 0 it counts those rows, and divides by all V entries of each row's target
      {"paddle", [&](const Variable& z, const Tensor& y) { return total(z, y) / (1. * kRows * kVocab); }}};
  for (const auto& [name, loss] : cases) {
    check_answer(f, std::string(name) + ".", loss, f["x.target"]);
    check_answer(f, std::string(name) + ".empty.", loss, all_padding());
  }
}

TEST_CASE("rosetta: Hugging Face's LabelSmoother, whose padding is -100") {
  const Fixture f("rosetta");
  const CrossEntropy criterion({.smoothing = kEps, .pad_id = -100});
  const auto with_their_padding = [](const Tensor& target) {
    std::vector<int32_t> ids = target.to_vector<int32_t>();
    std::replace(ids.begin(), ids.end(), 0, -100);
    return ints(ids);
  };
  check_answer(f, "transformers.", criterion, with_their_padding(f["x.target"]));
  check_answer(f, "transformers.empty.", criterion, with_their_padding(all_padding()));
}

TEST_CASE("rosetta: class weights of PyTorch and MindSpore are per_class") {
  const Fixture f("rosetta");
  const CrossEntropy criterion({.smoothing = kEps,
                                .pad_id = 0,
                                .class_weight = f["x.weight"],
                                .weighting = losses::ClassWeighting::per_class});
  for (const std::string name : {"torch", "mindspore"})
    check_answer(f, name + ".weighted.", criterion, f["x.target"]);
}

TEST_CASE("rosetta: Paddle weighs a row by the weight that its smoothed target expects") {
  const Fixture f("rosetta");
  const CrossEntropy rows({.smoothing = kEps, .reduction = Reduction::none});
  const std::vector<double> class_weight = f["x.weight"].to_vector<double>();
  double mean_weight = 0;
  for (double w : class_weight) mean_weight += w / kVocab;
  std::vector<double> weights;
  double sum_of_weights = 0;
  for (int32_t y : f["x.target"].to_vector<int32_t>()) {
    weights.push_back((1 - kEps) * class_weight[static_cast<size_t>(y)] + kEps * mean_weight);
    sum_of_weights += weights.back();
  }
  const Tensor row_weight = Tensor::from(weights, {kRows});
  check_answer(
      f, "paddle.weighted.",
      [&](const Variable& z, const Tensor& y) {
        return sum(rows(z, y) * row_weight) / (kVocab * sum_of_weights);
      },
      f["x.target"]);
}

TEST_CASE("rosetta: formulas read in the source of a library are conventions of gradus") {
  // q as it is written there, filled in over all classes; rows whose target is 0 do not count.
  const double v = kVocab;
  const struct {
    const char* name;
    double on, off;
    bool pad_column, subtracts_entropy;
    Smoothing convention;
  } cases[] = {{"fairseq", 1 - kEps, kEps / (v - 1), true, false, Smoothing::others},
               {"tensor2tensor", 1 - kEps, kEps / (v - 1), true, true, Smoothing::others},
               {"Flax, WMT example", 1 - kEps, kEps / (v - 1), true, true, Smoothing::others},
               {"Annotated Transformer", 1 - kEps, kEps / (v - 2), false, true, Smoothing::others_not_pad},
               {"OpenNMT-py", 1 - kEps + kEps / v, kEps / v, true, false, Smoothing::uniform},
               {"Marian", 1 - kEps + kEps / v, kEps / v, true, false, Smoothing::uniform}};
  const Fixture f("rosetta");
  const std::vector<double> log_p = log_softmax(f["x.logits"]).to_vector<double>();
  const std::vector<int32_t> target = f["x.target"].to_vector<int32_t>();
  for (const auto& c : cases) {
    INFO(c.name);
    double expected = 0;
    for (size_t i = 0; i < target.size(); ++i)
      for (size_t j = 0; j < kVocab && target[i] != 0; ++j) {
        const double q = static_cast<size_t>(target[i]) == j ? c.on : j == 0 && !c.pad_column ? 0 : c.off;
        if (q > 0) expected += q * ((c.subtracts_entropy ? std::log(q) : 0) - log_p[i * kVocab + j]);
      }
    const Tensor logits = f["x.logits"];
    const Variable y =
        c.subtracts_entropy
            ? LabelSmoothingLoss(kVocab, kEps, 0, c.convention, Reduction::sum)(logits, f["x.target"])
            : losses::LabelSmoothingCrossEntropy(kEps, 0, c.convention, Reduction::sum)(logits,
                                                                                        f["x.target"]);
    CHECK(y.item() == near(expected));
  }
}
