// What the losses accept and refuse: reductions, conversion between conventions, options and calls out of
// range, and the bookkeeping of TranslationLoss.
#include <thread>

#include "losses/translation_loss.h"
#include "losses/variants.h"
#include "optim/adam.h"
#include "tiny_model.h"

using namespace gradus;
using namespace gradus::compare;
using losses::LabelSmoothingCrossEntropy;
using losses::LabelSmoothingLoss;
using losses::LossSums;
using losses::Reduction;
using losses::TranslationLoss;

// Smoothing where the pad id belongs does not compile; everything else does.
static_assert(!std::is_constructible_v<TranslationLoss, int64_t, double>);
static_assert(!std::is_constructible_v<TranslationLoss, int, double, int>);
static_assert(!std::is_constructible_v<TranslationLoss, int, float, int32_t, Smoothing, Reduction>);
static_assert(std::is_constructible_v<TranslationLoss, int>);
static_assert(std::is_constructible_v<TranslationLoss, int64_t, int32_t, double, Smoothing, Reduction>);

namespace {

constexpr Smoothing kConventions[] = {Smoothing::uniform, Smoothing::as_printed, Smoothing::others,
                                      Smoothing::others_not_pad};

struct Batch {
  Tensor logits, target_ids;  // [B, T-1, V], [B, T]
};
Batch batch_of(int64_t rows) {
  std::vector<int32_t> ids;
  for (int32_t r = 0; r < rows; ++r)
    for (int32_t id : {1, 2 + r % 5, r % 2 ? 3 : 4, r % 3 ? 2 : 0}) ids.push_back(id);
  return {random({rows, 3, 7}, 11) * 2., ints(ids, {rows, 4})};
}

std::vector<double> all(const LossSums& s) { return {s.smoothed(), s.nll(), s.correct(), s.tokens()}; }

}  // namespace

TEST_CASE("reductions: none has the target's shape and 0 on ignored rows; sum and mean follow from it") {
  const Tensor logits = random({2, 3, 5}, 2) * 2., target = ints({2, 0, 4, 1, 3, 0}, {2, 3});
  for (Smoothing convention : kConventions)
    for (bool kl : {false, true}) {
      const auto run = [&](Reduction reduction, const Tensor& seed) {
        const Variable z(logits, true);
        const Variable loss = kl ? LabelSmoothingLoss(5, 0.1, 0, convention, reduction)(z, target)
                                 : LabelSmoothingCrossEntropy(0.1, 0, convention, reduction)(z, target);
        loss.backward(seed);
        return std::pair{loss.value(), z.grad()};
      };
      const auto none = run(Reduction::none, Tensor::full({2, 3}, 1, DType::f64));
      const auto sum = run(Reduction::sum, Tensor::full({}, 1, DType::f64)),
                 mean = run(Reduction::mean, Tensor::full({}, 1, DType::f64));
      CHECK(none.first.shape() == Shape{2, 3});
      CHECK(values(none.first)[1] == 0);
      CHECK(values(none.first)[5] == 0);
      CHECK(sum.first.item() == near(gradus::sum(none.first).item()));
      CHECK(mean.first.item() == near(sum.first.item() / 4));
      CHECK(equal(sum.second, none.second));
      CHECK(distance(mean.second * 4., sum.second) <= 1e-12);

      const Tensor seed = random({2, 3}, 8);  // each row its own upstream gradient
      CHECK(distance(run(Reduction::none, seed).second, none.second * seed.reshape({2, 3, 1})) <= 1e-12);
    }
}

TEST_CASE("logits [N, V] and [B, T, V] are the same rows") {
  const Tensor logits = random({6, 5}, 2);
  const Tensor target = ints({2, 0, 4, 1, 3, 0});
  const LabelSmoothingLoss loss(5);
  CHECK(loss(Variable(logits), target).value().item() ==
        loss(Variable(logits.reshape({2, 3, 5})), target.reshape({2, 3})).value().item());
}

