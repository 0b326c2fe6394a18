// The facts of the smoothed losses (losses/README.md), checked in f64 to 1e-12. The oracle is written the
// slow way: the target distribution q of a row in full, ln p by log_softmax, and sums over the vocabulary.
#include "compare.h"
#include "losses/label_smoothing.h"

using namespace gradus;
using namespace gradus::compare;
using losses::LabelSmoothingCrossEntropy;
using losses::LabelSmoothingLoss;

namespace {

constexpr Smoothing kConventions[] = {Smoothing::uniform, Smoothing::as_printed, Smoothing::others,
                                      Smoothing::others_not_pad};

// The table of conventions, one row of it written out.
std::vector<double> q_of(Smoothing convention, double eps, int64_t vocab, int32_t y, int32_t pad) {
  if (convention == Smoothing::others_not_pad && pad < 0) convention = Smoothing::others;
  const double v = static_cast<double>(vocab);
  const double off = convention == Smoothing::others           ? eps / (v - 1)
                     : convention == Smoothing::others_not_pad ? eps / (v - 2)
                                                               : eps / v;
  std::vector<double> q(static_cast<size_t>(vocab), off);
  if (convention == Smoothing::others_not_pad) q[static_cast<size_t>(pad)] = 0;
  q[static_cast<size_t>(y)] = convention == Smoothing::uniform ? 1 - eps + eps / v : 1 - eps;
  return q;
}

double x_log_x(double x) { return x > 0 ? x * std::log(x) : 0; }
double total(const std::vector<double>& x) {
  double sum = 0;
  for (double v : x) sum += v;
  return sum;
}
double entropy(const std::vector<double>& q) {
  double sum = 0;
  for (double v : q) sum -= x_log_x(v);
  return sum;
}

struct Result {
  double loss;
  std::vector<double> gradient;
};

template <class Loss> Result run(const Loss& loss, const Tensor& logits, const Tensor& target) {
  const Variable z(logits.copy(), true);
  const Variable value = loss(z, target);
  value.backward();
  return {value.value().item(), values(z.grad())};
}
Result ce(double eps, Smoothing convention, const Tensor& logits, const Tensor& target, int32_t pad = 0,
          losses::Reduction reduction = losses::Reduction::mean) {
  return run(LabelSmoothingCrossEntropy(eps, pad, convention, reduction), logits, target);
}
Result kl(double eps, Smoothing convention, const Tensor& logits, const Tensor& target, int32_t pad = 0) {
  return run(LabelSmoothingLoss(logits.shape()[-1], eps, pad, convention), logits, target);
}

double distance_of(const std::vector<double>& a, const std::vector<double>& b) {
  return distance(Tensor::from(a, {static_cast<int64_t>(a.size())}),
                  Tensor::from(b, {static_cast<int64_t>(b.size())}));
}

const Tensor kLogits = random({4, 7}, 1) * 3.;
const Tensor kTarget = ints({2, 6, 0, 3});  // the third is pad

}  // namespace

TEST_CASE("each convention has the target distribution of the table") {
  for (Smoothing convention : kConventions)
    for (int32_t pad : {-1, 0, 4})
      for (double eps : {0., 0.1, 0.3, 1.}) {
        constexpr int32_t y = 2;
        const std::vector<double> q = q_of(convention, eps, 7, y, pad);
        const Tensor z = kLogits.rows(0, 1), p = softmax(z);
        std::vector<double> recovered = values(p * total(q));
        const Result r = ce(eps, convention, z, ints({y}), pad);
        for (size_t j = 0; j < 7; ++j) recovered[j] -= r.gradient[j];  // gradient = (sum q) p - q
        CHECK(distance_of(recovered, q) <= 1e-12);

        double expected = 0;
        const std::vector<double> log_p = values(log_softmax(z));
        for (size_t j = 0; j < 7; ++j) expected -= q[j] * log_p[j];
        CHECK(r.loss == near(expected));
        CHECK(kl(eps, convention, z, ints({y}), pad).loss == near(expected - entropy(q)));
      }
}

