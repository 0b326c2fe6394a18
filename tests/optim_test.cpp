// Optimisers beyond the steps that torch agrees with (fixtures_training_test.cpp): parameters that stay in
// their blocks, gradients clipped and scaled, schedules in closed form, state, groups, and whole training
// runs that repeat bit for bit.
#include <cstdint>

#include "losses/translation_loss.h"
#include "optim/adam.h"
#include "optim/schedule.h"
#include "optim/sgd.h"
#include "tiny_model.h"

using namespace gradus;
using namespace gradus::compare;
using namespace gradus::optim;

namespace {

// Two matrices and two vectors, of sizes that do not divide by anything.
std::vector<NamedParameter> some_parameters(DType dtype = DType::f64) {
  return {{"bias", random_leaf({3}, 1, dtype)},
          {"weight", random_leaf({5, 3}, 2, dtype)},
          {"gain", random_leaf({17}, 3, dtype)},
          {"table", random_leaf({4, 2, 9}, 4, dtype)}};
}

void fill_gradients(const std::vector<NamedParameter>& parameters, uint64_t seed = 10) {
  for (const auto& [name, p] : parameters) p.grad().assign(random(p.shape(), ++seed, p.value().dtype()));
}

double norm_of(const std::vector<NamedParameter>& parameters) {
  double sum = 0;
  for (const auto& [name, p] : parameters)
    for (double g : values(p.grad())) sum += g * g;
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("schedules: noam is equation 3, and peaks at the end of warmup") {
  for (double d : {64., 512.})
    for (double w : {1., 10., 4000.}) {
      for (double s : {1., 2., 9., 10., 11., 3999., 4000., 4001., 1e6}) {
        CHECK(noam(s, d, w) == near(std::min(1 / std::sqrt(s), s / std::pow(w, 1.5)) / std::sqrt(d)));
        CHECK(noam(s, d, w) <= noam(w, d, w));
      }
      CHECK(noam(w, d, w) == near(1 / std::sqrt(d * w)));
    }
  CHECK(noam(4000, 512, 4000) == near(6.98771242968684e-4));  // the paper's base model
}

TEST_CASE("schedules: warmup rises in a straight line and meets what follows") {
  const auto follows = [](const auto& schedule) {
    for (double step : {1., 50., 99., 100.}) CHECK(schedule(step) == near(2 * step / 100));
    CHECK(schedule(100 + 1e-9) == near(2, 1e-10));
    for (double step = 101; step < 1000; step += 10) CHECK(schedule(step) < schedule(step - 1));
  };
  follows([](double s) { return inverse_square_root(s, 2, 100); });
  follows([](double s) { return linear(s, 2, 100, 1000, 0.5); });
  follows([](double s) { return cosine(s, 2, 100, 1000, 0.5); });
  CHECK(inverse_square_root(1, 3, 0) == 3);  // no warmup
  CHECK(inverse_square_root(16, 3, 0) == near(0.75));
}

TEST_CASE("schedules: linear and cosine on the way, at the end and after it") {
  for (double last : {0., 0.25})
    for (double w : {0., 20.}) {
      for (const auto& schedule : {linear, cosine}) {
        CHECK(schedule(w + 100, 1, w, w + 200, last) == near((1 + last) / 2));
        for (double step : {w + 200, w + 201, 1e4})
          CHECK(std::fabs(schedule(step, 1, w, w + 200, last) - last) <= 1e-15);
      }
      CHECK(linear(w + 50, 1, w, w + 200, last) == near(1 - (1 - last) / 4));
      CHECK(cosine(w + 50, 1, w, w + 200, last) == near(last + (1 - last) * (1 + std::sqrt(0.5)) / 2));
    }
}

TEST_CASE("schedules: what has no meaning is refused") {
  CHECK(contains(error_of([] { noam(0, 512, 4000); }), "expected step >= 1"));
  CHECK(contains(error_of([] { noam(1, 0, 4000); }), "noam: expected d_model and warmup >= 1, got 0"));
  CHECK(contains(error_of([] { noam(1, 512, 0); }), "noam: expected d_model and warmup >= 1"));
  CHECK(contains(error_of([] { inverse_square_root(1, 1, -1); }), "warmup >= 0"));
  for (const auto& schedule : {linear, cosine})
    CHECK(contains(error_of([&] { schedule(1, 1, 9, 9, 0); }), "more steps in total than in warmup, got 9"));
}

TEST_CASE("optimisers leave parameters in their blocks, whatever is done to them") {
  nn::TranslationModel model = tiny_model(tiny_config(nn::Tie::all));
  const auto other = tiny_model(tiny_config(nn::Tie::all), 7).state();
  Adam adam(model.parameters());
  const auto blocks = [&] {
    std::vector<std::byte*> result;
    for (const auto& [name, p] : model.parameters()) {
      result.push_back(p.value().bytes());
      result.push_back(p.grad().bytes());
    }
    return result;
  };
  const auto before = blocks();
  const Variable first = model.parameters()[0].variable;
  for (int i = 0; i < 2; ++i) {
    losses::TranslationLoss(7)(run(model), TranslationBatch{}.target).loss.backward();
    const Tensor logits = run(model).value();
    adam.step();  // the model sees what the optimiser writes
    CHECK(!equal(run(model).value(), logits));
    if (i == 0) model.load(other);
    else model.init(3);
    first.zero_grad();
    CHECK(largest(values(first.grad())) == 0);
    CHECK(norm_of(model.parameters()) > 0);
    adam.zero_grad();
    CHECK(norm_of(model.parameters()) == 0);
  }
  CHECK(blocks() == before);
}

TEST_CASE("weight decay is for parameters of two axes and more") {
  const std::vector<NamedParameter> a = some_parameters(), b = some_parameters(), before = some_parameters();
  Sgd(a, {.lr = 0.1, .weight_decay = 0.2}).step();  // all gradients are 0
  AdamW(b, {.lr = 0.1, .weight_decay = 0.2}).step();
  for (size_t i = 0; i < a.size(); ++i) {
    const Tensor was = before[i].variable.value();
    const Tensor expected = was.shape().rank() == 1 ? was : was * (1 - 0.1 * 0.2);
    for (const auto& parameters : {a, b}) CHECK(distance(parameters[i].variable.value(), expected) <= 1e-15);
  }
}

TEST_CASE("gradients are clipped to a norm and scaled, all of them together") {
  const std::vector<NamedParameter> parameters = some_parameters(), before = some_parameters();
  fill_gradients(before);
  Sgd sgd(parameters);
  const double norm = norm_of(before);
  for (double max_norm : {0.25, norm * 0.99, norm * 1.01, 100.}) {
    fill_gradients(parameters);
    CHECK(sgd.clip_gradients(max_norm).item() == near(norm, 1e-14));
    CHECK(norm_of(parameters) == near(std::min(norm, max_norm), 1e-6));
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Tensor was = before[i].variable.grad(), is = parameters[i].variable.grad();
      if (max_norm > norm) CHECK(equal(is, was));
      CHECK(distance(is, was * std::min(1., max_norm / norm)) <= 1e-6);  // the divisor is norm + 1e-6
    }
  }
  sgd.zero_grad();
  CHECK(sgd.clip_gradients(1).item() == 0);
  CHECK(norm_of(parameters) == 0);
  fill_gradients(parameters);
  sgd.scale_gradients(-0.5);
  for (size_t i = 0; i < parameters.size(); ++i)
    CHECK(equal(parameters[i].variable.grad(), before[i].variable.grad() * -0.5));
}

TEST_CASE("what an optimiser cannot work with is refused") {
  CHECK(error_of([] { Sgd(std::vector<NamedParameter>{}); }) == "sgd: no parameters that want a gradient");
  std::vector<NamedParameter> mixed = some_parameters();
  mixed[2].variable = random_leaf({2}, 1, DType::f32);
  CHECK(contains(error_of([&] { Sgd{mixed}; }), "sgd: gain is f32 on cpu, the first parameter f64"));
  Sgd sgd(some_parameters(), {.lr = 0.5});
  for (double lr : {-1e-9, std::numeric_limits<double>::infinity(), std::nan("")})
    CHECK(contains(error_of([&] { sgd.set_lr(lr); }), "sgd: expected a learning rate >= 0, got "));
  CHECK(sgd.lr() == 0.5);
  for (double norm : {0., -1., std::nan("")})
    CHECK(contains(error_of([&] { sgd.clip_gradients(norm); }), "expected a positive norm, got "));
}

TEST_CASE("k micro-batches, summed and divided by all tokens, make the step of the whole batch") {
  const auto step = [](int64_t size, losses::Reduction reduction) {
    nn::TranslationModel model = tiny_model(tiny_config());
    Sgd sgd(model.parameters(), {.lr = 1});
    const losses::TranslationLoss criterion(7, kPad, 0.1, Smoothing::uniform, reduction);
    const TranslationBatch all;
    losses::LossSums sums;
    for (int64_t i = 0; i < 2; i += size) {
      const auto part = [&](const Tensor& x) { return x.rows(i, i + size); };
      const TranslationBatch b{part(all.source), part(all.source_lengths), part(all.target),
                               part(all.target_lengths)};
      const auto out = criterion(run(model, b), b.target);
      out.loss.backward();
      sums += out.sums;
    }
    if (reduction == losses::Reduction::sum) sgd.scale_gradients(1 / sums.tokens());
    sgd.step();
    return model.state();
  };
  const auto whole = step(2, losses::Reduction::mean), untouched = tiny_model(tiny_config()).state();
  for (int64_t size : {1, 2})
    for (const auto& [name, x] : step(size, losses::Reduction::sum)) {
      const std::string which =
          message(size, " at a time: ", name);  // clang 14 captures no structured binding
      INFO(which);
      CHECK(!equal(x, untouched.at(name)));
      CHECK(distance(x, whole.at(name)) <= 1e-13);
    }
}

TEST_CASE("training repeats: the same bits with 1, 2 and 4 threads, and in a second run") {
  const auto train = [](int threads) {
    set_num_threads(threads);
    nn::TranslationModelConfig config = tiny_config(nn::Tie::all);
    config.source_vocab = config.target_vocab = 50;
    config.transformer = {.d_model = 64, .heads = 2, .layers = 2, .ff = 128, .dropout = 0.2};
    config.longest = 32;
    nn::TranslationModel model(config);
    model.init(5);
    AdamW adam(model.parameters());
    const losses::TranslationLoss criterion(50);
    std::vector<int32_t> ids, counts;  // 16 x 32: large enough to be cut into blocks for the threads
    for (double u : values(Generator(9).uniform({16 * 32}, 3, 50))) ids.push_back(static_cast<int32_t>(u));
    for (int32_t i = 0; i < 16; ++i) counts.push_back(2 * i + 1);
    const Tensor batch = ints(ids, {16, 32}), lengths = ints(counts);
    std::vector<double> result;
    for (int step = 1; step <= 15; ++step) {
      model.generator().next_step();
      adam.set_lr(noam(step, 32, 4) / 10);
      adam.zero_grad();
      const auto out = criterion(model(batch, lengths, batch, lengths), batch);
      out.loss.backward();
      result.push_back(adam.clip_gradients(1).item());
      adam.step();
      result.push_back(out.loss.value().item());
    }
    CHECK(result.back() < result[1]);
    for (const auto& [name, value] : model.state())
      for (double x : values(value)) result.push_back(x);
    return result;
  };
  const int before = num_threads();
  const std::vector<double> one = train(1);
  for (int threads : {1, 2, 4}) CHECK(train(threads) == one);
  set_num_threads(before);
}

TEST_CASE("optimisers: state that is saved and loaded goes on bit for bit") {
  const auto check_resumes = [](const auto& make) {
    const std::vector<NamedParameter> straight = some_parameters(DType::f32),
                                      resumed = some_parameters(DType::f32);
    auto a = make(straight);
    const auto step = [](auto& optimizer, const auto& parameters, uint64_t number) {
      fill_gradients(parameters, number);
      optimizer.step();
    };
    for (uint64_t i = 0; i < 3; ++i) step(a, straight, i);
    std::map<std::string, Tensor> state;  // copies: what a file would hold
    for (const auto& [name, tensor] : a.state()) state[name] = tensor.copy();
    for (size_t i = 0; i < straight.size(); ++i)
      resumed[i].variable.value().assign(straight[i].variable.value());
    auto b = make(resumed);
    b.load(state);
    for (uint64_t i = 3; i < 6; ++i) step(a, straight, i), step(b, resumed, i);
    for (size_t i = 0; i < straight.size(); ++i)
      CHECK(equal(resumed[i].variable.value(), straight[i].variable.value()));
    CHECK(contains(error_of([&] { b.load({}); }), ": the file has no "));
    const std::string name = std::find_if(state.begin(), state.end(), [](const auto& entry) {
                               return entry.second.shape().rank() == 2;
                             })->first;
    const Tensor moment = state.at(name);
    state[name] = moment.to(DType::f64);  // a file of the other real dtype, as for modules
    b.load(state);
    CHECK(equal(b.state().at(name), moment));
    state[name] = Tensor({2, 2});
    CHECK(contains(error_of([&] { b.load(state); }), "f32 [2, 2] in the file"));
  };
  check_resumes([](const auto& p) { return Adam(p, {.lr = 0.1, .weight_decay = 0.1}); });
  check_resumes([](const auto& p) { return AdamW(p, {.lr = 0.1}); });
  check_resumes([](const auto& p) { return Sgd(p, {.lr = 0.1, .momentum = 0.9, .nesterov = true}); });
}

TEST_CASE("AdamW decays by 0.01 unless told otherwise, Adam not at all") {
  const auto after = [](auto make) {  // 100 steps with gradients of 0, from 1
    const Variable w(Tensor::full({2, 2}, 1, DType::f64), true);
    auto adam = make(std::vector<NamedParameter>{{"w", w}});
    for (int i = 0; i < 100; ++i) adam.step();
    return w.value().rows(0, 1).to_vector<double>()[0];
  };
  CHECK(after([](const auto& p) { return AdamW(p); }) == near(std::pow(1 - 1e-3 * 0.01, 100)));
  CHECK(after([](const auto& p) { return AdamW(p, {.lr = 1e-3}); }) == near(std::pow(1 - 1e-3 * 0.01, 100)));
  CHECK(after([](const auto& p) { return AdamW(p, {.lr = 0.1}); }) == near(std::pow(1 - 0.1 * 0.01, 100)));
  CHECK(after([](const auto& p) { return AdamW(p, {.weight_decay = 0}); }) == 1);
  CHECK(after([](const auto& p) { return Adam(p, {.lr = 0.1}); }) == 1);
}

TEST_CASE("Adam adds plain weight decay to the gradient, and to its square, but for vectors") {
  const double g = 0.3, w0 = 2, decay = 0.1, lr = 0.01, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  for (const bool matrix : {true, false}) {
    const Variable w(Tensor::full(matrix ? Shape{1, 1} : Shape{1}, w0, DType::f64), true);
    Adam adam({{"w", w}}, {.lr = lr, .weight_decay = decay});
    double expected = w0, m = 0, v = 0;
    for (int t = 1; t <= 3; ++t) {
      w.grad().assign(Tensor::full(w.shape(), g, DType::f64));
      adam.step();
      const double total = g + (matrix ? decay * expected : 0);
      m = beta1 * m + (1 - beta1) * total;
      v = beta2 * v + (1 - beta2) * total * total;
      expected -= lr * m / (1 - std::pow(beta1, t)) / (std::sqrt(v / (1 - std::pow(beta2, t))) + eps);
      CHECK(w.value().item() == near(expected));
    }
  }
}

TEST_CASE("optimisers follow their parameters, and may share them") {
  const auto trained = [](bool early) {
    nn::TranslationModel model(tiny_config());
    model.init(3);
    std::optional<Adam> adam;
    if (early) adam.emplace(model.parameters());
    model.to(DType::f64);
    if (!early) adam.emplace(model.parameters());
    for (int i = 0; i < 2; ++i) {
      adam->zero_grad();
      losses::TranslationLoss(7)(run(model), TranslationBatch{}.target).loss.backward();
      adam->step();
    }
    return values(model.parameters()[0].variable.value());
  };
  CHECK(trained(true) == trained(false));

  const auto moved_between = [](DType dtype) {  // what it remembers goes with its parameters
    const Variable w(Tensor::from<float>({1, 2, 3, 4}, {2, 2}), true);
    Adam adam({{"w", w}}, {.lr = 0.1});
    for (int i = 0; i < 4; ++i) {
      if (i == 2) w.move_to(dtype, Device::cpu);
      adam.zero_grad();
      sum(w * w * w).backward();
      adam.step();
    }
    return w.value().to(DType::f64);
  };
  CHECK(distance(moved_between(DType::f64), moved_between(DType::f32)) <= 1e-6);

  const std::vector<NamedParameter> p = some_parameters();
  Sgd one(p, {.lr = 0.5});
  CHECK_THROWS_AS(Adam(p, {.beta1 = 2}), std::invalid_argument);  // and the first one goes on
  Sgd two(p, {.lr = 0.25});
  fill_gradients(p);
  const std::vector<double> was = values(p[1].variable.value()), g = values(p[1].variable.grad());
  one.step();
  two.step();
  const std::vector<double> is = values(p[1].variable.value());
  for (size_t i = 0; i < is.size(); ++i) CHECK(is[i] == near(was[i] - 0.5 * g[i] - 0.25 * g[i]));
  one.zero_grad();
  CHECK(norm_of(p) == 0);
}

TEST_CASE("optimisers: one parameter twice, and one name for two") {
  const Variable a = random_leaf({2}, 1), b = random_leaf({2}, 2);
  CHECK(contains(error_of([&] { Adam({{"", a}, {"", b}}); }), "adam: two parameters are called ''"));
  CHECK(contains(error_of([&] { Sgd({{"a", a}, {"b", a}}); }), "sgd: b and a share elements"));
  CHECK(contains(error_of([&] {
                   Sgd({{.parameters = {{"a", a}}}, {.parameters = {{"a", a}}}});
                 }),
                 "sgd: a is there twice; a parameter stands in one group"));
  CHECK(error_of([&] { Sgd({{"c", a.detach()}}); }) == "sgd: no parameters that want a gradient");
  CHECK(contains(error_of([&] { Sgd({{"d", a * 2}}); }), "sgd: d is no leaf"));
}

TEST_CASE("optimisers: the learning rate is part of the state; a file without it keeps the current one") {
  const std::vector<NamedParameter> p = some_parameters();
  Adam a(p, {.lr = 0.5}), b(p, {.lr = 0.1});
  std::map<std::string, Tensor> state = a.state();
  b.load(state);
  CHECK(b.lr() == 0.5);
  state.erase("adam.lr");
  b.set_lr(0.2);
  b.load(state);
  CHECK(b.lr() == 0.2);
  state["adam.lr"] = Tensor::full({1}, -1, DType::f64);
  CHECK(contains(error_of([&] { b.load(state); }), "learning rate in the file is -1"));
  CHECK(b.lr() == 0.2);
  state.erase("adam.lr");
  state["adam.step"] = Tensor::full({1}, 2147483647, DType::i32);  // one more is no i32
  CHECK(contains(error_of([&] { b.load(state); }), "number of steps in the file is 2.14748e+09"));
}

TEST_CASE("schedules: rates below 0 are refused") {
  CHECK(contains(error_of([] { inverse_square_root(1, -1, 10); }), "a peak >= 0, got -1"));
  for (const auto& schedule : {linear, cosine}) {
    CHECK(contains(error_of([&] { schedule(1, -1, 0, 9, 0); }), "a peak >= 0, got -1"));
    CHECK(contains(error_of([&] { schedule(1, NAN, 0, 9, 0); }), "a peak >= 0, got nan"));
    CHECK(contains(error_of([&] { schedule(1, 1, 0, 9, -2); }), "a last rate >= 0, got -2"));
  }
}

TEST_CASE("optimisers: state() shares and snapshot() copies, all of it") {
  const Variable w(Tensor::full({2, 2}, 1, DType::f64), true);
  Adam adam({{"w", w}}, {.lr = 0.1});
  const auto step = [&] {
    w.grad().assign(w.value() * 2);
    adam.step();
  };
  step();
  const std::map<std::string, Tensor> saved = adam.snapshot(), shared = adam.state();
  const Tensor weights = w.value().copy();
  step();
  const std::vector<double> expected = values(w.value());
  adam.set_lr(0.5);
  step();
  CHECK(shared.at("adam.step").item() == 3);
  CHECK(shared.at("adam.lr").item() == 0.5);
  CHECK(saved.at("adam.step").item() == 1);
  w.value().assign(weights);
  adam.load(saved);
  step();
  CHECK(values(w.value()) == expected);
}

TEST_CASE("optimisers: numbers that would spoil the weights are refused") {
  const std::vector<NamedParameter> p = some_parameters();
  Adam adam(p);
  for (double factor : {double(INFINITY), double(NAN)})
    CHECK(contains(error_of([&] { adam.scale_gradients(factor); }), "expected a finite factor"));
  std::map<std::string, Tensor> state = adam.snapshot();
  state["adam.step"] = ints({-1});
  CHECK(contains(error_of([&] { adam.load(state); }), "adam: the number of steps in the file is -1"));
  state["adam.step"] = Tensor();
  CHECK(contains(error_of([&] { adam.load(state); }), "adam: adam.step is an empty tensor"));
  CHECK(contains(error_of([&] { Adam(p, {.eps = INFINITY}); }), "eps > 0"));
  CHECK(contains(error_of([&] { Sgd(p, {.momentum = INFINITY}); }), "momentum"));
  const Tensor block = Tensor::zeros({2}, DType::f64);
  CHECK(contains(error_of([&] {
                   Sgd({{"a", Variable(block, true)}, {"b", Variable(block, true)}});
                 }),
                 "sgd: b and a share elements"));
  Sgd gone(p);
  const Sgd taken = std::move(gone);
  CHECK(contains(error_of([&] { gone.zero_grad(); }), "moved from"));
}

TEST_CASE("optimisers: groups have rates and decays of their own, and one norm") {
  const Variable a(Tensor::full({1, 1}, 1, DType::f64), true), b(Tensor::full({1, 1}, 1, DType::f64), true),
      bias(Tensor::full({1}, 1, DType::f64), true);
  Sgd sgd({{.parameters = {{"a", a}}, .lr_scale = 0.1},
           {.parameters = {{"b", b}, {"bias", bias}}, .weight_decay = 0.5}},
          {.lr = 1, .weight_decay = 0.2});
  sgd.step();  // w -= lr lr_scale (0 + decay w)
  CHECK(a.item() == doctest::Approx(1 - 0.1 * 0.2));
  CHECK(b.item() == doctest::Approx(1 - 0.5));
  CHECK(bias.item() == 1);  // one axis
  (sum(a * 3) + sum(b * 4)).backward();
  CHECK(sgd.clip_gradients(1).item() == doctest::Approx(5));
  CHECK(a.grad().item() == doctest::Approx(0.6));
  sgd.set_lr(0.5);
  sgd.zero_grad();
  const double before = a.item();
  sgd.step();
  CHECK(a.item() == doctest::Approx(before * (1 - 0.05 * 0.2)));
  Sgd alone({{.parameters = {{"b", b}}}});  // one group, which is no copy of an Sgd
  CHECK(alone.lr() == 0.01);
  const auto group = [&](double scale, double decay) {
    return error_of([&] { AdamW({{.parameters = {{"a", a}}, .lr_scale = scale, .weight_decay = decay}}); });
  };
  CHECK(group(-1, 0) == "adam: expected lr_scale >= 0, got -1");
  CHECK(group(1, NAN) == "adam: expected weight decay >= 0, got nan");
  CHECK(contains(error_of([&] {
                   Adam({{.parameters = {{"a", a}}}, {.parameters = {{"b", a}}}});
                 }),
                 "b and a share elements"));
}

TEST_CASE("optimisers: what is frozen is left out at first, and passed over later, its moments too") {
  const Variable a = random_leaf({2, 2}, 1), b = random_leaf({2, 2}, 2), c = random_leaf({2, 2}, 3);
  c.set_requires_grad(false);
  Adam adam({{"a", a}, {"b", b}, {"c", c}}, {.lr = 0.1});
  CHECK(!adam.state().contains("adam.m.c"));
  const auto step = [&] {
    adam.zero_grad();
    sum(a * a + b * b).backward();
    adam.step();
  };
  step();
  b.set_requires_grad(false);
  const std::vector<double> weight = values(b.value()), moment = values(adam.state().at("adam.m.b"));
  const uint64_t version = b.value().version();
  step();
  CHECK(values(b.value()) == weight);
  CHECK(values(adam.state().at("adam.m.b")) == moment);
  CHECK(b.value().version() == version);
  a.set_requires_grad(false);
  CHECK_NOTHROW(adam.step());  // nothing learns
  CHECK(adam.clip_gradients(1).item() == 0);
  b.set_requires_grad(true);
  sum(b).backward();
  adam.step();
  CHECK(values(b.value()) != weight);
}

// Kingma & Ba 2015, algorithm 1: with one gradient of constant sign the first step of a parameter is lr,
// whenever it comes, because its means are corrected for how few gradients they have seen.
TEST_CASE(
    "Adam counts the steps of each parameter: one that was frozen begins with a first step of its own") {
  const Variable a(Tensor::zeros({1}, DType::f64), true), b(Tensor::zeros({1}, DType::f64), true);
  const std::vector<NamedParameter> both{{"a", a}, {"b", b}};
  const AdamOptions options{.lr = 0.1, .eps = 1e-30};
  Adam adam(both, options);
  const auto step = [&](Adam& of) {
    of.zero_grad();
    sum(a * 3 + b * 5).backward();
    of.step();
  };
  b.set_requires_grad(false);
  for (int i = 0; i < 50; ++i) step(adam);
  b.set_requires_grad(true);
  CHECK(b.value().item() == 0);
  step(adam);
  CHECK(b.value().item() == near(-0.1));
  step(adam);  // a constant gradient: each corrected mean is that gradient
  CHECK(b.value().item() == near(-0.2));
  CHECK(a.value().item() == near(-0.1 * 52));

  Adam resumed(both, options);
  resumed.load(adam.snapshot());
  step(resumed);
  CHECK(b.value().item() == near(-0.3));

  std::map<std::string, Tensor> old = adam.snapshot();  // a file of a version that counted for all together
  old.erase("adam.passed_over.a");
  old.erase("adam.passed_over.b");
  resumed.load(old);
  CHECK(resumed.state().at("adam.passed_over.b").item() == 0);
  old["adam.passed_over.b"] = ints({53});
  CHECK(contains(error_of([&] { resumed.load(old); }),
                 "adam: of 52 steps in the file, b was passed over in 53"));
  std::map<std::string, Tensor> wrong = adam.snapshot();
  wrong["adam.step"] = ints({52, 52});
  CHECK(
      contains(error_of([&] { resumed.load(wrong); }), "adam.step is i32 [1] here and i32 [2] in the file"));
  wrong.erase("adam.step");
  CHECK(contains(error_of([&] { resumed.load(wrong); }), "adam.step"));
}

TEST_CASE(
    "optimisers: zero_grad clears what is frozen, too, so that it learns later from new gradients alone") {
  const Variable a(Tensor::zeros({1}, DType::f64), true), b(Tensor::zeros({1}, DType::f64), true);
  Sgd sgd({{"a", a}, {"b", b}}, {.lr = 1});
  sum(a + b).backward();
  sgd.step();
  a.set_requires_grad(false);
  sgd.zero_grad();
  a.set_requires_grad(true);
  sum(a + b).backward();
  sgd.step();
  CHECK(a.item() == -2);
  CHECK(b.item() == -2);
}
