// The variants that the course sets as exercises (losses/variants.h) and explain, in
// f64 against their definitions written the slow way; their gradients against finite differences to 1e-8.
#include "autograd/gradcheck.h"
#include "compare.h"
#include "losses/explain.h"
#include "losses/variants.h"

using namespace gradus;
using namespace gradus::compare;
using losses::ClassWeighting;
using losses::ConfidencePenalty;
using losses::CrossEntropy;

namespace {

const Tensor kLogits = random({4, 5}, 1) * 3.;
const Tensor kTarget = ints({2, 4, 0, 3});  // the third is pad
const std::vector<double> kWeight{1, 0.5, 2, 0.25, 3}, kPrior{0.1, 0.4, 0.2, 0, 0.3};

Tensor classes(const std::vector<double>& x) { return Tensor::from(x, {static_cast<int64_t>(x.size())}); }

double minus_log_p(size_t row, size_t j) { return -values(log_softmax(kLogits))[5 * row + j]; }

CrossEntropy towards(const Tensor& prior, double eps) {
  return CrossEntropy({.smoothing = eps, .pad_id = 0, .prior = prior});
}
CrossEntropy weighted(const Tensor& weights, ClassWeighting weighting, double eps,
                      Reduction reduction = Reduction::mean) {
  return CrossEntropy({.smoothing = eps,
                       .pad_id = 0,
                       .reduction = reduction,
                       .class_weight = weights,
                       .weighting = weighting});
}
const CrossEntropy kPlain({.pad_id = 0});

template <class Loss> Tensor gradient(const Loss& loss, const Tensor& logits = kLogits) {
  const Variable z(logits.copy(), true);
  loss(z, kTarget).backward();
  return z.grad();
}

template <class Loss> void check_gradient(const Loss& loss) {
  const Variable z(kLogits.copy(), true);
  CHECK(gradcheck([&] { return loss(z, kTarget); }, {{"logits", z}}).error <= 1e-8);
}

}  // namespace

TEST_CASE("unigram smoothing: eps goes to the classes by their share") {
  for (double eps : {0., 0.1, 0.7, 1.}) {
    double expected = 0;
    for (size_t row : {0, 1, 3}) {
      expected += (1 - eps) * minus_log_p(row, static_cast<size_t>(kTarget.to_vector<int32_t>()[row]));
      for (size_t j = 0; j < 5; ++j) expected += eps * kPrior[j] * minus_log_p(row, j);
    }
    const CrossEntropy loss = towards(classes(kPrior), eps);
    CHECK(loss(Variable(kLogits), kTarget).value().item() == near(expected / 3));
    check_gradient(loss);
  }
  const CrossEntropy neutral = towards(classes(kPrior), 0),
                     flat = towards(classes({0.2, 0.2, 0.2, 0.2, 0.2}), 0.1);
  CHECK(neutral(Variable(kLogits), kTarget).value().item() ==
        kPlain(Variable(kLogits), kTarget).value().item());
  CHECK(equal(gradient(neutral), gradient(kPlain)));
  const CrossEntropy neutral32 = towards(classes(kPrior).to(DType::f32), 0);
  CHECK(equal(gradient(neutral32, kLogits.to(DType::f32)), gradient(kPlain, kLogits.to(DType::f32))));
  CHECK(distance(gradient(flat), gradient(losses::LabelSmoothingCrossEntropy(0.1))) <= 1e-14);
}

TEST_CASE("unigram smoothing: a class without share is no infinite loss where its p is 0") {
  std::vector<double> z = values(kLogits);
  for (size_t row = 0; row < 4; ++row) z[5 * row + 3] = -INFINITY;
  const Variable logits(Tensor::from(z, {4, 5}), true);
  const Variable loss = towards(classes(kPrior), 0.1)(logits, ints({2, 4, 0, 1}));
  loss.backward();
  CHECK(std::isfinite(loss.value().item()));
  for (double g : values(logits.grad())) CHECK(std::isfinite(g));
}