TEST_CASE("fact 1: within a convention the two forms differ by a constant and have one gradient") {
  for (Smoothing convention : kConventions)
    for (double eps : {0.05, 0.1, 0.4, 1.}) {
      const Result a = ce(eps, convention, kLogits, kTarget), b = kl(eps, convention, kLogits, kTarget);
      CHECK(a.loss - b.loss == near(entropy(q_of(convention, eps, 7, 1, 0))));
      CHECK(a.gradient == b.gradient);
    }
}

TEST_CASE("fact 1: the floor of the loss is the entropy of q") {
  const struct {
    int64_t vocab;
    double eps, floor;
  } rows[] = {{5, 0.1, 0.389673},     {10, 0.1, 0.500288},     {100, 0.1, 0.777797},
              {1'000, 0.1, 1.014848}, {10'000, 0.1, 1.245993}, {32'000, 0.1, 1.362390},
              {32'000, 0.2, 2.575021}};
  for (const auto& [vocab, eps, floor] : rows) {
    const std::vector<double> q = q_of(Smoothing::uniform, eps, vocab, 3, -1);
    std::vector<double> log_q;
    for (double v : q) log_q.push_back(std::log(v));
    const Tensor best = Tensor::from(log_q, {1, vocab});
    const Result at_best = ce(eps, Smoothing::uniform, best, ints({3}), -1);
    CHECK(at_best.loss == near(entropy(q)));
    CHECK(std::fabs(at_best.loss - floor) <= 5e-7);  // the printed digits
    CHECK(largest(at_best.gradient) <= 1e-12);
    CHECK(std::fabs(kl(eps, Smoothing::uniform, best, ints({3}), -1).loss) <= 1e-12 * floor);
  }
}

TEST_CASE("fact 2: across conventions the two forms are not equivalent") {
  const double eps = 0.2, v = 7;
  const Tensor z = kLogits.rows(1, 2), y = ints({6});
  const Result uniform = ce(eps, Smoothing::uniform, z, y), printed = kl(eps, Smoothing::as_printed, z, y);
  const double nll = ce(0, Smoothing::uniform, z, y).loss;
  const double s = entropy(q_of(Smoothing::as_printed, eps, 7, 6, 0));
  CHECK(uniform.loss - printed.loss == near(s + eps / v * nll));

  std::vector<double> difference = uniform.gradient, expected = values(softmax(z) * (eps / v));
  expected[6] -= eps / v;
  for (size_t j = 0; j < 7; ++j) difference[j] -= printed.gradient[j];
  CHECK(distance_of(difference, expected) <= 1e-12);

  // The gradient is that of `uniform` with another eps, scaled.
  std::vector<double> scaled = ce(eps * v / (v - eps), Smoothing::uniform, z, y).gradient;
  for (double& g : scaled) g *= 1 - eps / v;
  CHECK(distance_of(printed.gradient, scaled) <= 1e-12);

  // Its floor is m ln m, below 0, where p = q / m.
  const double m = 1 - eps / v;
  std::vector<double> log_q;
  for (double q : q_of(Smoothing::as_printed, eps, 7, 6, 0)) log_q.push_back(std::log(q));
  const Result lowest = kl(eps, Smoothing::as_printed, Tensor::from(log_q, {1, 7}), y);
  CHECK(lowest.loss == near(m * std::log(m)));
  CHECK(largest(lowest.gradient) <= 1e-14);
}

TEST_CASE("fact 3: the optimal gap between the logits") {
  for (const auto& [vocab, gap] : {std::pair{int64_t{10}, 4.5109}, std::pair{int64_t{32'000}, 12.5707}}) {
    const std::vector<double> q = q_of(Smoothing::uniform, 0.1, vocab, 1, -1);
    const double exact = std::log(q[1] / q[0]);
    CHECK(std::fabs(exact - gap) <= 5e-5);
    std::vector<double> z(static_cast<size_t>(vocab), 0.);
    z[1] = exact;
    CHECK(largest(ce(0.1, Smoothing::uniform, Tensor::from(z, {1, vocab}), ints({1}), -1).gradient) <= 1e-12);
  }
}

TEST_CASE("fact 4: sparse in the log-probabilities, dense in the logits") {
  const int64_t vocab = 9;
  const auto nonzeros = [](const std::vector<double>& g) {
    return std::count_if(g.begin(), g.end(), [](double x) { return x != 0; });
  };
  for (double eps : {0., 0.1}) {
    const Variable log_p(log_softmax(random({1, vocab}, 3)), true);
    const Tensor q = Tensor::from(q_of(Smoothing::uniform, eps, vocab, 4, -1), {1, vocab});
    neg(sum(log_p * Variable(q))).backward();
    CHECK(nonzeros(values(log_p.grad())) == (eps == 0 ? 1 : vocab));
    CHECK(nonzeros(ce(eps, Smoothing::uniform, random({1, vocab}, 3), ints({4}), -1).gradient) == vocab);
  }
}

TEST_CASE("fact 4: what a sure prediction does to the gradient on the target") {
  const int64_t vocab = 9;
  const double eps = 0.1, v = 9;
  const auto on_target = [&](double smoothing, double p) {  // p on class 0, the rest alike
    std::vector<double> z(static_cast<size_t>(vocab), std::log((1 - p) / (v - 1)));
    z[0] = std::log(p);
    return ce(smoothing, Smoothing::uniform, Tensor::from(z, {1, vocab}), ints({0}), -1).gradient[0];
  };
  const double sure = 1 - 1e-14, q = 1 - eps + eps / v;
  CHECK(std::fabs(on_target(0, sure)) <= 2e-14);
  CHECK(on_target(eps, sure) == near(eps * (1 - 1 / v)));
  CHECK(on_target(eps, q - 1e-6) < 0);
  CHECK(std::fabs(on_target(eps, q)) <= 1e-14);
  CHECK(on_target(eps, q + 1e-6) > 0);
}

TEST_CASE("fact 5: without smoothing it is plain cross-entropy, bit for bit") {
  const Result plain = run(losses::CrossEntropy({.pad_id = 0}), kLogits, kTarget);
  for (Smoothing convention : kConventions)
    for (const Result& r : {ce(0, convention, kLogits, kTarget), kl(0, convention, kLogits, kTarget)}) {
      CHECK(r.loss == plain.loss);
      CHECK(r.gradient == plain.gradient);
    }
}

TEST_CASE("fact 5: a class with q = 0 may have ln p = -infinity") {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (DType dtype : {DType::f32, DType::f64}) {
    const Tensor z = Tensor::from(std::vector<double>{-kInfinity, 1, 2, -kInfinity, 0.5}, {1, 5}).to(dtype);
    const double nll = -std::log(std::exp(2.) / (std::exp(1.) + std::exp(2.) + std::exp(.5)));
    for (const Result& r :
         {ce(0, Smoothing::uniform, z, ints({2})), kl(0, Smoothing::others, z, ints({2}), 3)}) {
      CHECK(r.loss == near(nll, dtype == DType::f64 ? 1e-12 : 1e-6));
      CHECK(r.gradient[0] == 0);
      CHECK(std::isfinite(largest(r.gradient)));
    }
  }
  // The pad column of `others_not_pad`, and the target itself at eps = 1.
  const Tensor pad = Tensor::from(std::vector<double>{-kInfinity, 1, 2, 3, 0.5}, {1, 5});
  const Tensor no_pad = Tensor::from(std::vector<double>{1, 2, 3, 0.5}, {1, 4});
  const Result hole = ce(0.3, Smoothing::others_not_pad, pad, ints({2}), 0);
  CHECK(hole.loss == near(ce(0.3, Smoothing::others, no_pad, ints({1}), -1).loss));
  CHECK(hole.gradient[0] == 0);
  CHECK(ce(1, Smoothing::others, pad, ints({0}), -1).loss ==
        near(ce(1, Smoothing::uniform, no_pad, ints({0}), -1).loss));
}

TEST_CASE("fact 5: at eps = 1 the target does not matter") {
  for (int32_t y = 1; y < 7; ++y) {
    const Tensor z = kLogits.rows(0, 1);
    CHECK(ce(1, Smoothing::uniform, z, ints({y})).loss == near(ce(1, Smoothing::uniform, z, ints({1})).loss));
    CHECK(distance_of(ce(1, Smoothing::uniform, z, ints({y})).gradient,
                      ce(1, Smoothing::uniform, z, ints({1})).gradient) <= 1e-12);
  }
}

TEST_CASE("fact 5: a constant added to a row changes nothing") {
  for (Smoothing convention : kConventions)
    for (double c : {-100., -3.7, 51.3, 100.}) {
      const Tensor moved = kLogits + Tensor::from(std::vector<double>{c, -c, c / 2, c / 3}, {4, 1});
      const Result a = ce(0.1, convention, kLogits, kTarget), b = ce(0.1, convention, moved, kTarget);
      CHECK(b.loss == near(a.loss));
      CHECK(distance_of(b.gradient, a.gradient) <= 1e-12);
    }
}

TEST_CASE("fact 5: ignored rows do not exist, bit for bit") {
  Tensor other = kLogits.copy();
  other.rows(2, 3).assign(random({1, 7}, 9) * 1e6);
  const Tensor kept = kLogits.rows(0, 2);
  for (Smoothing convention : kConventions)
    for (auto reduction : {losses::Reduction::mean, losses::Reduction::sum}) {
      const Result a = ce(0.1, convention, kLogits, kTarget, 0, reduction),
                   b = ce(0.1, convention, other, kTarget, 0, reduction);
      CHECK(a.loss == b.loss);
      CHECK(a.gradient == b.gradient);
      for (size_t j = 14; j < 21; ++j) CHECK(a.gradient[j] == 0);

      const Result both = ce(0.1, convention, kept, ints({0, 5}), 0, reduction),
                   one = ce(0.1, convention, kept.rows(1, 2), ints({5}), 0, reduction);
      CHECK(both.loss == one.loss);
      CHECK(std::vector<double>(both.gradient.begin() + 7, both.gradient.end()) == one.gradient);
    }
}

TEST_CASE("fact 6: a batch with nothing to learn from") {
  for (Smoothing convention : kConventions)
    for (auto reduction : {losses::Reduction::mean, losses::Reduction::sum})
      for (const Result& r : {ce(0.1, convention, kLogits, ints({0, 0, 0, 0}), 0, reduction),
                              kl(0.1, convention, kLogits, ints({0, 0, 0, 0}))}) {
        CHECK(r.loss == 0);
        CHECK(largest(r.gradient) == 0);
      }
  CHECK(run(losses::CrossEntropy({.pad_id = 0}), kLogits, ints({0, 0, 0, 0})).loss == 0);
  CHECK(run(losses::CrossEntropy({.class_weight = Tensor::zeros({7}, DType::f64)}), kLogits, kTarget).loss ==
        0);
}

TEST_CASE("fact 7: huge logits give finite losses") {
  for (DType dtype : {DType::f32, DType::f64})
    for (double huge : {1e4, 1e30})
      for (Smoothing convention : kConventions) {
        const Tensor z = Tensor::from(std::vector<double>{huge, -huge, 0, huge, -huge, 1}, {2, 3}).to(dtype);
        const Result r = ce(0.1, convention, z, ints({1, 2}), 0);
        const std::vector<double> q1 = q_of(convention, 0.1, 3, 1, 0), q2 = q_of(convention, 0.1, 3, 2, 0);
        const double expected = (q1[1] * 2 * huge + q1[2] * huge + q2[1] * 2 * huge + q2[2] * (huge - 1)) / 2;
        CHECK(r.loss == near(expected, dtype == DType::f64 ? 1e-12 : 1e-6));
        CHECK(std::isfinite(kl(0.1, convention, z, ints({1, 2})).loss));
        for (double g : r.gradient) CHECK(std::fabs(g) <= 1);
      }
}

TEST_CASE("single precision keeps its digits at an offset of 1e4") {
  for (Smoothing convention : kConventions) {
    const Tensor z = (random({8, 1000}, 5) * 4. + Tensor::full({}, 1e4, DType::f64)).to(DType::f32);
    const Tensor target = ints({1, 2, 3, 4, 5, 6, 7, 999});
    const Result single = ce(0.1, convention, z, target),
                 exact = ce(0.1, convention, z.to(DType::f64), target);
    CHECK(single.loss == near(exact.loss, 1e-6));
    CHECK(distance_of(single.gradient, exact.gradient) <= 2e-6);
  }
}