TEST_CASE("without a pad id every target counts, and `others_not_pad` is `others`") {
  const Tensor logits = random({3, 5}, 4), target = ints({0, 1, 4});
  const auto loss = [&](Smoothing s) {
    return LabelSmoothingCrossEntropy(0.2, -1, s, Reduction::none)(Variable(logits), target).value();
  };
  for (double row : values(loss(Smoothing::uniform))) CHECK(row > 0);
  CHECK(equal(loss(Smoothing::others_not_pad), loss(Smoothing::others)));
}

TEST_CASE("convert: the smoothing that trains alike under another convention") {
  using losses::convert;
  CHECK(convert(0.1, Smoothing::others, Smoothing::uniform, 10) == near(0.1 * 10 / 9));
  CHECK(convert(0.1, Smoothing::uniform, Smoothing::others, 10) == near(0.1 * 9 / 10));
  const Variable logits(random({3, 5}, 4));
  const auto loss = [&](double eps, Smoothing s) {
    return LabelSmoothingCrossEntropy(eps, -1, s)(logits, ints({0, 1, 4})).value().item();
  };
  for (double eps : {0., 0.1, 0.5, 0.8}) {
    CHECK(loss(eps, Smoothing::others) ==
          near(loss(convert(eps, Smoothing::others, Smoothing::uniform, 5), Smoothing::uniform)));
    CHECK(loss(eps, Smoothing::uniform) ==
          near(loss(convert(eps, Smoothing::uniform, Smoothing::others, 5), Smoothing::others)));
  }
  for (Smoothing s : kConventions) {
    CHECK(convert(0.3, s, s, 10) == 0.3);
    CHECK(convert(0, s, Smoothing::as_printed, 10) == 0);
  }
  CHECK(contains(error_of([] { convert(0.95, Smoothing::others, Smoothing::uniform, 5); }), "above 1"));
  for (Smoothing s : {Smoothing::uniform, Smoothing::others}) {
    CHECK(contains(error_of([&] { convert(0.1, s, Smoothing::others_not_pad, 5); }), "no mass on the pad"));
    CHECK(contains(error_of([&] { convert(0.1, Smoothing::as_printed, s, 5); }), "does not sum to 1"));
  }
  CHECK(contains(error_of([] { convert(0.1, Smoothing::as_printed, Smoothing::others_not_pad, 5); }),
                 "neither"));
  CHECK(
      contains(error_of([] { convert(1.5, Smoothing::others, Smoothing::uniform, 5); }), "[0, 1], got 1.5"));
  CHECK(contains(error_of([] { convert(0.1, Smoothing::others, Smoothing::uniform, 1); }),
                 "at least 2, got 1"));
}

TEST_CASE("options out of range are refused when the loss is made") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (double eps : {-0.1, 1.1, nan}) {
    CHECK(contains(error_of([&] { LabelSmoothingLoss(5, eps); }), "smoothing in [0, 1]"));
    CHECK(contains(error_of([&] { LabelSmoothingCrossEntropy{eps}; }), "smoothing in [0, 1]"));
    CHECK(contains(error_of([&] { TranslationLoss(5, 0, eps); }), "smoothing in [0, 1]"));
    CHECK(contains(error_of([&] { TranslationLoss(5).set_smoothing(eps); }), "smoothing in [0, 1]"));
  }
  for (int64_t vocab : {-3, 0, 1}) {
    CHECK(contains(error_of([&] { LabelSmoothingLoss{vocab}; }), message("at least 2, got ", vocab)));
    CHECK(contains(error_of([&] { TranslationLoss{vocab}; }), message("at least 2, got ", vocab)));
  }
  CHECK(contains(error_of([] { LabelSmoothingLoss(2, 0.1, 0, Smoothing::others_not_pad); }),
                 "at least 3, got 2"));
  CHECK_NOTHROW(LabelSmoothingLoss(2, 0.1, -1, Smoothing::others_not_pad));
  CHECK(contains(
      error_of([] {
        LabelSmoothingCrossEntropy(0.1, 0, Smoothing::others_not_pad)(Variable(random({1, 2}, 1)), ints({1}));
      }),
      "at least 3, got 2"));
}

