// The tape: what is recorded and what is not, how gradients add up, what happens when tensors are shared,
// when memory is given back, and what is said when something is wrong.
#include <functional>
#include <sstream>

#include "autograd/gradcheck.h"
#include "autograd/graph.h"
#include "autograd/ops.h"
#include "compare.h"

using namespace gradus;
using namespace gradus::compare;

namespace {

Variable leaf(const std::vector<double>& x, Shape shape) { return Variable(Tensor::from(x, shape), true); }
Variable leaf(const std::vector<double>& x) { return leaf(x, {static_cast<int64_t>(x.size())}); }

// The identity, whose rule shows what it is given.
Variable probe(const Variable& x, std::function<void(const Tensor& dy)> look) {
  return record("probe", x.value().copy(), {x}, [look](const Tensor& dy, std::span<Gradient> d) {
    look(dy);
    d[0] += dy;
  });
}

double gradient_error(const std::function<Variable()>& f, const std::vector<Variable>& inputs) {
  std::vector<NamedParameter> named;
  for (const Variable& x : inputs) named.push_back({message("input ", named.size()), x});
  return gradcheck(f, named).error;
}

std::string anomaly_of(const std::function<void()>& f) {
  const AnomalyMode anomaly_mode;
  try {
    f();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

const CrossEntropySpec kPlain{.smoothing = 0.1};

Variable loss_of(const Variable& logits) {
  const int64_t n = logits.shape()[0];
  return cross_entropy(logits, {Tensor::full({1, n}, 1, DType::i32), 0, n}, kPlain).loss;
}

}  // namespace

TEST_CASE("autograd: what is recorded") {
  const Variable x = leaf({1, 2}), constant(Tensor::from<double>({3, 4}, {2}));
  CHECK((x * constant).requires_grad());
  CHECK_FALSE((constant * constant).requires_grad());
  CHECK_FALSE((x.detach() * constant).requires_grad());
  CHECK(x.detach().value().bytes() == x.value().bytes());
  {
    const NoGrad outer;
    CHECK_FALSE((x * x).requires_grad());
    { const NoGrad inner; }
    CHECK_FALSE((x * x).requires_grad());
    CHECK(leaf({1}).requires_grad());
  }
  CHECK((x * x).requires_grad());

  const Variable y = x * x;
  sum(y * y.detach()).backward();  // as if the second factor were a constant: 2x * x^2
  CHECK(values(x.grad()) == std::vector<double>{2, 16});
}

TEST_CASE("autograd: gradients of a leaf add up, in one block, until they are zeroed") {
  const Variable x = leaf({1, -2, 3});
  const Tensor grad = x.grad();
  CHECK(values(grad) == std::vector<double>(3));
  for (int times = 1; times <= 3; ++times) {
    sum(x * 2).backward();
    CHECK(values(grad) == std::vector<double>(3, 2 * times));
    CHECK(x.grad().bytes() == grad.bytes());
  }
  x.zero_grad();
  CHECK(values(grad) == std::vector<double>(3));
  x.backward(Tensor::from<double>({5, 6, 7}, {3}));  // a leaf is its own output
  CHECK(values(grad) == std::vector<double>{5, 6, 7});
}

TEST_CASE("autograd: all copies of a leaf see it move, its gradient with it") {
  const Variable x = leaf({1, 2}), copy = x;
  sum(x * 3).backward();
  x.move_to(DType::f32, Device::cpu);
  CHECK(copy.value().dtype() == DType::f32);
  CHECK(copy.grad().dtype() == DType::f32);
  CHECK(values(copy.grad()) == std::vector<double>{3, 3});
  sum(copy * 2).backward();
  CHECK(values(x.grad()) == std::vector<double>{5, 5});
}

TEST_CASE("autograd: what is refused") {
  const Variable x = leaf({1, 2}), y = x * x, none;
  const Tensor three = Tensor::zeros({3}, DType::f64);
  CHECK(error_of([&] { y.backward(); }) == "backward: expected a scalar, got [2]; pass a seed of that shape");
  CHECK(error_of([&] { y.backward(three); }) == "backward: expected a seed f64 [2], got f64 [3]");
  CHECK(error_of([&] { y.backward(Tensor({2})); }) == "backward: expected a seed f64 [2], got f32 [2]");
  CHECK(contains(error_of([&] { sum(x.detach()).backward(); }), "backward: nothing here needs a gradient"));
  CHECK(contains(error_of([&] { y.grad(); }), "grad: only a leaf"));
  CHECK(contains(error_of([&] { x.detach().grad(); }), "grad: only a leaf"));
  CHECK(contains(error_of([&] { y.zero_grad(); }), "zero_grad: only a leaf"));
  CHECK(contains(error_of([&] { y.move_to(DType::f32, Device::cpu); }), "move_to: only what is no result"));
  CHECK(contains(error_of([&] { x.move_to(DType::i32, Device::cpu); }), "f32 or f64"));
  CHECK(error_of([] { Variable(ints({1}), true); }) ==
        "variable: only f32 and f64 have gradients, not i32 [1]");
  for (const std::function<void()>& use : std::vector<std::function<void()>>{
           [&] { x + none; }, [&] { exp(none); }, [&] { sum(none); }, [&] { rows(none, 0, 0); },
           [&] { none.shape(); }, [&] { none.detach(); }, [&] { none.backward(); }})
    CHECK(error_of(use) != "");
  CHECK(error_of([] { mean(leaf({}, {0, 3}), {0}); }) == "mean: of no elements, in [0, 3]");
}

TEST_CASE("autograd: a tape is walked once") {
  const Variable x = leaf({1, 2}), trunk = tanh(x), loss = sum(trunk * trunk), other = sum(exp(trunk));
  loss.backward();
  const std::string walked = " has been walked already; compute the loss again";
  CHECK(error_of([&] { loss.backward(); }) == "backward: the tape behind sum" + walked);
  CHECK(error_of([&] { other.backward(); }) == "backward: the tape behind tanh" + walked);
}

TEST_CASE("autograd: one tensor given to two inputs, one variable used twice") {
  const Variable x = random_leaf({3, 3}, 1), y = random_leaf({3, 3}, 2), g = random_leaf({3}, 3);
  const Variable packed = random_leaf({2, 3, 4}, 4);
  const std::vector<std::function<Variable()>> functions = {
      [&] { return x + x; },
      [&] { return x * x - x; },
      [&] { return (x + y) * (x + y) + x * 3; },
      [&] { return exp(x + y) * y + tanh(x) * x; },
      [&] { return matmul(x, x, true); },
      [&] { return matmul(x, y) + matmul(y, x, false, true) + x; },
      [&] { return reshape(x, {9}) * reshape(y, {9}) + reshape(x, {9}); },
      [&] { return rows(x, 0, 2) * rows(x, 1, 3) + rows(y, 0, 2); },
      [&] {
        return concat({x, y, x}, 1);
      },
      [&] { return linear(x, x, g) + linear(y, x, g, Unary::tanh); },
      [&] { return layer_norm(x, g, g); },
      [&] { return sum(x, {0}) * g + mean(x * g, {1}); },
      [&] {
        const Variable h = x * y;  // used by five rules, some of which hand on what they were given
        return h + reshape(h, {3, 3}) + permute(h, {1, 0}) + h * h + (h - y);
      },
      [&] { return attention({packed}, {packed}, {packed}, {.d_model = 4, .heads = 2, .causal = true}); },
  };
  for (size_t i = 0; i < functions.size(); ++i) {
    INFO("function ", i);
    CHECK(gradient_error(functions[i], {x, y, g, packed}) <= 1e-8);
  }
}

TEST_CASE("autograd: a gradient that is passed on is not written over") {
  // add hands one tensor to both inputs; what the older rule then adds to y's gradient must not reach u's.
  const Variable x = leaf({1, 2}), u = leaf({0, 0}), w = leaf({0, 0});
  const Variable y = x * 1, v = u * 1, scaled = y * 10, both = y + v;
  const Tensor seed = Tensor::from<double>({1, 1}, {2});
  (both + scaled + w).backward(seed);
  CHECK(values(u.grad()) == std::vector<double>{1, 1});
  CHECK(values(w.grad()) == std::vector<double>{1, 1});
  CHECK(values(x.grad()) == std::vector<double>{11, 11});
  CHECK(values(seed) == std::vector<double>{1, 1});

  const Variable z = leaf({5, 5});
  z.backward(seed);
  z.backward(seed);
  CHECK(values(z.grad()) == std::vector<double>{2, 2});
  CHECK(values(seed) == std::vector<double>{1, 1});
}

TEST_CASE("autograd: a rule that gives the wrong shape or dtype is found out") {
  const Variable x = leaf({1, 2});
  const auto with_gradient = [&](Tensor dx) {
    return record("odd", x.value().copy(), {x}, [dx](const Tensor&, std::span<Gradient> d) { d[0] += dx; });
  };
  const Tensor seed = Tensor::zeros({2}, DType::f64);
  CHECK(error_of([&] { with_gradient(Tensor::zeros({3}, DType::f64)).backward(seed); }) ==
        "odd: the gradient of an input f64 [2] on cpu came as f64 [3] on cpu");
  CHECK(error_of([&] { with_gradient(Tensor::zeros({2})).backward(seed); }) ==
        "odd: the gradient of an input f64 [2] on cpu came as f32 [2] on cpu");
  CHECK(error_of([&] { with_gradient({}).backward(seed); }) ==
        "odd: the gradient of an input f64 [2] on cpu came as an empty tensor [] on cpu");
}

TEST_CASE("autograd: a chain of 300,000 operations, walked and not") {
  const Variable x = leaf({1});
  for (bool walk : {true, false}) {
    Variable y = x;
    for (int i = 0; i < 300'000; ++i) y = -y;
    if (walk) sum(y).backward();
  }
  CHECK(x.grad().item() == 1);
}

TEST_CASE("autograd: activations are freed as backward walks, and nothing stays") {
  constexpr int64_t kElements = 1 << 14, kDepth = 20;
  const size_t block = kElements * sizeof(double);
  const Variable x(Tensor::full({kElements}, 0.5, DType::f64), true);
  x.grad();
  const size_t before = memory_use(Device::cpu).in_use;
  size_t at_start = 0;
  {
    Variable y = probe(x, [&](const Tensor&) { at_start = memory_use(Device::cpu).in_use; });
    for (int i = 0; i < kDepth; ++i) y = tanh(y);
    const Variable loss = sum(y);
    y = Variable();
    CHECK(memory_use(Device::cpu).in_use >= before + kDepth * block);
    loss.backward();
    CHECK(memory_use(Device::cpu).in_use <= before + 4096);  // though the loss still stands
  }
  CHECK(at_start <= before + 4 * block);
  CHECK(memory_use(Device::cpu).in_use == before);
}

TEST_CASE("cross_entropy: its gradient replaces logits that nobody sees, and no others") {
  const Variable x = random_leaf({4, 7}, 1);
  Tensor expected;
  {
    const Variable logits = x * 2;  // seen throughout
    loss_of(logits).backward();
    expected = x.grad().copy();
  }
  // Computes the loss of unseen logits, but for what `keep` holds on to; returns whether they were replaced.
  const auto replaced = [&](const std::function<void(const Variable&)>& keep) {
    const std::byte* block = nullptr;
    bool same = false;
    const auto loss = [&] {
      const Variable logits = probe(x * 2, [&](const Tensor& dy) { same = dy.bytes() == block; });
      block = logits.value().bytes();
      keep(logits);
      return loss_of(logits);
    }();
    x.zero_grad();
    loss.backward();
    CHECK(distance(x.grad(), expected) <= 1e-15);
    return same;
  };
  CHECK(replaced([](const Variable&) {}));
  const Tensor twice = x.value() * 2;
  Variable variable, detached;
  CHECK_FALSE(replaced([&](const Variable& v) { variable = v; }));
  CHECK(equal(variable.value(), twice));
  CHECK_FALSE(replaced([&](const Variable& v) { detached = v.detach(); }));
  CHECK(equal(detached.value(), twice));
  Tensor view, row;
  CHECK_FALSE(replaced([&](const Variable& v) { view = v.value().reshape({28}); }));
  CHECK(equal(view, twice.reshape({28})));
  CHECK_FALSE(replaced([&](const Variable& v) { row = v.value().rows(3, 4); }));
  CHECK(equal(row, twice.rows(3, 4)));
}

TEST_CASE("cross_entropy: unseen logits that other rules still need") {
  const Variable x = random_leaf({4, 7}, 1);
  const std::vector<std::function<Variable(const Variable&)>> losses = {
      [](const Variable& z) { return loss_of(z) + loss_of(z); },
      [](const Variable& z) { return loss_of(z) + sum(z * z); },
      [](const Variable& z) { return sum(log_softmax(z)) + loss_of(z); },
      [](const Variable& z) {
        return loss_of(reshape(z, {2, 14})) + loss_of(z);
      },
      [](const Variable& z) { return loss_of(rows(z, 1, 3)) + loss_of(z); },
  };
  for (size_t i = 0; i < losses.size(); ++i) {
    INFO("loss ", i);
    for (auto make : {+[](const Variable& v) { return v * 2; }, +[](const Variable& v) { return exp(v); }})
      CHECK(gradient_error([&] { return losses[i](make(x)); }, {x}) <= 1e-8);
  }
  const Tensor before = x.value().copy();
  loss_of(x).backward();  // a leaf is always seen
  CHECK(equal(x.value(), before));
}

TEST_CASE("anomaly mode: names the operation, the shape and the place") {
  const Variable x = leaf({1, 4, 0, 9}, {2, 2}), zero = leaf({0});
  CHECK(anomaly_of([&] { log(x); }) == "anomaly: the result of log is -inf at [1, 0] of [2, 2]");
  CHECK(contains(anomaly_of([&] { zero / zero; }), "anomaly: the result of div is "));
  CHECK(contains(anomaly_of([&] { zero / zero; }), "nan at [0] of [1]"));
  CHECK(anomaly_of([&] { sum(sqrt(x)).backward(); }) ==
        "anomaly: a gradient from sqrt is inf at [1, 0] of [2, 2]");
  const std::string nan = anomaly_of([&] { sum(sqrt(x) * 0).backward(); });  // 0 / 0
  CHECK(contains(nan, "anomaly: a gradient from sqrt is "));
  CHECK(contains(nan, "nan at [1, 0] of [2, 2]"));
  x.zero_grad();
  CHECK(anomaly_of([&] { sum(exp(x)).backward(); }) == "");
  CHECK(anomaly_of([] { reshape(Variable(ints({1, 2})), {2, 1}); }) == "");  // integers are always finite
  log(x);  // and without it nothing is looked at
  const AnomalyMode outer;
  { const AnomalyMode inner; }
  CHECK_THROWS_AS(log(x), std::runtime_error);  // the inner one did not end it
}

TEST_CASE("write_dot: the tape as a picture") {
  const Variable x = leaf({1, 2}), w = leaf({3, 4}), y = sum(x * w + x);
  const auto id = [](const std::shared_ptr<Node>& node) { return message("n", node->order); };
  const auto plus = y.node()->inputs[0], times = plus->inputs[0];
  const std::string s = id(y.node()), p = id(plus), m = id(times), a = id(x.node()), b = id(w.node());
  std::ostringstream out;
  write_dot(out, y, {{"x", x}});
  const std::vector<std::string> lines = {
      "digraph tape {",
      "  rankdir=LR;",
      "  node [fontname=\"sans-serif\"];",
      "  " + s + " [label=\"sum []\"];",
      "  " + p + " -> " + s + ";",
      "  " + p + " [label=\"add [2]\"];",
      "  " + m + " -> " + p + ";",
      "  " + a + " -> " + p + ";",
      "  " + a + " [label=\"x [2]\", shape=box];",
      "  " + m + " [label=\"mul [2]\"];",
      "  " + a + " -> " + m + ";",
      "  " + b + " -> " + m + ";",
      "  " + b + " [label=\"leaf [2]\", shape=box];",
      "}",
  };
  std::string expected;
  for (const std::string& line : lines) expected += line + "\n";
  CHECK(out.str() == expected);
  CHECK(contains(error_of([&] { write_dot(out, x.detach()); }), "write_dot: nothing was recorded"));
}

TEST_CASE("autograd: a rule may add to inputs that need no gradient") {
  const Variable x = leaf({1, 2}), constant(Tensor::from<double>({3, 4}, {2}));
  const auto product = [&](const Variable& a, const Variable& b) {  // as one writes it first: without ifs
    return record("product", a.value() * b.value(), {a, b},
                  [a = Saved(a.value()), b = Saved(b.value())](const Tensor& dy, std::span<Gradient> d) {
                    d[0] += dy * b;
                    d[1] += dy * a;
                    CHECK(static_cast<bool>(d[1].buffer()) == static_cast<bool>(d[1]));
                  });
  };
  sum(product(x, constant)).backward();
  CHECK(values(x.grad()) == std::vector<double>{3, 4});
}

TEST_CASE("autograd: rules that are none, or want the gradient of an input that is not there") {
  const Variable x = leaf({1, 2});
  CHECK(error_of([&] { record("nothing", x.value(), {x}, {}); }) == "record: nothing has no rule");
  const Variable y = record("beyond", x.value(), {x}, [](const Tensor& dy, Gradients d) { d[1] += dy; });
  CHECK(error_of([&] { sum(y).backward(); }) == "beyond: its rule wants the gradient of input 1 of 1");
}

TEST_CASE("autograd: an exception in a rule leaves no part of a gradient behind") {
  const Variable x = leaf({1, 2});
  const Variable trunk = x * 2;
  const auto faulty =
      record("faulty", trunk.value() * 1, {trunk}, [](const Tensor& dy, std::span<Gradient> d) {
        d[0] += dy * -100;
        throw std::runtime_error("on purpose");
      });
  CHECK_THROWS_WITH(sum(faulty).backward(), "on purpose");
  sum(trunk).backward();  // another loss through the same trunk
  CHECK(values(x.grad()) == std::vector<double>{2, 2});
}

TEST_CASE("autograd: a block that two nodes share is not added to in place") {
  const Variable x = leaf({1, 2, 3, 4}, {2, 2}), v = leaf({5, 6, 7, 8}, {2, 2});
  const Variable y = x * 3;
  const Variable both = y + v;  // add hands one tensor to y and to v
  const Variable loss = sum(both) + sum(rows(y, 0, 1));
  loss.backward();
  CHECK(values(v.grad()) == std::vector<double>{1, 1, 1, 1});
  CHECK(values(x.grad()) == std::vector<double>{6, 6, 3, 3});
}

TEST_CASE("autograd: a dropout mask is that of the forward pass, whatever the generator does meanwhile") {
  const Variable x(Tensor::full({300}, 1, DType::f64), true);
  Generator generator(3);
  generator.next_step();
  const Variable y = dropout(x, 0.5, generator);
  generator.next_step();
  generator.set_seed(99);
  sum(y).backward();
  CHECK(equal(x.grad(), y.value()));
  Generator copy = generator;
  copy.set_step(5);
  CHECK(generator.next_draw().step == 0);
}

TEST_CASE("autograd: multiplying by a number keeps nothing alive") {
  const size_t before = memory_use(Device::cpu).in_use;
  const Variable x(Tensor({1 << 16}, DType::f64), true);
  const size_t with_x = memory_use(Device::cpu).in_use - before;
  Variable y = x + x;
  y = y * 0.5;
  CHECK(memory_use(Device::cpu).in_use - before <= 2 * with_x + 4096);
}

TEST_CASE("autograd: a function keeps its argument or its value, as its slope reads, and no more") {
  release_cached_memory(Device::cpu);  // no larger block lies idle that might serve
  const Variable x(Tensor::full({1 << 16}, 0.5, DType::f64), true);
  const size_t before = memory_use(Device::cpu).in_use, block = x.value().byte_size();
  const auto kept = [&](Unary op) {  // blocks, while the result lives
    const Variable y = unary(op, x + x);
    return (memory_use(Device::cpu).in_use - before + block / 2) / block;
  };
  for (Unary op : {Unary::neg, Unary::exp, Unary::sqrt, Unary::tanh, Unary::sigmoid, Unary::relu}) {
    INFO(name_of(op));
    CHECK(kept(op) == 1);  // the result; x + x is gone
  }
  for (Unary op : {Unary::log, Unary::gelu, Unary::x_log_x}) {
    INFO(name_of(op));
    CHECK(kept(op) == 2);
  }
}

TEST_CASE("autograd: an operand is kept only where the other one wants a gradient") {
  release_cached_memory(Device::cpu);
  const Variable x(Tensor::full({256, 256}, 0.5, DType::f64), true), c(x.value().copy());
  const size_t before = memory_use(Device::cpu).in_use, block = x.value().byte_size();
  const auto kept =
      [&](const std::function<Variable(const Variable&)>& f) {  // blocks, while the result lives
        const Variable y = f(x + x);
        return (memory_use(Device::cpu).in_use - before + block / 2) / block;
      };
  CHECK(kept([&](const Variable& h) { return h * c; }) == 1);
  CHECK(kept([&](const Variable& h) { return h / c; }) == 1);
  CHECK(kept([&](const Variable& h) { return matmul(c, h); }) == 1);
  CHECK(kept([&](const Variable& h) { return linear(h, c, {}); }) == 1);
  CHECK(kept([&](const Variable& h) { return where(c.value(), h, 0.); }) == 1);
  CHECK(kept([&](const Variable& h) { return h * x; }) == 2);
}

TEST_CASE("autograd: the gradient of a leaf is a block of its own") {
  const Variable a = leaf({1, 2}), b = leaf({3, 4});
  for (int i = 0; i < 2; ++i) sum(a + b).backward();  // one tensor is handed to both
  CHECK(values(a.grad()) == std::vector<double>{2, 2});
  CHECK(values(b.grad()) == std::vector<double>{2, 2});
  CHECK(a.grad().bytes() != b.grad().bytes());
}

TEST_CASE("autograd: messages name the rule that runs, and none afterwards") {
  const Variable x = leaf({1, 2});
  sum(x * x).backward();
  const Saved kept(x.value());
  x.value().mark_changed();
  CHECK(contains(error_of([&] { kept.get(); }), "backward: its gradient needs"));
  const Variable y = record("outer", x.value().copy(), {x}, [&](const Tensor&, Gradients d) {
    const Variable inner = leaf({1});
    sum(exp(inner)).backward();
    d[0] += Tensor::zeros({7}, DType::f64);
  });
  CHECK(contains(error_of([&] { sum(y).backward(); }),
                 "outer: the gradient of an input f64 [2] on cpu came as f64 [7]"));
}

TEST_CASE("autograd: a frozen leaf, through any of its handles") {
  const Variable w = leaf({1, 2}), same = w, x = leaf({3, 4});
  same.set_requires_grad(false);
  CHECK(!w.requires_grad());
  CHECK(!(w * 2).requires_grad());
  sum(w * x).backward();
  CHECK(values(x.grad()) == std::vector<double>{1, 2});
  CHECK(values(w.grad()) == std::vector<double>{0, 0});
  w.set_requires_grad(true);
  sum(w * x).backward();
  CHECK(values(same.grad()) == std::vector<double>{3, 4});

  const Variable constant(Tensor::from<double>({1, 2}, {2})), copy = constant;
  constant.set_requires_grad(true);
  sum(copy * copy).backward();
  CHECK(values(constant.grad()) == std::vector<double>{2, 4});
  CHECK(contains(error_of([&] { (w * x).set_requires_grad(false); }), "this is the result of mul"));
  CHECK(contains(error_of([&] { Variable(ints({1})).set_requires_grad(true); }), "not i32 [1]"));
}

TEST_CASE("autograd: the gradient of a value in between, where somebody asked for it") {
  const Variable x = leaf({1, 2}), h = x * x, unasked = h * 1.;
  h.retain_grad();
  sum(unasked * unasked).backward();
  CHECK(values(h.grad()) == std::vector<double>{2, 8});
  CHECK(values(x.grad()) == std::vector<double>{4, 32});
  CHECK(contains(error_of([&] { unasked.grad(); }), "say retain_grad() before backward()"));
  CHECK(contains(error_of([&] { x.detach().retain_grad(); }), "nothing here needs a gradient"));
  CHECK(error_of([&] { unasked.retain_grad(); }) ==
        "retain_grad: backward() has passed mul already; call it before backward()");
}

TEST_CASE("autograd: retained gradients of two inputs are two tensors") {
  const Variable x = leaf({1, 2}), a = x * 2., b = x * 3.;
  a.retain_grad();
  b.retain_grad();
  sum(a + b).backward();
  CHECK(!a.grad().overlaps(b.grad()));
  CHECK(values(a.grad()) == values(b.grad()));
}

TEST_CASE("autograd: a retained gradient is not written to by what comes before it") {
  const Variable x = leaf({1, 2}), h = x * 3.;
  h.retain_grad();
  const Variable y = h + x;  // one tensor is handed to both
  sum(y + x).backward();
  CHECK(values(h.grad()) == std::vector<double>{1, 1});
  CHECK(values(x.grad()) == std::vector<double>{5, 5});
}

TEST_CASE("autograd: max gives its gradient to the first largest; NaN is the largest of all") {
  const Variable x(Tensor::from<double>({1, 3, 3, NAN, 5, NAN}, {2, 3}), true);
  const Variable y = max(x, -1);
  CHECK(values(argmax(x, -1)) == std::vector<double>{1, 0});
  CHECK(y.value().at({0}) == 3);
  CHECK(std::isnan(y.value().at({1})));
  sum(y).backward();
  CHECK(values(x.grad()) == std::vector<double>{0, 1, 0, 1, 0, 0});
  const Tensor infinite = Tensor::from<double>({-INFINITY, -INFINITY}, {2});
  CHECK(argmax(infinite, 0).item() == 0);
  CHECK(max(infinite).item() == -INFINITY);
  CHECK(contains(error_of([] {
                   max(Variable(Tensor::zeros({3, 0})), 1);
                 }),
                 "max: of no elements, in [3, 0]"));
}

TEST_CASE("autograd: += makes a new value, and no leaf that wants a gradient may be lost by it") {
  const Variable x = leaf({1, 2});
  Variable y = x * 2, before = y;
  y += 1;
  y *= x;
  CHECK(values(before.value()) == std::vector<double>{2, 4});
  CHECK(values(y.value()) == std::vector<double>{3, 10});
  sum(y).backward();
  CHECK(values(x.grad()) == std::vector<double>{5, 9});
  Variable w = x;
  CHECK(contains(error_of([&] { w -= 1; }), "-=: would replace a leaf [2]"));
}

TEST_CASE("autograd: a walk that threw leaves no block that the next one adds to") {
  const Variable w = leaf({1, 2}), u = leaf({1, 1}), h = w * 1., k = h * h;
  const Variable loss = sum(k) + sum(rows(h, 0, 1));
  h.value().assign(h.value().copy());  // so that the rule of h * h throws
  CHECK_THROWS(loss.backward());
  w.zero_grad();
  const Variable v = u * 1., s = h * 3. + v;
  (sum(s) + sum(v)).backward();
  CHECK(values(u.grad()) == std::vector<double>{2, 2});
}

TEST_CASE("autograd: a rule that ran before its walk threw does not run again") {
  const Variable z = leaf({1, 2}, {1, 2});
  const Variable loss = cross_entropy(z * 1., ints({0}), {}).loss;
  const Tensor nan = Tensor::full({}, NAN, DType::f64);
  {
    const AnomalyMode anomaly_mode;
    CHECK_THROWS_AS(loss.backward(nan), std::runtime_error);
  }
  CHECK(contains(error_of([&] { loss.backward(); }), "has been walked already"));
}
