// gradcheck itself: it passes right rules and notices wrong ones.
#include "autograd/gradcheck.h"

#include "autograd/ops.h"
#include "compare.h"

using namespace gradus;
using namespace gradus::compare;

TEST_CASE("gradcheck: passes a right rule and catches wrong ones") {
  const Variable x = random_leaf({5}, 1), b = random_leaf({2}, 2);
  const auto square = [&](const std::function<Tensor(const Tensor& dx)>& spoil) {
    const auto f = [&x, spoil] {
      return record(
          "square", x.value() * x.value(), {x},
          [x, spoil](const Tensor& dy, std::span<Gradient> d) { d[0] += spoil(dy * x.value() * 2); });
    };
    return gradcheck(f, {{"x", x}});
  };
  const Tensor before = x.value().copy();
  CHECK(square([](const Tensor& dx) { return dx; }).error <= 1e-11);
  CHECK(equal(x.value(), before));

  CHECK(square([](const Tensor& dx) { return -dx; }).error > 1);
  CHECK(square([](const Tensor& dx) { return dx * 0.5; }).error > 0.3);
  CHECK(square([](const Tensor& dx) { return dx * 0; }).error == near(1, 1e-9));
  CHECK(square([](const Tensor& dx) { return dx * (1 + 1e-6); }).error == near(1e-6, 1e-3));
  const GradcheckReport nan = square([](const Tensor& dx) {
    dx.data<double>()[3] = NAN;
    return dx;
  });
  CHECK_FALSE(nan.error <= 1e-8);
  CHECK(contains(nan.worst, "x[3]: analytic nan, numeric "));
  const GradcheckReport one = square([](const Tensor& dx) {
    dx.data<double>()[2] *= 1 + 1e-5;
    return dx;
  });
  CHECK(one.error > 1e-8);
  CHECK(contains(one.worst, "x[2]: analytic "));
}

TEST_CASE("gradcheck: sees a forgotten input, a rule of zeros behind softmax, and refuses f32") {
  const Variable x = random_leaf({3, 4}, 1), b = random_leaf({4}, 2);
  const auto forgets_b = [&] { return x + b.detach(); };
  CHECK(gradcheck(forgets_b, {{"x", x}, {"b", b}}).error == near(1, 1e-9));
  const auto lost = [&] {
    return record("softmax", softmax(x.value()), {x},
                  [](const Tensor& dy, std::span<Gradient> d) { d[0] += dy * 0; });
  };
  CHECK(gradcheck(lost, {{"x", x}}).error == near(1, 1e-9));
  const Variable single = random_leaf({2}, 3, DType::f32);
  CHECK(error_of([&] {
          gradcheck([&] { return exp(single); }, {{"w", single}});
        }) == "gradcheck: w is f32, expected f64");
}

TEST_CASE("gradcheck: a generator is set back before each evaluation") {
  const Variable x = random_leaf({300}, 1);
  Generator generator(7);
  generator.set_step(3);
  const auto dropped = [&] { return dropout(x, 0.5, generator); };
  CHECK(gradcheck(dropped, {{"x", x}}, &generator).error <= 1e-11);
  CHECK(generator.step() == 3);
  CHECK(gradcheck(dropped, {{"x", x}}).error > 0.1);  // another mask each time
}

TEST_CASE("gradcheck: a gradient of exactly 0 against rounding noise is right, a rule of zeros is not") {
  const Variable x = random_leaf({3, 4}, 1), b = random_leaf({1}, 2), gain = random_leaf({4}, 3);
  // Each of these does not depend on its input, so what is measured is noise.
  CHECK(gradcheck([&] { return sum(softmax(x)); }, {{"x", x}}).error == 0);
  CHECK(gradcheck([&] { return softmax(x + b); }, {{"b", b}}).error == 0);
  const auto row_sums = [&] {
    return sum(layer_norm(x, Variable(Tensor::full({4}, 1, DType::f64)), gain), {-1});
  };
  CHECK(gradcheck(row_sums, {{"x", x}}).error == 0);
  // The smallest slope that can be told from noise still counts.
  for (double slope : {1., 1e-3, 1e-6, 1e-9}) {
    const auto lost = [&] {
      return record("scaled", x.value() * slope, {x},
                    [](const Tensor& dy, std::span<Gradient> d) { d[0] += dy * 0; });
    };
    CHECK(gradcheck(lost, {{"x", x}}).error == near(1, 1e-6));
  }
}

TEST_CASE("gradcheck: a sum that cancels within f, and an output too large for its slopes") {
  const Variable x = random_leaf({2, 5}, 4), gain(Tensor::full({5}, 1, DType::f64)),
                 bias(Tensor::zeros({5}, DType::f64));
  CHECK(gradcheck([&] { return sum(layer_norm(x, gain, bias)); }, {{"x", x}}).error == 0);
  CHECK(gradcheck([&] { return mean(layer_norm(x, gain, bias)); }, {{"x", x}}).error == 0);
  const Variable far(Tensor::full({1}, 1e11, DType::f64));
  CHECK(contains(error_of([&] {
                   gradcheck([&] { return sum(x * x) + far; }, {{"x", x}});
                 }),
                 "are lost in its rounding"));
  const Tensor before = x.value().copy();
  int calls = 0;
  const auto fails = [&]() -> Variable {
    if (++calls == 3) throw std::runtime_error("on purpose");
    return sum(x * x);
  };
  CHECK_THROWS(gradcheck(fails, {{"x", x}}));
  CHECK(equal(x.value(), before));
}