TEST_CASE("calls that do not fit are refused") {
  const LabelSmoothingLoss loss(5);
  const LabelSmoothingCrossEntropy ce;
  const Variable logits(random({2, 3, 5}, 1));
  const auto both = [&](const Variable& z, const Tensor& target, const std::string& part) {
    CHECK(contains(error_of([&] { loss(z, target); }), part));
    CHECK(contains(error_of([&] { ce(z, target); }), part));
  };
  both(logits, ints({1, 2, 3}), "got [2, 3, 5] and [3]");
  both(logits, ints({1, 2, 3, 4, 1, 2}), "got [2, 3, 5] and [6]");
  both(logits, Tensor(), "got [2, 3, 5] and an empty tensor");
  both(Variable(random({5}, 1)), ints({1}), "got [5]");
  both(logits, Tensor::zeros({2, 3}, DType::f64), "got f64 [2, 3]");
  both(logits, ints({1, 2, 3, 4, 1, 5}, {2, 3}), "id 5 at row 1, position 2 is outside [0, 5)");
  both(logits, ints({1, -1, 3, 4, 1, 2}, {2, 3}), "id -1 at row 0, position 1 is outside [0, 5)");
  CHECK(contains(error_of([&] {
                   loss(Variable(random({2, 3, 6}, 1)), ints({1, 2, 3, 4, 1, 2}, {2, 3}));
                 }),
                 "last axis of 5, got logits [2, 3, 6]"));

  const TranslationLoss translation(5);
  CHECK(contains(error_of([&] { translation(logits, ints({1, 2, 3, 4, 1, 2}, {2, 3})); }), "[B, T-1, 5]"));
  CHECK(contains(error_of([&] {
                   translation(Variable(random({2, 3, 6}, 1)), ints({1, 2, 3, 4, 1, 2, 3, 4}, {2, 4}));
                 }),
                 "got [2, 3, 6] and [2, 4]"));
  CHECK(contains(error_of([&] {
                   translation(logits, ints({1, 2, 3, 4, 1, 2, 3, 7}, {2, 4}));
                 }),
                 "id 7 at row 1, position 3 is outside [0, 5)"));
}

TEST_CASE("TranslationLoss drops the first column and reports what a log needs") {
  const Batch b = batch_of(4);
  const Variable z(b.logits, true);
  for (Smoothing convention : kConventions) {
    const auto out = TranslationLoss(7, 0, 0.1, convention)(z, b.target_ids);
    std::vector<int32_t> shifted;
    for (size_t r = 0; r < 4; ++r)
      for (size_t t = 1; t < 4; ++t) shifted.push_back(b.target_ids.to_vector<int32_t>()[4 * r + t]);
    const Tensor target = ints(shifted, {4, 3});
    CHECK(out.loss.value().item() ==
          LabelSmoothingCrossEntropy(0.1, 0, convention)(z, target).value().item());
    CHECK(out.nll_loss() == losses::CrossEntropy({.pad_id = 0})(z, target).value().item());
    CHECK(out.num_tokens() == 12 - std::count(shifted.begin(), shifted.end(), 0));
    CHECK(out.sums.mean_smoothed() == near(out.loss.value().item()));
    CHECK(out.sums.perplexity() == near(std::exp(out.nll_loss())));
  }
  const auto rows = TranslationLoss(7, 0, 0.1, Smoothing::uniform, Reduction::none)(z, b.target_ids);
  CHECK(rows.loss.shape() == Shape{4, 3});
}

TEST_CASE("accuracy: ties go to the lowest index, pad does not count") {
  const Tensor z = Tensor::from(std::vector<double>{0, 2, 2, 1, /**/ 0, 2, 2, 1, /**/ 3, 0, 0, 1}, {1, 3, 4});
  const auto accuracy = [&](std::vector<int32_t> ids) {
    return TranslationLoss(4)(Variable(z), ints(ids, {1, 4})).accuracy();
  };
  CHECK(accuracy({1, 1, 2, 3}) == near(1. / 3));
  CHECK(accuracy({1, 2, 2, 0}) == 0);
  CHECK(accuracy({1, 1, 1, 0}) == 1);
  CHECK(TranslationLoss(4)(Variable(Tensor::zeros({1, 1, 4})), ints({1, 0}, {1, 2})).accuracy() == 0);
}