TEST_CASE("unigram prior: shares of counts, and what is no prior") {
  CHECK(values(losses::unigram_prior(classes({1, 0, 3}))) == std::vector<double>{0.25, 0, 0.75});
  CHECK(contains(error_of([] { losses::unigram_prior(classes({0, 0})); }), "only zeros"));
  CHECK(contains(error_of([] { losses::unigram_prior(classes({1, -1})); }), "got -1"));
  CHECK(contains(error_of([] { losses::unigram_prior(classes({1, NAN})); }), "got nan"));
  CHECK(contains(error_of([] { losses::unigram_prior(Tensor()); }), "expected [V]"));
  CHECK(contains(error_of([] { towards(classes({0.5, 0.6}), 0.1); }), "sums to 1, got 1.1"));
  CHECK(contains(error_of([] {
                   towards(classes({0.5, 0.5}), 0.1)(Variable(kLogits), kTarget);
                 }),
                 "expected a prior, or class weights, f64 [5], got f64 [2]"));
  CHECK(contains(error_of([] { towards(classes(kPrior).to(DType::f32), 0.1)(Variable(kLogits), kTarget); }),
                 "f32"));
}

TEST_CASE("class weights: two meanings, one divisor") {
  for (double eps : {0., 0.1, 0.7, 1.}) {
    double per_target = 0, per_class = 0, weights = 0;
    for (size_t row : {0, 1, 3}) {
      const auto y = static_cast<size_t>(kTarget.to_vector<int32_t>()[row]);
      for (size_t j = 0; j < 5; ++j) {
        const double q = (j == y ? 1 - eps : 0) + eps / 5;
        per_target += kWeight[y] * q * minus_log_p(row, j);
        per_class += kWeight[j] * q * minus_log_p(row, j);
      }
      weights += kWeight[y];
    }
    for (const auto& [weighting, expected] :
         {std::pair{ClassWeighting::per_target, per_target}, {ClassWeighting::per_class, per_class}}) {
      const CrossEntropy loss = weighted(classes(kWeight), weighting, eps);
      CHECK(loss(Variable(kLogits), kTarget).value().item() == near(expected / weights));
      check_gradient(loss);
      const CrossEntropy total = weighted(classes(kWeight), weighting, eps, Reduction::sum);
      CHECK(total(Variable(kLogits), kTarget).value().item() == near(expected));
    }
  }
}

TEST_CASE("class weights: neutral settings, and that per_class lets a heavy class win") {
  const Tensor ones = classes({1, 1, 1, 1, 1});
  for (auto weighting : {ClassWeighting::per_target, ClassWeighting::per_class}) {
    CHECK(equal(gradient(weighted(ones, weighting, 0)), gradient(kPlain)));
    CHECK(equal(gradient(weighted(classes(kWeight), weighting, 0)),
                gradient(CrossEntropy({.pad_id = 0, .class_weight = classes(kWeight)}))));
    CHECK(distance(gradient(weighted(ones, weighting, 0.1)),
                   gradient(losses::LabelSmoothingCrossEntropy(0.1))) <= 1e-14);
  }
  // At the optimum of a row p is proportional to w[j] q[j]: a class of weight 100 beats the target of weight
  // 1 from eps = 0.1 on: 1 - .1 + .02 < 100 * .02.
  const auto pulls_at = [](ClassWeighting weighting) {  // the sign of the gradient at q itself
    const std::vector<double> q{0.02, 0.92, 0.02, 0.02, 0.02};
    const Variable z(unary(Unary::log, Tensor::from(q, {1, 5})), true);
    weighted(classes({1, 1, 100, 1, 1}), weighting, 0.1)(z, ints({1})).backward();
    return values(z.grad());
  };
  CHECK(std::fabs(pulls_at(ClassWeighting::per_target)[2]) < 1e-15);
  CHECK(pulls_at(ClassWeighting::per_class)[2] < -1);
  for (auto weighting : {ClassWeighting::per_target, ClassWeighting::per_class}) {
    CHECK(contains(error_of([&] { weighted(classes({1, -2}), weighting, 0); }), "got -2"));
    CHECK(contains(error_of([&] { weighted(classes({1, NAN}), weighting, 0.1); }), "got nan"));
    const CrossEntropy nothing = weighted(classes({0, 0, 0, 0, 0}), weighting, 0.1);
    CHECK(nothing(Variable(kLogits), kTarget).value().item() == 0);
    CHECK(largest(values(gradient(nothing))) == 0);
  }
  CHECK(
      contains(error_of([&] { CrossEntropy({.class_weight = ones, .prior = ones}); }), "do not go together"));
  CHECK(contains(error_of([&] {
                   CrossEntropy({.convention = Smoothing::others, .prior = classes({0.5, 0.5})});
                 }),
                 "`uniform` only"));
}

