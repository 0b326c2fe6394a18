// The museum, first room: public reports of wrong losses, targets, masks and means. See public_bugs.h.
#include "public_bugs.h"

#include "losses/translation_loss.h"
#include "optim/sgd.h"

using namespace gradus;
using namespace gradus::compare;
using losses::CrossEntropy, losses::Reduction, losses::Smoothing;
using Row = std::vector<double>;

namespace {

constexpr double kEps = 0.1;

// Three tokens, four classes. Most tests leave the third out, as padding.
const Row kToken0 = {2, -1, 0.5, 0}, kToken1 = {0.3, 0.1, -2, 1.5}, kToken2 = {-0.7, 2, 0, 1};
constexpr size_t kTarget0 = 1, kTarget1 = 3, kTarget2 = 2;

Tensor logits() { return concat({row(kToken0), row(kToken1), row(kToken2)}, 0); }

double p_of(const Row& z, size_t y) {
  double total = 0;
  for (double x : z) total += std::exp(x);
  return std::exp(z[y]) / total;
}
double nll(const Row& z, size_t y) { return -std::log(p_of(z, y)); }
double uniform_part(const Row& z) {
  double mean = 0;
  for (size_t j = 0; j < z.size(); ++j) mean += nll(z, j) / static_cast<double>(z.size());
  return mean;
}
double smoothed(const Row& z, size_t y) { return (1 - kEps) * nll(z, y) + kEps * uniform_part(z); }

// The entry for the target class of the q towards which a loss pulls, where q sums to 1: p - gradient, at
// logits of 0.
double q_of_target(const CrossEntropy& criterion, int64_t vocab) {
  const Variable z(Tensor::zeros({1, vocab}, DType::f64), /*requires_grad=*/true);
  criterion(z, ints({0})).backward();
  return 1. / static_cast<double>(vocab) - values(z.grad())[0];
}

}  // namespace

TEST_CASE("pytorch/pytorch#73205: the uniform part of the loss counts ignored rows") {
  const double kept = smoothed(kToken0, kTarget0) + smoothed(kToken1, kTarget1);
  const CrossEntropy criterion({.smoothing = kEps, .pad_id = -100});
  check_bug(criterion(logits(), ints({kTarget0, kTarget1, -100})).item(), kept / 2,
            (kept + kEps * uniform_part(kToken2)) / 2);
}

TEST_CASE("tracel-ai/burn#5568: padding stays in the divisor of the mean") {
  const Variable z = concat({row({0, 0}), row({3, 0})}, 0);
  check_bug(CrossEntropy({.pad_id = 0})(z, ints({1, 0})).item(), std::log(2.), std::log(2.) / 2);
}

TEST_CASE("PaddlePaddle/Paddle#48663: rows of the default id -100 stay in the divisor") {
  const double kept = nll(kToken0, kTarget0) + nll(kToken1, kTarget1);
  check_bug(CrossEntropy({.pad_id = -100})(logits(), ints({kTarget0, kTarget1, -100})).item(), kept / 2,
            kept / 3);
}

TEST_CASE("awslabs/sockeye#200: the padding mask is inverted") {
  const double kept = smoothed(kToken0, kTarget0) + smoothed(kToken1, kTarget1);
  const CrossEntropy criterion({.smoothing = kEps, .pad_id = 0, .reduction = Reduction::sum});
  check_bug(criterion(logits(), ints({kTarget0, kTarget1, 0})).item(), kept, smoothed(kToken2, 0));
}

TEST_CASE("pytorch/pytorch#70348: a batch of nothing but padding has loss NaN") {
  const double sum_of_losses = 0, rows = 0;
  const Variable z(logits(), /*requires_grad=*/true);
  const Variable loss = CrossEntropy({.smoothing = kEps, .pad_id = 0})(z, ints({0, 0, 0}));
  loss.backward();
  check_bug(loss.item(), 0, sum_of_losses / rows);
  CHECK(largest(values(z.grad())) == 0);
}

TEST_CASE("nyu-mll/jiant#925: class 0 is left out, as if it were padding") {
  const double right = (nll(kToken0, 0) + nll(kToken1, kTarget1) + nll(kToken2, kTarget2)) / 3;
  check_bug(CrossEntropy()(logits(), ints({0, kTarget1, kTarget2})).item(), right,
            (nll(kToken1, kTarget1) + nll(kToken2, kTarget2)) / 2);
}