TEST_CASE("nothing to learn from: all numbers are 0, none is NaN") {
  const Variable z(random({2, 2, 5}, 1), true);
  const auto out = TranslationLoss(5)(z, ints({1, 0, 0, 1, 0, 0}, {2, 3}));
  out.loss.backward();
  CHECK(out.loss.value().item() == 0);
  CHECK(largest(values(z.grad())) == 0);
  CHECK(out.num_tokens() == 0);
  CHECK(out.accuracy() == 0);
  CHECK(out.nll_loss() == 0);
  CHECK(LossSums().accuracy() == 0);
  CHECK(LossSums().mean_nll() == 0);
}

TEST_CASE("micro-batches add up to the batch") {
  const Batch b = batch_of(6);
  const TranslationLoss criterion(7, 0, 0.1, Smoothing::uniform, Reduction::sum);
  const Variable whole(b.logits.copy(), true), parts(b.logits.copy(), true);
  const auto full = criterion(whole, b.target_ids);
  full.loss.backward();
  LossSums sums;
  double loss = 0;
  for (int64_t from = 0; from < 6; from += 2) {
    const auto out = criterion(rows(parts, from, from + 2), b.target_ids.rows(from, from + 2));
    out.loss.backward();
    sums += out.sums;
    loss += out.loss.value().item();
  }
  CHECK(equal(parts.grad(), whole.grad()));
  CHECK(loss == near(full.loss.value().item(), 1e-14));
  CHECK(sums.tokens() == full.num_tokens());
  CHECK(sums.correct() == full.sums.correct());
  CHECK(sums.accuracy() == full.accuracy());
  CHECK(sums.nll() == near(full.sums.nll(), 1e-14));
  CHECK(sums.smoothed() == near(full.sums.smoothed(), 1e-14));
}

TEST_CASE("sums merge without touching what they came from") {
  const Batch b = batch_of(4);
  const TranslationLoss criterion(7);
  const Variable z(b.logits, true), twin(b.logits, true);
  const auto one = criterion(z, b.target_ids);
  const auto two = criterion(Variable(b.logits.rows(0, 2)), b.target_ids.rows(0, 2));
  const std::vector<double> before = all(one.sums);
  LossSums total = one.sums;  // shares the numbers until it changes
  total += two.sums;
  total += LossSums();
  for (size_t i = 0; i < 4; ++i) CHECK(all(total)[i] == all(one.sums)[i] + all(two.sums)[i]);
  CHECK(all(one.sums) == before);
  one.loss.backward();  // divides by its own tokens
  criterion(twin, b.target_ids).loss.backward();
  CHECK(equal(z.grad(), twin.grad()));
}

TEST_CASE("set_smoothing takes effect at the next call") {
  const Batch b = batch_of(4);
  TranslationLoss criterion(7, 0, 0.1);
  CHECK(criterion.smoothing() == 0.1);
  for (double eps : {0.3, 0., 1.}) {
    criterion.set_smoothing(eps);
    CHECK(criterion.smoothing() == eps);
    const Variable z(b.logits, true), fresh(b.logits, true);
    const auto out = criterion(z, b.target_ids), expected = TranslationLoss(7, 0, eps)(fresh, b.target_ids);
    out.loss.backward();
    expected.loss.backward();
    CHECK(out.loss.value().item() == expected.loss.value().item());
    CHECK(equal(z.grad(), fresh.grad()));
  }
}

TEST_CASE("a loss never changes logits that its caller can still see") {
  const Batch b = batch_of(2);
  const Variable leaf(b.logits.copy(), true);
  const Variable z = leaf * 2.;
  const std::vector<double> before = values(z.value());
  TranslationLoss(7)(z, b.target_ids).loss.backward();
  CHECK(values(z.value()) == before);

  const Variable alone(b.logits.copy(), true), kept(b.logits.copy(), true);
  TranslationLoss(7)(alone * 2., b.target_ids).loss.backward();  // the logits' block becomes their gradient
  CHECK(equal(alone.grad(), leaf.grad()));
  const Tensor view = leaf.value().reshape({6, 7});
  const Variable seen = kept * 1.;
  const Tensor other = seen.value().reshape({6, 7});
  TranslationLoss(7)(seen, b.target_ids).loss.backward();
  CHECK(equal(other, view));
}