TEST_CASE("class weights: rows of weight 0 alone have one divisor forward and backward") {
  const Tensor logits = Tensor::from(std::vector<double>{2, -1, .5, 0, 1, -2}, {2, 3});
  const Variable z(logits, true);
  const CrossEntropy loss(
      {.smoothing = 0.1, .class_weight = classes({1, 0, 2}), .weighting = ClassWeighting::per_class});
  const Variable value = loss(z, ints({1, 1}));
  value.backward();
  CHECK(value.value().item() == near(0.392365684676, 1e-11));
  const std::vector<double> expected{.0452263701,   .00391125733, -.0491376275,
                                     -.00738368730, .0705384513,  -.0631547640};
  for (size_t i = 0; i < 6; ++i) CHECK(values(z.grad())[i] == near(expected[i], 1e-8));
}

TEST_CASE("confidence penalty: -H(p), and gradient p (ln p + H)") {
  const std::vector<double> p = values(softmax(kLogits)), log_p = values(log_softmax(kLogits));
  std::vector<double> h(4, 0), expected(20, 0);
  for (size_t i = 0; i < 20; ++i) h[i / 5] -= p[i] * log_p[i];
  for (size_t i = 0; i < 20; ++i) expected[i] = i / 5 == 2 ? 0 : p[i] * (log_p[i] + h[i / 5]);
  const auto of = [&](Reduction r) { return ConfidencePenalty(0, r)(Variable(kLogits), kTarget).value(); };
  CHECK(distance(of(Reduction::none), Tensor::from(std::vector<double>{-h[0], -h[1], 0, -h[3]}, {4})) <=
        1e-14);
  CHECK(of(Reduction::sum).item() == near(-h[0] - h[1] - h[3]));
  CHECK(of(Reduction::mean).item() == near((-h[0] - h[1] - h[3]) / 3));
  CHECK(distance(gradient(ConfidencePenalty(0, Reduction::sum)), Tensor::from(expected, {4, 5})) <= 1e-13);
  check_gradient(ConfidencePenalty(0));
  check_gradient(ConfidencePenalty(-1));

  const auto with = [](double beta) {
    return [beta](const Variable& z, const Tensor& target) {
      return kPlain(z, target) + beta * ConfidencePenalty(0)(z, target);
    };
  };
  CHECK(equal(gradient(with(0)), gradient(kPlain)));
  check_gradient(with(2.5));

  const Variable z(Tensor::from(std::vector<double>{-INFINITY, 1, 2, 1e4, -1e30}, {1, 5}), true);
  ConfidencePenalty(0)(z, ints({1})).backward();
  for (double g : values(z.grad())) CHECK(std::isfinite(g));
  CHECK(ConfidencePenalty(0)(Variable(kLogits), ints({0, 0, 0, 0})).value().item() == 0);
  CHECK(contains(error_of([] { ConfidencePenalty(0)(Variable(kLogits), ints({1})); }), "[4, 5] and [1]"));
  CHECK(contains(error_of([] { ConfidencePenalty(7)(Variable(kLogits), ints({2, 9, 0, 3})); }), "id 9"));

  // A row that does not count is not read.
  const Tensor odd = Tensor::from(std::vector<double>{1, 0, -1, NAN, NAN, 0}, {2, 3});
  for (Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    const Variable leaf(odd, true);
    const Variable penalty = ConfidencePenalty(2, reduction)(leaf, ints({1, 2}));
    CHECK(values(penalty.value())[0] == near(-0.832395581840, 1e-11));
    sum(penalty).backward();
    for (double g : values(leaf.grad())) CHECK(std::isfinite(g));
  }
}

