// The public names, in the spelling that a program of somebody else's uses, and the values that they give:
// one line of use for each, on the CPU.
#include <thread>

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "losses/cross_entropy.h"
#include "losses/label_smoothing.h"
#include "losses/translation_loss.h"
#include "losses/variants.h"
#include "nn/sequential.h"
#include "nn/summary.h"
#include "nn/transformer.h"
#include "optim/adam.h"
#include "optim/sgd.h"
#include "tests/api_operations.h"
#include "tests/compare.h"

using namespace gradus;
using gradus::compare::contains;
using gradus::compare::error_of;
using namespace gradus::tests::api;

TEST_CASE("api: Tensors are made from lists, and Tensors and Variables have the same operations") {
  const Tensor t = Tensor::from({1.f, 2.f, 3.f, 4.f}, {2, 2});
  CHECK(Tensor::from({1., 2.}, {2}).dtype() == DType::f64);
  CHECK(Tensor::from({1, 2}, {2}).dtype() == DType::i32);
  near(values(Tensor::ones({2})), {1, 1});
  near(values(Tensor::zeros({2})), {0, 0});
  near(values(Tensor::arange(4)), {0, 1, 2, 3});
  CHECK(Tensor::arange(4).dtype() == DType::i32);
  CHECK(t.at({0, 1}) == 2);
  check_operations(Device::cpu);
  static_assert(std::is_same_v<decltype(t + 1.0), Tensor> &&
                std::is_same_v<decltype(Variable(t) * t), Variable>);
  const Tensor ids = Tensor::arange(3);
  CHECK(contains(error_of([&] { ids + 1; }), ".to("));
  CHECK(values(concat({slice(ids, 0, 1, 3), rows(ids, 0, 1)}, 0)) == Numbers{1, 2, 0});
}

TEST_CASE("api: gradients") {
  const Variable w(Tensor::from({1.f, 2.f}, {2}), /*requires_grad=*/true);
  const Variable h = w * w;
  h.retain_grad();
  sum(h).backward();
  near(values(h.grad()), {1, 1});
  near(values(w.grad()), {2, 4});
  w.set_requires_grad(false);
  CHECK(!(w * w).requires_grad());
  CHECK(error_of([&] { h.set_requires_grad(false); }) != "");
  w.set_requires_grad(true);
  Variable leaf = w;
  CHECK(error_of([&] { leaf += w; }) != "");
  const Variable y = exp(w);
  y.value().assign(Tensor::zeros({2}));
  CHECK(contains(error_of([&] { sum(y).backward(); }), "exp"));
}

namespace {

struct Mlp : nn::Module {
  nn::Linear a{2, 64}, b{64, 2};
  Variable scale = nn::parameter({64}, 1);
  void members(nn::Visitor& visit) override {
    visit("a", a);
    visit("b", b);
    visit("scale", scale);
  }
  Variable operator()(const Variable& x) { return b(relu(a(x)) * scale); }
};

}  // namespace

TEST_CASE("api: modules") {
  Mlp net;
  CHECK(net.parameter_count() == 2 * 64 + 64 + 2 * 64 + 2 + 64);
  nn::Sequential mlp(nn::Linear(2, 64), nn::Relu(), nn::Dropout(0.1), nn::Linear(64, 2));
  const Tensor t = Tensor::ones({3, 2});
  CHECK(mlp(t).shape() == Shape{3, 2});
  CHECK(net(t).shape() == Shape{3, 2});
  mlp.init(/*seed=*/1);
  const auto& fixed = mlp;
  CHECK(fixed.parameters().size() == 4);
  CHECK(fixed.state().contains("3.bias"));
  CHECK(fixed.parameter_count() == 2 * 64 + 64 + 2 * 64 + 2);
  CHECK(mlp.parameters("0.").size() == 2);
  CHECK(error_of([&] { mlp.parameters("9."); }) != "");

  const std::map<std::string, Tensor> best = mlp.snapshot();
  optim::Sgd sgd(mlp.parameters(), {.lr = 1});
  sum(mlp(t)).backward();
  sgd.step();
  CHECK(values(mlp.state().at("3.bias")) != values(best.at("3.bias")));
  mlp.load(best);
  near(values(mlp.state().at("3.bias")), values(best.at("3.bias")));
  mlp.set_requires_grad(false);
  CHECK(!mlp(t).requires_grad());
  const std::string table = nn::summary(mlp);
  CHECK(contains(table, "0.weight"));
  CHECK(contains(table, "total"));

  nn::EncoderLayer block({.d_model = 32, .heads = 4, .ff = 64});
  const Variable v(Tensor::ones({2, 5, 32}));
  CHECK(block(v, Tensor::from({5, 3}, {2}), /*causal=*/true).shape() == Shape{2, 5, 32});
  CHECK(contains(error_of([&] { block(v, Tensor::from({6, 3}, {2})); }), "length 6"));
  CHECK(contains(error_of([&] { mlp.to(DType::i32); }), "i32"));
}

// The losses of a few rows by their formulas: -sum_j q_j ln p_j.
struct ByFormula {
  std::vector<std::vector<double>> logits;

  double log_p(size_t row, size_t j) const {
    double total = 0;
    for (const double z : logits[row]) total += std::exp(z);
    return logits[row][j] - std::log(total);
  }
  double loss(size_t row, const std::vector<double>& q) const {
    double sum = 0;
    for (size_t j = 0; j < q.size(); ++j) sum -= q[j] == 0 ? 0 : q[j] * log_p(row, j);
    return sum;
  }
};