TEST_CASE("CrossEntropy without options has no padding: class 0 is learned like any other") {
  const Variable z(random({3, 4}, 1), true);
  const Tensor zeros = ints({0, 0, 0});
  const Variable loss = losses::CrossEntropy()(z, zeros);
  double expected = 0;
  for (size_t row = 0; row < 3; ++row) expected -= values(log_softmax(z.value()))[4 * row] / 3;
  CHECK(loss.value().item() == near(expected));
  loss.backward();
  CHECK(largest(values(z.grad())) > 0.1);
}

TEST_CASE("a row whose target equals the pad id is left out, wherever that id lies") {
  const Tensor z = random({3, 5}, 2), two = Tensor::from(values(z.rows(0, 2)), {2, 5});
  for (const int32_t pad : {-1, -2, -100, 0, 4, 5, 1000}) {
    CAPTURE(pad);
    const auto agree = [&](const auto& all, const auto& counted) {
      const Variable leaf(z.copy(), true);
      const Variable loss = all(leaf, ints({1, 2, pad}));
      CHECK(loss.value().item() == near(counted(Variable(two), ints({1, 2})).value().item()));
      loss.backward();
      CHECK(largest(values(leaf.grad().rows(2, 3))) == 0);
    };
    agree(losses::CrossEntropy({.pad_id = pad}), losses::CrossEntropy());
    agree(LabelSmoothingCrossEntropy(0.1, pad), LabelSmoothingCrossEntropy(0.1, -1));
    agree(LabelSmoothingLoss(5, 0.1, pad), LabelSmoothingLoss(5, 0.1, -1));
    agree(losses::ConfidencePenalty(pad), losses::ConfidencePenalty());
    if (pad < 0 || pad >= 5)
      agree(LabelSmoothingCrossEntropy(0.1, pad, Smoothing::others_not_pad),
            LabelSmoothingCrossEntropy(0.1, -1, Smoothing::others));
  }
  for (const int32_t id : {-100, 5})
    CHECK(contains(error_of([&] {
                     losses::CrossEntropy({.pad_id = 2})(Variable(z), ints({1, 2, id}));
                   }),
                   message("id ", id, " at row 0, position 2 is outside [0, 5)")));
}

TEST_CASE("losses are values: copies are independent, and what was computed keeps its smoothing") {
  LabelSmoothingCrossEntropy training(0.1, -1);
  LabelSmoothingCrossEntropy validation = training;
  validation.set_smoothing(0);
  CHECK(training.smoothing() == 0.1);
  const Variable z(random({2, 5}, 3), true);
  const Variable loss = training(z, ints({1, 2}));
  training.set_smoothing(0.7);
  loss.backward();
  const Variable same(z.value().copy(), true);
  LabelSmoothingCrossEntropy(0.1, -1)(same, ints({1, 2})).backward();
  CHECK(equal(z.grad(), same.grad()));
}

TEST_CASE("a number with a fraction does not compile where an id belongs") {
  using losses::ConfidencePenalty;
  using losses::CrossEntropy;
  static_assert(!std::is_constructible_v<CrossEntropy, double>);
  static_assert(!std::is_constructible_v<CrossEntropy, float>);
  static_assert(!std::is_constructible_v<LabelSmoothingLoss, int, int, double>);
  static_assert(!std::is_constructible_v<LabelSmoothingCrossEntropy, int, double>);
  static_assert(!std::is_constructible_v<TranslationLoss, int, double>);
  static_assert(!std::is_constructible_v<TranslationLoss, int, double, double>);
  static_assert(!std::is_constructible_v<ConfidencePenalty, double>);
  static_assert(std::is_constructible_v<LabelSmoothingLoss, int, double, int>);
  static_assert(std::is_constructible_v<LabelSmoothingCrossEntropy, double, int64_t>);
  static_assert(std::is_constructible_v<TranslationLoss, int, int, double>);
  static_assert(std::is_constructible_v<ConfidencePenalty, int>);
  CHECK_NOTHROW(CrossEntropy({.smoothing = 0.1, .pad_id = 0}));
}

