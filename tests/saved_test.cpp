// A gradient is right or it throws: what a rule saved and somebody changed since is refused, by name; what no
// rule saved may change.
#include <functional>

#include "compare.h"
#include "nn/layers.h"
#include "optim/sgd.h"

using namespace gradus;
using namespace gradus::compare;

namespace {

Variable leaf(const std::vector<double>& x) {
  return Variable(Tensor::from(x, {static_cast<int64_t>(x.size())}), true);
}

}  // namespace

TEST_CASE("saved: a loss walked after a step, where its rule saved the weights, is refused") {
  const Variable w = leaf({1, 2});
  optim::Sgd sgd({{"w", w}}, {.lr = 0.5});
  const Variable first = sum(w), second = sum(w * w);
  first.backward();
  sgd.step();
  CHECK(contains(error_of([&] { second.backward(); }), "mul: its gradient needs a tensor [2]"));
}

TEST_CASE("saved: a step changes every parameter that it holds, not the first alone") {
  const Variable u = leaf({1, 2}), w = leaf({1, 2});
  optim::Sgd sgd({{"u", u}, {"w", w}}, {.lr = 0.5});
  const Variable square = sum(w * w);
  sgd.step();
  CHECK(contains(error_of([&] { square.backward(); }), "mul: its gradient needs a tensor [2]"));
}

TEST_CASE("saved: what no rule saved may change") {
  const Variable w = leaf({1, 2}), other = leaf({3, 4});
  optim::Sgd sgd({{"w", w}}, {.lr = 0.5}), elsewhere({{"other", other}}, {.lr = 0.5});
  const Variable total = sum(w);
  w.grad().assign(ints({1, 1}).to(DType::f64));
  sgd.step();  // sum saved no values
  total.backward();
  CHECK(values(w.grad()) == std::vector<double>{2, 2});

  w.zero_grad();
  const Variable square = sum(w * w);
  elsewhere.step();  // another parameter
  other.value().assign(other.value() * 2);
  square.backward();
  CHECK(values(w.grad()) == values(w.value() * 2));

  w.zero_grad();
  const Variable product = w * other.detach();  // its slope by w reads `other` alone
  w.value().assign(w.value() * 3);
  sum(product).backward();
  CHECK(values(w.grad()) == values(other.value()));
}