TEST_CASE("pytorch/pytorch#104776: a class weight draws probability to the wrong class") {
  // Of a row with target 0 the smoothed target is q. A weight per target leaves the optimum at p = q; weights
  // inside the sum move it to w q / sum(w q), where class 2 is the most probable.
  const Row w = {1, 1, 1000}, q = {1 - kEps + kEps / 3, kEps / 3, kEps / 3};
  const double total = w[0] * q[0] + w[1] * q[1] + w[2] * q[2];
  const auto gradient_at = [&](const Row& p, losses::ClassWeighting weighting) {
    Row z;
    for (double x : p) z.push_back(std::log(x));
    const Variable leaf(row(z), /*requires_grad=*/true);
    const CrossEntropy criterion(
        {.smoothing = kEps, .class_weight = Tensor::from(w, {3}), .weighting = weighting});
    criterion(leaf, ints({0})).backward();
    return largest(values(leaf.grad()));
  };
  const Row wrong = {w[0] * q[0] / total, w[1] * q[1] / total, w[2] * q[2] / total};
  CHECK(wrong[2] > 0.9);
  CHECK(gradient_at(q, losses::ClassWeighting::per_target) < 1e-12);
  CHECK(gradient_at(wrong, losses::ClassWeighting::per_target) > 0.1);
  CHECK(gradient_at(wrong, losses::ClassWeighting::per_class) < 1e-12);  // PyTorch's meaning, by that name
}

TEST_CASE("pytorch/pytorch#148884: with two classes smoothing 0.1 asks for 0.95, and 0.9 was expected") {
  check_bug(q_of_target(CrossEntropy({.smoothing = kEps}), 2), 1 - kEps + kEps / 2, 1 - kEps);
  check_bug(q_of_target(CrossEntropy({.smoothing = kEps, .convention = Smoothing::others}), 2), 1 - kEps,
            1 - kEps + kEps / 2);
}

TEST_CASE("fastai/fastai#1814: the factor of the hard part is 1 - eps c / (c - 1)") {
  check_bug(CrossEntropy({.smoothing = kEps})(row(kToken0), ints({kTarget0})).item(),
            smoothed(kToken0, kTarget0),
            (1 - kEps * 4 / 3) * nll(kToken0, kTarget0) + kEps * uniform_part(kToken0));
}

TEST_CASE("neulab/xnmt#186: the prediction is smoothed, and not the target") {
  check_bug(CrossEntropy({.smoothing = kEps})(row(kToken0), ints({kTarget0})).item(),
            smoothed(kToken0, kTarget0), -std::log((1 - kEps) * p_of(kToken0, kTarget0) + kEps / 4));
}

TEST_CASE("paiml/aprender#2199: each class gets (1 - eps) / C instead of eps / C") {
  const Row z = {2, 1, 0, -1, 0.5};
  const double wrong = (1 - kEps) * nll(z, 0) + (1 - kEps) * uniform_part(z);
  check_bug(CrossEntropy({.smoothing = kEps})(row(z), ints({0})).item(), 0.7244379, wrong, 1e-6);
  CHECK(wrong == near(2.383988, 1e-6));  // as reported
}

TEST_CASE("dice-group/dice-embeddings#433: the uniform part lacks its factor eps, so q is [1.4, 0.5]") {
  check_bug(q_of_target(CrossEntropy({.smoothing = kEps}), 2), 0.95, (1 - kEps) + 1. / 2);
}

TEST_CASE("eladhoffer/utils.pytorch#13: the target of two classes becomes (1 + eps) / 2") {
  check_bug(q_of_target(CrossEntropy({.smoothing = kEps}), 2), 1 - kEps + kEps / 2, (1 + kEps) / 2);
}

TEST_CASE("Thijsvanede/DeepCASE#8: eps / (V - 2) on V - 1 classes does not sum to 1") {
  // With p equal everywhere, and one class left out of both, the loss is sum(q) ln V.
  const double v = 5;
  const Tensor zeros = Tensor::zeros({1, 5}, DType::f64);
  const losses::LabelSmoothingCrossEntropy criterion(kEps, 0, Smoothing::others_not_pad);
  check_bug(criterion(zeros, ints({2})).item(), std::log(v),
            (1 - kEps + kEps * (v - 1) / (v - 2)) * std::log(v));
}