TEST_CASE("class weight 0: the row is not read, and the weighted nll is a sum over the others") {
  std::vector<double> z = values(random({3, 4}, 5));
  for (const double odd : {double(NAN), double(INFINITY), -double(INFINITY)}) {
    CAPTURE(odd);
    for (size_t j = 4; j < 8; ++j) z[j] = odd;
    const Variable leaf(Tensor::from(z, {3, 4}), true);
    const Tensor weight = Tensor::from(std::vector<double>{2, 0, 0.5, 1}, {4});
    for (const double eps : {0., 0.1}) {
      const CrossEntropyOutput out =
          cross_entropy(leaf, ints({0, 1, 2}), {.smoothing = eps, .class_weight = weight});
      const std::vector<double> log_p = values(log_softmax(leaf.value()));
      const LossSums sums(out.sums);
      CHECK(sums.nll() == near(-2 * log_p[0] - 0.5 * log_p[10]));
      CHECK(out.loss.value().item() == near(sums.smoothed() / 2.5));
      CHECK(std::isfinite(out.loss.value().item()));
      leaf.zero_grad();
      out.loss.backward();
      CHECK(largest(values(leaf.grad().rows(1, 2))) == 0);
      for (double g : values(leaf.grad())) CHECK(std::isfinite(g));
    }
  }
}

TEST_CASE("a prior at eps 0 and 1, where logits are -infinity") {
  const double inf = INFINITY;
  const Tensor prior = Tensor::from(std::vector<double>{0.5, 0, 0.5}, {3}), target = ints({0, 1});
  const Tensor z = Tensor::from(std::vector<double>{1, -inf, 2, /**/ 0, -inf, 1}, {2, 3});
  const auto rows_of = [&](double eps, const Tensor& logits) {
    const Variable leaf(logits, true);
    const Variable rows =
        losses::CrossEntropy({.smoothing = eps, .reduction = Reduction::none, .prior = prior})(leaf, target);
    sum(rows).backward();
    return std::pair(values(rows.value()), values(leaf.grad()));
  };
  // Row 0 never needs ln p of class 1; row 1 does, but for eps = 1.
  const auto [hard, hard_gradient] = rows_of(0, z);
  CHECK(hard[0] == near(std::log1p(std::exp(1.))));
  CHECK(hard[1] == inf);
  const auto [soft, soft_gradient] = rows_of(1, z);
  CHECK(soft[0] == near(std::log1p(std::exp(1.)) - 0.5));
  CHECK(soft[1] == near(std::log1p(std::exp(1.)) - 0.5));
  for (double g : soft_gradient) CHECK(std::isfinite(g));
  const auto [mixed, mixed_gradient] = rows_of(0.25, z);
  CHECK(mixed[0] == near(0.75 * hard[0] + 0.25 * soft[0]));
  CHECK(mixed[1] == inf);
}

TEST_CASE("threads may share a const loss, and train models of their own") {
  const TranslationLoss criterion(7, 0, 0.1);
  const auto trained = [&](uint64_t seed) {
    nn::TranslationModel model = tiny_model(tiny_config(), seed);
    optim::Adam adam(model.parameters());
    for (int i = 0; i < 5; ++i) {
      adam.zero_grad();
      criterion(run(model), TranslationBatch{}.target).loss.backward();
      adam.step();
    }
    return values(model.parameters()[0].variable.value());
  };
  const std::vector<double> one = trained(1), two = trained(2);
  std::vector<double> threaded_one, threaded_two;
  std::thread first([&] { threaded_one = trained(1); }), second([&] { threaded_two = trained(2); });
  first.join();
  second.join();
  CHECK(threaded_one == one);
  CHECK(threaded_two == two);
}