TEST_CASE("confidence penalty with a threshold: max(0, threshold - H); annealed: by a beta that grows") {
  const std::vector<double> minus_h =
      values(ConfidencePenalty(-1, Reduction::none)(Variable(kLogits), kTarget).value());
  const auto [least, most] = std::ranges::minmax(minus_h);
  const double between = -(least + most) / 2;  // above some rows' entropy and below others'
  const ConfidencePenalty rows(-1, Reduction::none, between);
  const std::vector<double> hinged = values(rows(Variable(kLogits), kTarget).value());
  for (size_t row = 0; row < 4; ++row)
    CHECK(std::fabs(hinged[row] - std::max(0., between + minus_h[row])) <= 1e-14);
  CHECK(std::ranges::count(hinged, 0.) > 0);
  CHECK(std::ranges::count(hinged, 0.) < 4);
  check_gradient(ConfidencePenalty(0, Reduction::mean, between));
  check_gradient(ConfidencePenalty(-1, Reduction::sum, between));
  // Above the entropy of every row it pulls as the penalty without a threshold does; at 0 it is neutral.
  CHECK(equal(gradient(ConfidencePenalty(0, Reduction::mean, 2)), gradient(ConfidencePenalty(0))));
  const CrossEntropy& plain = kPlain;
  const auto with = [&](const ConfidencePenalty& penalty, double beta) {
    return [plain, penalty, beta](const Variable& z, const Tensor& target) {
      return plain(z, target) + beta * penalty(z, target);
    };
  };
  const ConfidencePenalty neutral(0, Reduction::mean, 0);
  CHECK(equal(gradient(with(neutral, 1)), gradient(plain)));
  CHECK(with(neutral, 1)(Variable(kLogits), kTarget).value().item() ==
        plain(Variable(kLogits), kTarget).value().item());
  const Tensor logits32 = kLogits.to(DType::f32);
  CHECK(equal(gradient(with(neutral, 1), logits32), gradient(plain, logits32)));
  const auto annealed = [&](double step) {
    return with(ConfidencePenalty(0), 2.5 * losses::linear_smoothing(step, 101, 0, 1));
  };
  CHECK(equal(gradient(annealed(1)), gradient(plain)));
  CHECK(equal(gradient(annealed(51)), gradient(with(ConfidencePenalty(0), 1.25))));
  CHECK(equal(gradient(annealed(500)), gradient(with(ConfidencePenalty(0), 2.5))));
  check_gradient(annealed(51));
  CHECK(contains(error_of([] { ConfidencePenalty(0, Reduction::mean, -1); }), "at least 0, got -1"));
  CHECK(contains(error_of([] { ConfidencePenalty(0, Reduction::mean, NAN); }), "at least 0, got nan"));
}