TEST_CASE("saved: arguments and results that were overwritten, by the operation that needs them") {
  const Variable a(random({2, 3}, 1) * 0.5 + Tensor::full({}, 1, DType::f64), true);
  const Variable b(random({3, 2}, 2), true), row(random({3}, 3), true), k(random({2, 3}, 6), true),
      v(random({2, 3}, 7), true);
  const Tensor ids = ints({1, 0, 1});
  struct Case {
    const char* op;
    std::function<Variable()> f;
    const Variable* changed;  // one of a, b, row; nullptr: the result, or else this:
    Tensor constant = Tensor();
  };
  const Tensor target = ints({0, 1}), weight = random({3}, 5) * 0.1 + 1, prior = softmax(row.value()),
               lengths = ints({2}, {1}), mask = ints({1, 0, 1});
  const auto apart = [&] {  // queries, keys and values in tensors of their own
    const Shape s{1, 2, 3};
    return attention({reshape(a, s)}, {reshape(k, s)}, {reshape(v, s)},
                     {.d_model = 3, .heads = 1, .key_lengths = lengths});
  };
  CrossEntropyOutput last;  // its sums are what the mean divides by
  const auto weighted = [&] {
    last = cross_entropy(a, target, {.class_weight = weight});
    return last.loss;
  };

  const std::vector<Case> cases{
      {"exp", [&] { return exp(a); }, nullptr},
      {"sqrt", [&] { return sqrt(a); }, nullptr},
      {"sigmoid", [&] { return sigmoid(a); }, nullptr},
      {"relu", [&] { return relu(a); }, nullptr},
      {"log", [&] { return log(a); }, &a},
      {"gelu", [&] { return gelu(a); }, &a},
      {"mul", [&] { return a * row; }, &row},
      {"div", [&] { return a / row; }, &row},
      {"div", [&] { return a / row; }, nullptr},
      {"matmul", [&] { return matmul(a, b); }, &a},
      {"matmul", [&] { return matmul(a, b); }, &b},
      {"softmax", [&] { return softmax(a); }, nullptr},
      {"log_softmax", [&] { return log_softmax(a); }, nullptr},
      {"layer_norm", [&] { return layer_norm(a, row, row.detach()); }, &a},
      {"layer_norm", [&] { return layer_norm(a, row, row.detach()); }, &row},
      {"linear", [&] { return linear(a, a, {}); }, &a},
      {"attention",
       [&] {
         const Columns x{reshape(a, {1, 2, 3})};
         return attention(x, x, x, {.d_model = 3, .heads = 1});
       },
       &a},
      {"attention", apart, &a},
      {"attention", apart, &k},
      {"attention", apart, &v},
      {"attention", apart, nullptr},
      {"attention", apart, nullptr, lengths},
      {"linear", [&] { return linear(a, a, {}, Unary::relu); }, nullptr},
      {"cross_entropy", weighted, &a},
      {"cross_entropy", weighted, nullptr, target},
      {"cross_entropy", weighted, nullptr, weight},
      {"prior_cross_entropy", [&] { return prior_cross_entropy(a, prior, target, -1); }, &a},
      {"prior_cross_entropy", [&] { return prior_cross_entropy(a, prior, target, -1); }, nullptr, target},
      {"prior_cross_entropy", [&] { return prior_cross_entropy(a, prior, target, -1); }, nullptr, prior},
      {"where", [&] { return where(mask, a, 0.); }, nullptr, mask},
  };
  for (const Case& c : cases) {
    const Variable y = c.f(), loss = sum(y);
    const Tensor changed = c.constant ? c.constant : c.changed ? c.changed->value() : y.value();
    changed.assign(changed.copy());
    const std::string error = error_of([&] { loss.backward(); });
    INFO(c.op, ": ", error);
    CHECK(error.starts_with(message(c.op, ": its gradient needs a tensor [")));
    CHECK(contains(error, "changed after the forward pass"));
  }

  const Variable mean_loss = weighted();
  last.sums.assign(last.sums * 2);
  CHECK(contains(error_of([&] { mean_loss.backward(); }), "cross_entropy: its gradient needs a tensor [5]"));

  const Variable table(random({2, 3}, 4), true), looked_up = sum(embedding(table, ids));
  ids.assign(ints({0, 0, 0}));  // a batch that is read into the same tensor
  CHECK(contains(error_of([&] { looked_up.backward(); }), "embedding: its gradient needs a tensor [3]"));
}

TEST_CASE("saved: every way to change a block counts, through views as well") {
  const std::vector<std::pair<const char*, std::function<void(const Tensor&)>>> ways{
      {"assign", [](const Tensor& t) { t.assign(t.copy()); }},
      {"assign to a row", [](const Tensor& t) { t.rows(0, 1).assign(t.rows(1, 2).copy()); }},
      {"add_to", [](const Tensor& t) { add_to(t, t.copy()); }},
      {"mark_changed", [](const Tensor& t) { t.mark_changed(); }},
  };
  for (const auto& way : ways) {
    INFO(way.first);
    const Variable x = leaf({1, 2});
    const Variable loss = sum(x * x);
    way.second(x.value());
    CHECK(error_of([&] { loss.backward(); }) != "");
  }
  const Variable x = leaf({1, 2});
  const Variable loss = sum(x * x);
  const Tensor copy = x.value().copy(), cast = x.value().to(DType::f32);
  copy.assign(copy * 0);  // another block
  cast.assign(cast * 0);
  loss.backward();
  CHECK(values(x.grad()) == std::vector<double>{2, 4});
}