TEST_CASE("api: losses are values") {
  const ByFormula formula{{{1, 2, 4, 0, -1}, {0.5, -1, 3, 2, 1}}};
  const Tensor logits = Tensor::from({1.f, 2.f, 4.f, 0.f, -1.f, 0.5f, -1.f, 3.f, 2.f, 1.f}, {2, 5});
  const Tensor target = Tensor::from({1, 0}, {2});
  const double first = formula.loss(0, {0, 1, 0, 0, 0}), second = formula.loss(1, {1, 0, 0, 0, 0});
  const losses::CrossEntropy plain;
  CHECK(plain(logits, target).item() == doctest::Approx((first + second) / 2));  // class 0 counts
  const Tensor w1 = Tensor::from({1.f, 2.f, 3.f, 4.f, 5.f}, {5}),
               prior = Tensor::from({.1f, .2f, .3f, .4f, 0.f}, {5});
  const losses::CrossEntropy all({.smoothing = 0.1,
                                  .pad_id = 0,
                                  .convention = losses::Smoothing::uniform,
                                  .reduction = losses::Reduction::sum,
                                  .class_weight = w1,
                                  .weighting = losses::ClassWeighting::per_class});
  double weighted = 0.9 * 2 * first;  // PyTorch's: each class's term has the weight of that class
  for (size_t j = 0; j < 5; ++j) weighted -= 0.1 / 5 * static_cast<double>(j + 1) * formula.log_p(0, j);
  CHECK(all(logits, target).item() == doctest::Approx(weighted));
  CHECK(losses::CrossEntropy({.smoothing = 0.1, .pad_id = 0, .prior = prior})(logits, target).item() ==
        doctest::Approx(formula.loss(0, {.01, .92, .03, .04, 0})));
  // The chapter's: the divergence, which leaves out the entropy of the smoothed labels.
  const std::vector<double> smoothed{.02, .92, .02, .02, .02};
  double entropy = 0;
  for (const double q : smoothed) entropy -= q == 0 ? 0 : q * std::log(q);
  CHECK(losses::LabelSmoothingLoss(5, 0.1, 0)(logits, target).item() ==
        doctest::Approx(formula.loss(0, smoothed) - entropy));
  CHECK(losses::LabelSmoothingCrossEntropy(0.1, 0)(logits, target).item() ==
        doctest::Approx(formula.loss(0, {.02, .92, .02, .02, .02})));
  const Tensor sentence = concat({Tensor::from({0}, {1}), target}, 0).reshape({1, 3});  // with a first token
  CHECK(losses::TranslationLoss(5, 0, 0.1)(reshape(logits, {1, 2, 5}), sentence).loss.item() ==
        doctest::Approx(formula.loss(0, {.02, .92, .02, .02, .02})));
  std::vector<double> p;
  for (size_t j = 0; j < 5; ++j) p.push_back(std::exp(formula.log_p(0, j)));
  CHECK(losses::ConfidencePenalty(/*pad_id=*/0, losses::Reduction::mean)(logits, target).item() ==
        doctest::Approx(-formula.loss(0, p)));
  CHECK(losses::accuracy(logits, target, /*pad_id=*/-1) == 0);
  CHECK(losses::accuracy(logits, Tensor::from({2, 0}, {2}), /*pad_id=*/-1) == 0.5);
  const Tensor ignored = Tensor::from({1, -100}, {2});
  CHECK(losses::CrossEntropy({.pad_id = -100})(logits, ignored).item() == doctest::Approx(first));
  CHECK(contains(error_of([&] { plain(logits, ignored); }), "id -100"));
  const Tensor minus_one = Tensor::from({1, -1}, {2});
  CHECK(contains(error_of([&] { plain(logits, minus_one); }), "id -1 at row"));
  CHECK(losses::CrossEntropy({.pad_id = -1})(logits, minus_one).item() == doctest::Approx(first));
  static_assert(!std::is_constructible_v<losses::CrossEntropy, double>);
  static_assert(!std::is_constructible_v<losses::LabelSmoothingLoss, int, int, double>);
  static_assert(!std::is_constructible_v<losses::LabelSmoothingCrossEntropy, int, double>);
}

TEST_CASE("api: optimisers") {
  nn::Sequential mlp(nn::Linear(2, 4), nn::Relu(), nn::Dropout(0.1), nn::Linear(4, 2));
  optim::AdamW adamw(mlp.parameters(), {.lr = 1e-3});
  optim::Adam groups({{.parameters = mlp.parameters("0."), .lr_scale = 0.1},
                      {.parameters = mlp.parameters("3."), .weight_decay = 0.1}},
                     {.lr = 1e-2});
  groups.set_lr(1e-3);
  CHECK(groups.lr() == 1e-3);
  mlp.to(DType::f64);  // after they were made
  const Numbers before = values(mlp.state().at("0.weight"));
  groups.zero_grad();
  sum(mlp(Tensor::ones({3, 2}, DType::f64))).backward();
  groups.clip_gradients(1.0);
  groups.step();
  adamw.step();
  CHECK(values(mlp.state().at("0.weight")) != before);
  auto state = groups.state();
  CHECK(state.size() == 4 * 3 + 2);
  groups.set_lr(5);
  groups.load(state);  // it shares
  CHECK(groups.lr() == 5);
  const auto kept = groups.snapshot();
  groups.set_lr(7);
  groups.load(kept);
  CHECK(groups.lr() == 5);
  const Variable w(Tensor::ones({2, 2}), true);
  CHECK(contains(error_of([&] { optim::Sgd({{"a", w}, {"b", w}}); }), "share elements"));
  w.set_requires_grad(false);
  CHECK(error_of([&] { optim::Sgd({{"a", w}}); }) != "");
}