TEST_CASE("OpenNMT/OpenNMT-py#462: the perplexity is that of the smoothed loss") {
  const losses::TranslationLoss criterion(4, /*pad_id=*/-1, kEps);
  const auto out = criterion(logits().reshape({1, 3, 4}), ints({0, kTarget0, kTarget1, kTarget2}, {1, 4}));
  const double right = (nll(kToken0, kTarget0) + nll(kToken1, kTarget1) + nll(kToken2, kTarget2)) / 3;
  const double wrong =
      (smoothed(kToken0, kTarget0) + smoothed(kToken1, kTarget1) + smoothed(kToken2, kTarget2)) / 3;
  check_bug(out.sums.perplexity(), std::exp(right), std::exp(wrong));
  CHECK(out.loss.item() == near(wrong));  // which is the loss to descend
}

TEST_CASE("facebookresearch/ParlAI#623: the perplexity is a mean over batches, and depends on their size") {
  const losses::TranslationLoss criterion(4, /*pad_id=*/-1, 0);
  const Tensor z = logits();
  losses::LossSums sums;
  sums += criterion(z.rows(0, 1).reshape({1, 1, 4}), ints({0, kTarget0}, {1, 2})).sums;
  sums += criterion(z.rows(1, 3).reshape({1, 2, 4}), ints({0, kTarget1, kTarget2}, {1, 3})).sums;
  const double first = nll(kToken0, kTarget0), second = nll(kToken1, kTarget1) + nll(kToken2, kTarget2);
  check_bug(sums.perplexity(), std::exp((first + second) / 3), (std::exp(first) + std::exp(second / 2)) / 2);
}

TEST_CASE("huggingface/transformers#7546: the loss is a sum and grows with the batch") {
  const Tensor twice = concat({logits(), logits()}, 0);
  const double sum_of_rows =
      smoothed(kToken0, kTarget0) + smoothed(kToken1, kTarget1) + smoothed(kToken2, kTarget2);
  const CrossEntropy criterion({.smoothing = kEps});
  check_bug(criterion(twice, ints({kTarget0, kTarget1, kTarget2, kTarget0, kTarget1, kTarget2})).item(),
            sum_of_rows / 3, 2 * sum_of_rows);
}

namespace {

// d loss / d logit of the first token's target, over two micro-batches of one and two tokens.
double accumulated_gradient() {
  const Variable z(logits(), /*requires_grad=*/true);
  const CrossEntropy criterion({.smoothing = kEps, .reduction = Reduction::sum});
  criterion(rows(z, 0, 1), ints({kTarget0})).backward();
  criterion(rows(z, 1, 3), ints({kTarget1, kTarget2})).backward();
  optim::Sgd sgd({NamedParameter{"logits", z}});
  sgd.scale_gradients(1. / 3);
  return values(z.grad())[kTarget0];
}
double first_gradient() { return p_of(kToken0, kTarget0) - (1 - kEps + kEps / 4); }  // of its own loss

}  // namespace

TEST_CASE("huggingface/transformers#46731: each micro-batch is a mean, and their gradients are summed") {
  check_bug(accumulated_gradient(), first_gradient() / 3, first_gradient());
}

TEST_CASE("ml-explore/mlx-lm#1413: micro-batches count alike, whatever their number of tokens") {
  check_bug(accumulated_gradient(), first_gradient() / 3, first_gradient() / 2);
}

TEST_CASE("pytorch/pytorch#11752: the loss of two equal logits of 1e8 is 0") {
  const float large = 1e8f;
  const Tensor z = Tensor::full({1, 2}, large, DType::f32);
  volatile float log_sum = large + std::log(2.f);  // rounded to f32, where ln 2 is lost
  check_bug(CrossEntropy()(z, ints({1})).item(), std::log(2.), log_sum - large, 1e-6);
}

TEST_CASE("deeplearning4j/deeplearning4j#6039: softmax of large logits is NaN") {
  const float e = std::exp(1000.f);
  check_bug(values(softmax(Tensor::from({1000.f, 1000.f}, {1, 2})))[0], 0.5, e / (e + e));
}

TEST_CASE("FluxML/NNlib.jl#68: the gradient through 1 / p is NaN where p is 0") {
  const Row z = {-431, 279, 427};
  const Variable leaf(row(z), /*requires_grad=*/true);
  const Variable loss = CrossEntropy()(leaf, ints({0}));
  loss.backward();
  const double p = std::exp(z[0] - z[2]), slope = -1 / p;
  check_bug(values(leaf.grad())[0], -1, p * (slope - slope * p));
  CHECK(loss.item() == near(427 + 431));
}