TEST_CASE("saved: modules that are loaded or drawn anew between forward and backward") {
  nn::Linear layer(2, 2);
  const std::map<std::string, Tensor> good = layer.snapshot();
  const Variable x(random({3, 2}, 1, DType::f32), true);
  for (const std::function<void()>& change :
       std::vector<std::function<void()>>{[&] { layer.load(good); }, [&] { layer.init(7); }}) {
    const Variable loss = sum(layer(x));
    change();
    CHECK(contains(error_of([&] { loss.backward(); }), "linear: its gradient needs a tensor [2, 2]"));
  }
}

TEST_CASE("saved: gradients change, too: cleared, scaled, clipped, added to by kernels") {
  const Variable w = leaf({1, 2});
  optim::Sgd sgd({{"w", w}}, {.lr = 0.5});
  const auto refused_after = [&](const std::function<void()>& change) {
    w.zero_grad();
    sum(w * 3.).backward();
    const Variable g(w.grad(), true), other = leaf({4, 6});
    const Variable loss = sum(g * other);
    change();
    return contains(error_of([&] { loss.backward(); }), "mul: its gradient needs a tensor [2]");
  };
  CHECK(refused_after([&] { sgd.zero_grad(); }));
  CHECK(refused_after([&] { w.zero_grad(); }));
  CHECK(refused_after([&] { sgd.scale_gradients(0.5); }));
  CHECK(refused_after([&] { sgd.clip_gradients(0.1); }));
  CHECK(refused_after([&] { sum(w * 2.).backward(); }));
  CHECK(refused_after([&] { sum(rows(w, 0, 1)).backward(); }));  // through buffer()

  const Variable y = w + w;
  w.zero_grad();
  sum(w).backward();
  y.backward(w.grad());  // the seed is the gradient that it adds to
  CHECK(values(w.grad()) == std::vector<double>{3, 3});
}

TEST_CASE("saved: a gradient that does not read a tensor does not mind that it changed") {
  const Variable x(random({2, 3}, 1), true), gain(random({3}, 2), true), bias(random({3}, 3), true);
  const auto normed = [&](const Variable& in, const Variable& g, const Variable& b) {
    return sum(layer_norm(in, g, b));
  };
  const Variable of_gain = normed(x.detach(), gain, bias);
  gain.value().assign(gain.value() * 2);  // dgain reads x alone
  CHECK_NOTHROW(of_gain.backward());
  const Variable of_bias = normed(x.detach(), gain.detach(), bias);
  x.value().assign(x.value() * 2);  // dbias reads neither
  CHECK_NOTHROW(of_bias.backward());
}

TEST_CASE("saved: a leaf that moved after the forward pass is told by name") {
  nn::Linear layer(2, 2);
  const Variable loss = sum(layer(Variable(random({3, 2}, 1, DType::f32))));
  layer.to(DType::f64);
  CHECK(contains(error_of([&] { loss.backward(); }), "linear: an input [2, 2] changed its dtype or device"));
}

TEST_CASE("saved: ids overwritten behind our back are refused before they lead astray") {
  const Variable table(Tensor::zeros({2, 3}), true), logits(Tensor::zeros({2, 3}), true);
  const Tensor ids = ints({0, 1});
  const auto refused = [&](const Variable& result, const char* words) {
    ids.data<int32_t>()[1] = 1 << 30;  // not counted: somebody wrote through data()
    CHECK(contains(error_of([&] { sum(result).backward(); }), words));
    ids.data<int32_t>()[1] = 1;
  };
  refused(embedding(table, ids), "embedding: id 1073741824 at row 0, position 1 is outside [0, 2)");
  refused(cross_entropy(logits, ids, {}).loss,
          "cross_entropy: id 1073741824 at row 0, position 1 is outside [0, 3)");
  CHECK(values(table.grad()) == std::vector<double>(6));
}
