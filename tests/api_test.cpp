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

TEST_CASE("api: losses are values") {
  const Tensor logits = Tensor::zeros({2, 5}), target = Tensor::from({1, 0}, {2});
  const losses::CrossEntropy plain;
  CHECK(plain(logits, target).item() == doctest::Approx(std::log(5)));  // class 0 counts
  const Tensor w1 = Tensor::ones({5}), prior = Tensor::full({5}, 0.2);
  const losses::CrossEntropy all({.smoothing = 0.1,
                                  .pad_id = 0,
                                  .convention = losses::Smoothing::uniform,
                                  .reduction = losses::Reduction::sum,
                                  .class_weight = w1,
                                  .weighting = losses::ClassWeighting::per_class});
  CHECK(all(logits, target).item() == doctest::Approx(std::log(5)));
  CHECK(losses::CrossEntropy({.smoothing = 0.1, .prior = prior})(logits, target).item() ==
        doctest::Approx(std::log(5)));
  CHECK(losses::LabelSmoothingLoss(5, 0.1, 0)(logits, target).item() ==
        doctest::Approx(std::log(5) + 0.92 * std::log(0.92) + 4 * 0.02 * std::log(0.02)));
  CHECK(losses::LabelSmoothingCrossEntropy(0.1, 0)(logits, target).item() == doctest::Approx(std::log(5)));
  losses::TranslationLoss(5, 0, 0.1);
  CHECK(losses::ConfidencePenalty(/*pad_id=*/0, losses::Reduction::mean)(logits, target).item() ==
        doctest::Approx(-std::log(5)));
  CHECK(losses::accuracy(logits, target, /*pad_id=*/-1) == 0.5);
  const Tensor ignored = Tensor::from({1, -100}, {2});
  CHECK(losses::CrossEntropy({.pad_id = -100})(logits, ignored).item() == doctest::Approx(std::log(5)));
  CHECK(contains(error_of([&] { plain(logits, ignored); }), "id -100"));
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