TEST_CASE("losses keep weights and priors of their own, and ids that fit") {
  const Tensor weight = Tensor::full({4}, 1, DType::f64), target = ints({0, 1});
  const losses::CrossEntropy loss({.class_weight = weight});
  const Variable z(random({2, 4}, 1), true);
  const double before = loss(z, target).value().item();
  weight.assign(weight * -1.);
  CHECK(loss(z, target).value().item() == before);
  CHECK(contains(error_of([] { losses::ClassId(int64_t{1} << 32); }), "class id: 4294967296 is no i32"));
  CHECK(contains(error_of([] { LabelSmoothingLoss{-1}; }), "at least 2, got -1"));
  CHECK(values(losses::unigram_prior(ints({1, 0, 3}))) == std::vector<double>{0.25, 0, 0.75});
}

TEST_CASE("losses: targets and priors of another kind are told at once, smoothing or not") {
  const Variable logits(random({2, 3}, 1, DType::f32));
  const losses::CrossEntropy plain, towards({.prior = Tensor::from<double>({0.5, 0.5}, {2})});
  CHECK(error_of([&] { plain(logits, Tensor::zeros({2})); }) ==
        "cross-entropy: expected a target of class ids, i32, got f32 [2]");
  CHECK(contains(error_of([&] { plain(logits, {}); }), "and an empty tensor"));
  CHECK(contains(error_of([&] {
                   towards(logits, ints({0, 1}));
                 }),
                 "expected a prior, or class weights, f32 [3], got f64 [2]"));
  CHECK(contains(error_of([] {
                   losses::CrossEntropy({.class_weight = ints({1, 2})});
                 }),
                 "class weights: expected f32 or f64"));
}

TEST_CASE("accuracy: the share of rows whose first largest logit is the target's, without padding") {
  const Tensor logits = Tensor::from({1., 2., 2., 3., 0., 0., 0., 0., 1.}, {3, 3});
  CHECK(losses::accuracy(logits, ints({1, 0, 1})) == doctest::Approx(2. / 3));
  CHECK(losses::accuracy(Variable(logits), ints({1, 0, -100}), -100) == 1);
  CHECK(losses::accuracy(logits, ints({2, 2, 2})) ==
        doctest::Approx(1. / 3));  // [1] and [2] alike: [1] it is
  CHECK(losses::accuracy(logits, ints({0, 0, 0}), 0) == 0);
  CHECK(contains(error_of([&] {
                   losses::accuracy(logits, ints({1, 0, 3}));
                 }),
                 "accuracy: id 3 at row 0, position 2"));
  CHECK(contains(error_of([&] { losses::accuracy(logits, ints({1, 0})); }), "accuracy: expected logits"));
}

TEST_CASE("cross_entropy itself: numbers out of range, and weights that are no weights") {
  const Variable logits(Tensor::zeros({1, 2}, DType::f64), true);
  const auto said = [&](const CrossEntropySpec& spec) {
    return error_of([&] { cross_entropy(logits, ints({1}), spec); });
  };
  CHECK(contains(said({.smoothing = -1}), "expected smoothing in [0, 1], got -1"));
  CHECK(contains(said({.smoothing = NAN}), "expected smoothing in [0, 1], got nan"));
  CHECK(contains(said({.convention = Smoothing::others_not_pad, .smoothing = 0.1, .pad_id = 0}),
                 "at least 3 classes"));
  for (const double bad : {-1., double(NAN)}) {  // not looked at for each call: forward and backward agree
    logits.zero_grad();
    const CrossEntropyOutput out =
        cross_entropy(logits, ints({1}), {.class_weight = Tensor::from<double>({1, bad}, {2})});
    out.loss.backward();
    CHECK(out.loss.item() == 0);
    CHECK(values(logits.grad()) == std::vector<double>{0, 0});
  }
}

TEST_CASE("the confidence of ConfidenceTriggered can be kept and set") {
  losses::ConfidenceTriggered a(0.2, 0.1), b(0.2, 0.1);
  a(0.1);
  b.set_confidence(a.confidence());
  CHECK(a(0.2) == b(0.2));
  CHECK(contains(error_of([&] { b.set_confidence(1.5); }), "in [0, 1], got 1.5"));
}