TEST_CASE("adaptive smoothing: eps by step and by confidence") {
  CHECK(losses::linear_smoothing(1, 101, 0, 0.2) == 0);
  CHECK(losses::linear_smoothing(51, 101, 0, 0.2) == near(0.1));
  CHECK(losses::linear_smoothing(500, 101, 0, 0.2) == near(0.2));
  CHECK(losses::linear_smoothing(26, 101, 0.2, 0) == near(0.15));
  CHECK(losses::cosine_smoothing(1, 101, 0, 0.2) == 0);
  CHECK(losses::cosine_smoothing(51, 101, 0, 0.2) == near(0.1));
  CHECK(losses::cosine_smoothing(26, 101, 0, 0.2) == near(0.1 * (1 - std::sqrt(0.5))));
  CHECK(losses::cosine_smoothing(101, 101, 0, 0.2) == near(0.2));
  for (double step : {1, 7, 50, 200}) {
    CHECK(losses::linear_smoothing(step, 100, 0, 0) == 0);
    CHECK(losses::cosine_smoothing(step, 100, 0, 0) == 0);
  }
  losses::ConfidenceTriggered trigger(0.2, /*threshold=*/0.5, /*momentum=*/0.5), never(0, 0, 0);
  CHECK(trigger(std::log(2.)) == 0);                      // confidence 0.25
  CHECK(trigger(0) == near(0.2 * (0.625 - 0.5) / 0.5));   // 0.625
  CHECK(trigger(0) == near(0.2 * (0.8125 - 0.5) / 0.5));  // 0.8125
  CHECK(trigger(100) == 0);                               // and back
  CHECK(never(0) == 0);
  losses::ConfidenceTriggered slow(0.2, 0, 0.75), usual(0.2, 0);  // eps is 0.2 confidence
  CHECK(slow(0) == near(0.2 * 0.25));
  CHECK(slow(std::log(2.)) == near(0.2 * (0.75 * 0.25 + 0.25 * 0.5)));
  for (int n = 1; n <= 20; ++n) CHECK(usual(0) == near(0.2 * (1 - std::pow(0.95, n))));
  CHECK(contains(error_of([] { losses::linear_smoothing(0, 10, 0, 0.1); }), "step >= 1"));
  CHECK(contains(error_of([] { losses::cosine_smoothing(1, 1, 0, 0.1); }), "total > 1"));
  CHECK(contains(error_of([] { losses::cosine_smoothing(1, 9, 0, 1.1); }), "[0, 1], got 1.1"));
  CHECK(contains(error_of([] { losses::ConfidenceTriggered(0.1, 1.); }), "threshold"));
  CHECK(contains(error_of([&] { trigger(NAN); }), "nll"));
}

TEST_CASE("explain: one token, class by class") {
  // ln p is z itself: the numbers can be read off.
  const Tensor z = unary(Unary::log, classes({0.5, 0.2, 0.2, 0.05, 0.05}));
  const std::string table = losses::explain(z, 1, {.names = {"chien", "toutou", "chat", "le", "un"}});
  CHECK(table ==
        "class                      p           q     -q ln p    gradient\n"
        "toutou (target)     0.200000    0.920000    1.480683   -0.720000\n"
        "chien               0.500000    0.020000    0.013863    0.480000\n"
        "chat                0.200000    0.020000    0.032189    0.180000\n"
        "le                  0.050000    0.020000    0.059915    0.030000\n"
        "un                  0.050000    0.020000    0.059915    0.030000\n"
        "sum                 1.000000    1.000000    1.646564    0.000000\n");
  const std::string cut = losses::explain(z, 1, {.smoothing = 0, .rows = 2});
  CHECK(contains(cut, "3 others            0.300000    0.000000    0.000000    0.300000\n"));
  CHECK(contains(losses::explain(z, 1, {.convention = Smoothing::as_printed}),
                 "sum                 1.000000    0.980000"));
  CHECK(contains(error_of([&] { losses::explain(z, 5); }), "id 5"));
  CHECK(contains(error_of([&] { losses::explain(kLogits, 1); }), "expected logits [V], got [4, 5]"));
  CHECK(contains(error_of([&] { losses::explain(z, 1, {.pad_id = 1}); }), "pad id"));
  CHECK(contains(error_of([&] { losses::explain(z, 1, {.names = {"a"}}); }), "1 names for 5"));
  CHECK(contains(error_of([] { losses::explain(classes({NAN, 1}), 1); }), "not a number"));
}
