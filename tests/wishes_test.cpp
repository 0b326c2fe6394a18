// What a user of PyTorch writes first, line by line: the wish in PyTorch's spelling, ours beside it, and what
// PyTorch gives.
#include <sstream>

#include "autograd/ops.h"
#include "losses/cross_entropy.h"
#include "losses/label_smoothing.h"
#include "nn/sequential.h"
#include "nn/summary.h"
#include "nn/transformer.h"
#include "optim/adam.h"
#include "optim/sgd.h"
#include "tests/compare.h"

using namespace gradus;
using gradus::compare::error_of;
using Numbers = std::vector<double>;

namespace {

template <class X> Numbers numbers(const X& x) {
  if constexpr (std::is_base_of_v<Tensor, X>) return x.to(DType::f64).template to_vector<double>();
  else return x.value().to(DType::f64).template to_vector<double>();
}

int granted = 0;

template <class X> void wish(const char* pytorch, const X& ours, const Numbers& expected) {
  INFO(pytorch);
  const Numbers got = numbers(ours);
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-5));
  ++granted;
}
void wish(const char* pytorch, bool ours) {
  CHECK_MESSAGE(ours, pytorch);
  ++granted;
}

}  // namespace

TEST_CASE("wishes: what a user of PyTorch writes first compiles, and means what it means there") {
  granted = 0;
  const Tensor t = Tensor::from({1.f, 2.f, 3.f, 4.f}, {2, 2}), u = Tensor::ones({2, 2});
  const Variable v(t, true);
  const Variable w(Tensor::from({-2.f, 0.5f}, {2}), true);

  // making
  wish("torch.tensor([1., 2.])", Tensor::from({1.f, 2.f}, {2}), {1, 2});
  wish("torch.tensor([1, 2])", Tensor::from({1, 2}, {2}), {1, 2});
  wish("torch.tensor(list)", Tensor::from(std::vector<float>{1, 2}, {2}), {1, 2});
  wish("torch.zeros(2)", Tensor::zeros({2}), {0, 0});
  wish("torch.ones(2)", Tensor::ones({2}), {1, 1});
  wish("torch.full((2,), 7.)", Tensor::full({2}, 7), {7, 7});
  wish("torch.arange(3)", Tensor::arange(3), {0, 1, 2});
  wish("torch.zeros_like(x)", Tensor::zeros(t.shape()), {0, 0, 0, 0});
  wish("torch.randn(2, 3)", Generator(1).normal({2, 3}, 1).shape() == Shape{2, 3});
  wish("x.clone()", t.copy(), {1, 2, 3, 4});
  wish("x.float(), x.double()", t.to(DType::f64).dtype() == DType::f64);

  // arithmetic
  wish("x + 1.0", v + 1.0, {2, 3, 4, 5});
  wish("x + 1", v + 1, {2, 3, 4, 5});
  wish("1.0 - x", 1.0 - v, {0, -1, -2, -3});
  wish("x - 1", t - 1, {0, 1, 2, 3});
  wish("2 * x", 2 * t, {2, 4, 6, 8});
  wish("x * 2", v * 2, {2, 4, 6, 8});
  wish("x / 2", v / 2.0, {0.5, 1, 1.5, 2});
  wish("1 / x", 1 / t, {1, 0.5, 1. / 3, 0.25});
  wish("-x", -v, {-1, -2, -3, -4});
  wish("v + t", v + u, {2, 3, 4, 5});
  wish("t * v", u * v, {1, 2, 3, 4});
  wish("x - row", v - w, {3, 1.5, 5, 3.5});
  wish("x ** 2", pow(v, 2), {1, 4, 9, 16});
  wish("x ** 0.5", pow(t, 0.5), {1, std::sqrt(2), std::sqrt(3), 2});
  Tensor running = t;
  running += u;
  wish("t += u", running, {2, 3, 4, 5});
  running -= 1;
  wish("t -= 1", running, {1, 2, 3, 4});
  Variable chain = v * 1;
  chain *= 2;
  wish("v *= 2", chain, {2, 4, 6, 8});
  wish("t is not changed by it", t, {1, 2, 3, 4});

  // functions
  wish("torch.exp(t)", exp(t), {std::exp(1), std::exp(2), std::exp(3), std::exp(4)});
  wish("torch.log(v)", log(v), {0, std::log(2), std::log(3), std::log(4)});
  wish("torch.sqrt(t)", sqrt(t), {1, std::sqrt(2), std::sqrt(3), 2});
  wish("torch.tanh(v)", tanh(w), {std::tanh(-2), std::tanh(0.5)});
  wish("torch.sigmoid(v)", sigmoid(w), {1 / (1 + std::exp(2)), 1 / (1 + std::exp(-0.5))});
  wish("F.relu(v)", relu(w), {0, 0.5});
  wish("F.relu(t)", relu(w.value()), {0, 0.5});
  wish("F.gelu(v)", gelu(w), {-0.0455003, 0.345731});
  wish("F.silu(v)", silu(w), {-2 / (1 + std::exp(2)), 0.5 / (1 + std::exp(-0.5))});
  wish("v.abs()", abs(w), {2, 0.5});
  wish("v.clamp(-1, 1)", clamp(w, -1, 1), {-1, 0.5});

  // comparisons
  wish("x > 2", t > 2, {0, 0, 1, 1});
  wish("v >= 2", v >= 2.0, {0, 1, 1, 1});
  wish("x < y", t < u * 3, {1, 1, 0, 0});
  wish("x == y", t == u, {1, 0, 0, 0});
  wish("x != 1", v != 1, {0, 1, 1, 1});
  wish("(x > 2).float().mean()", mean((t > 2).to(DType::f32)), {0.5});
  wish("torch.where(x > 2, x, y)", where(t > 2, v, u), {1, 1, 3, 4});
  wish("torch.where(x > 2, x, 0.)", where(v > 2, v, 0.0), {0, 0, 3, 4});
  wish("x.masked_fill(x > 2, 0)", where(t > 2, 0.0, t), {1, 2, 0, 0});

  // reductions
  wish("x.sum()", sum(v), {10});
  wish("x.sum(0)", sum(v, 0), {4, 6});
  wish("x.sum(-1, keepdim=True)", sum(t, -1, true), {3, 7});
  wish("x.sum((0, 1))", sum(t, {0, 1}), {10});
  wish("x.mean()", mean(t), {2.5});
  wish("x.mean(-1)", mean(v, -1), {1.5, 3.5});
  wish("x.max()", max(t), {4});
  wish("x.max(-1).values", max(v, -1), {2, 4});
  wish("x.argmax(-1)", argmax(v, -1), {1, 1});
  wish("F.softmax(x, -1)", softmax(Tensor::zeros({1, 2}), -1), {0.5, 0.5});
  wish("F.softmax(x, 0)", softmax(Variable(u), 0), {0.5, 0.5, 0.5, 0.5});
  wish("F.log_softmax(x, -1)", log_softmax(u, -1), Numbers(4, std::log(0.5)));
  wish("x.norm()", sqrt(sum(t * t)), {std::sqrt(30)});
  wish("x.var(unbiased=False)", mean(pow(t - mean(t), 2)), {1.25});
  wish("F.mse_loss(x, y)", mean(pow(v - u, 2)), {3.5});

  // shapes
  wish("x.reshape(-1)", v.reshape({-1}), {1, 2, 3, 4});
  wish("x.view(4, -1)", t.reshape({4, -1}), {1, 2, 3, 4});
  wish("x.T", transpose(v), {1, 3, 2, 4});
  wish("x.permute(1, 0)", permute(t, {1, 0}), {1, 3, 2, 4});
  wish("x[:, 0:1]", slice(v, 1, 0, 1), {1, 3});
  wish("x[1:2]", rows(t, 1, 2), {3, 4});
  wish("x.chunk(2, -1)[1]", slice(t, -1, 1, 2), {2, 4});
  wish("torch.cat([t, t], 0)", concat({t, t}, 0), {1, 2, 3, 4, 1, 2, 3, 4});
  wish("torch.cat([v, t], -1)", concat({v, u}, -1), {1, 2, 1, 1, 3, 4, 1, 1});
  wish("torch.stack([a, b])", concat({w.reshape({1, -1}), w.reshape({1, -1})}, 0), {-2, 0.5, -2, 0.5});
  wish("x.unsqueeze(0)", v.reshape({1, 2, 2}), {1, 2, 3, 4});
  wish("a @ b", matmul(t, u), {3, 3, 7, 7});
  wish("a @ b.T", matmul(v, u, false, true), {3, 3, 7, 7});
  wish("x[0, 1].item()", t.at({0, 1}) == 2);
  wish("x[-1, -1].item()", t.at({-1, -1}) == 4);
  wish("x.shape, x.size(0)", v.shape() == Shape{2, 2} && v.shape()[0] == 2);
  wish("x.numel()", v.size() == 4);
  wish("loss.item()", sum(v).item() == 10);
  wish("table[ids]", embedding(t, Tensor::from({1, 0}, {2})), {3, 4, 1, 2});
  wish("F.embedding(ids, table), ids of rank 2", embedding(v, Tensor::from({1, 0}, {1, 2})), {3, 4, 1, 2});
  wish("F.one_hot(ids, 3)", Tensor::arange(3) == Tensor::from({2, 0}, {2, 1}), {0, 0, 1, 1, 0, 0});
  std::ostringstream out;
  out << v << t << (t > 2);
  wish("print(v)", out.str().starts_with("[[1, 2],\n [3, 4]]  f32 [2, 2]"));

  // gradients
  sum(pow(v, 2)).backward();
  wish("x.grad", v.grad(), {2, 4, 6, 8});
  v.zero_grad();
  wish("x.grad.zero_()", v.grad(), {0, 0, 0, 0});
  const Variable h = v * 2;
  h.retain_grad();
  sum(h * h).backward();
  wish("h.retain_grad(); h.grad", h.grad(), {4, 8, 12, 16});
  v.set_requires_grad(false);
  wish("x.requires_grad_(False)", !(v * 2).requires_grad());
  v.set_requires_grad(true);
  wish("x.detach()", !v.detach().requires_grad());
  {
    const NoGrad no_grad;
    wish("with torch.no_grad():", !(v * 2).requires_grad());
  }
  wish("w += 1 on a leaf: an error", error_of([&] {
                                       Variable leaf = v;
                                       leaf += 1;
                                     }) != "");

  // modules, losses, optimisers
  nn::Sequential net(nn::Linear(2, 8), nn::Gelu(), nn::Dropout(0.1), nn::LayerNorm(8), nn::Linear(8, 3));
  wish("nn.Sequential(..)(x)", net(t).shape() == Shape{2, 3});
  wish("sum(p.numel() for p in net.parameters())", net.parameter_count() == 24 + 16 + 27);
  wish("print(net)", message(net).find("4.weight") != std::string::npos);
  net.eval();
  wish("net.eval(); net.training", !net.training());
  wish("net.state_dict()", net.state().contains("0.weight"));
  const std::map<std::string, Tensor> best = net.snapshot();
  wish("net.load_state_dict(best)", error_of([&] { net.load(best); }).empty());
  net.to(DType::f64);
  wish("net.to(torch.float64)", net.parameters()[0].variable.dtype() == DType::f64);
  net.to(DType::f32);
  for (const auto& [name, parameter] : net.parameters("0.")) parameter.set_requires_grad(false);
  wish("net[0].requires_grad_(False)", !net.parameters()[0].variable.requires_grad());
  net.set_requires_grad(true);
  // The loss of class c in a row z is log(sum exp z) - z[c].
  const Tensor logits = Tensor::from({1.f, 2.f, 4.f, 0.5f, -1.f, 3.f}, {2, 3}),
               target = Tensor::from({0, 2}, {2});
  const double sum0 = std::log(std::exp(1) + std::exp(2) + std::exp(4));
  const double sum1 = std::log(std::exp(0.5) + std::exp(-1) + std::exp(3));
  const double first = sum0 - 1, second = sum1 - 3, of_all = (sum0 - 7. / 3 + sum1 - 2.5 / 3) / 2;
  wish("F.cross_entropy(logits, target)", losses::CrossEntropy()(logits, target), {(first + second) / 2});
  wish("label_smoothing=0.1", losses::CrossEntropy({.smoothing = 0.1})(logits, target),
       {0.9 * (first + second) / 2 + 0.1 * of_all});
  wish("ignore_index=-100", losses::CrossEntropy({.pad_id = -100})(logits, Tensor::from({0, -100}, {2})),
       {first});
  wish("weight=w",
       losses::CrossEntropy({.class_weight = Tensor::from({1.f, 2.f, 3.f}, {3}),
                             .weighting = losses::ClassWeighting::per_class})(logits, target),
       {(1 * first + 3 * second) / 4});
  wish("(logits.argmax(-1) == target).float().mean()", losses::accuracy(logits, target) == 0.5);
  optim::AdamW adamw(net.parameters(), {.lr = 1e-3});
  optim::Sgd sgd(
      {{.parameters = net.parameters("0."), .lr_scale = 0.1}, {.parameters = net.parameters("4.")}},
      {.lr = 0.1});
  wish("[{'params': .., 'lr': ..}, ..]", sgd.lr() == 0.1);
  adamw.zero_grad();
  losses::CrossEntropy()(net(t), target).backward();
  wish("clip_grad_norm_(net.parameters(), 1)", adamw.clip_gradients(1).item() > 0);
  adamw.step();
  adamw.set_lr(1e-4);
  wish("opt.param_groups[0]['lr'] = 1e-4", adamw.lr() == 1e-4);
  wish("opt.state_dict(); opt.load_state_dict(d)", error_of([&] { adamw.load(adamw.snapshot()); }).empty());
  nn::EncoderLayer block({.d_model = 8, .heads = 2, .ff = 16});
  wish("layer(x, is_causal=True)", block(Tensor::ones({1, 4, 8}), {}, true).shape() == Shape{1, 4, 8});
  MESSAGE(granted, " wishes granted");
  CHECK(granted >= 105);
}
