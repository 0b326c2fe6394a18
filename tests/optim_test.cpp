// Optimisers beyond the steps that torch agrees with (fixtures_training_test.cpp): what packing parameters
// into one block keeps and refuses, gradients clipped and scaled, schedules in closed form, and whole
// training runs that repeat bit for bit.
#include <cstdint>
#include <numbers>

#include "losses/translation_loss.h"
#include "optim/adam.h"
#include "optim/schedule.h"
#include "optim/sgd.h"
#include "tiny_model.h"

using namespace gradus;
using namespace gradus::compare;
using namespace gradus::optim;

namespace {

// Two matrices and two vectors, in an order and in sizes that need both sorting and gaps.
std::vector<NamedParameter> some_parameters(DType dtype = DType::f64) {
  return {{"bias", random_leaf({3}, 1, dtype)},
          {"weight", random_leaf({5, 3}, 2, dtype)},
          {"gain", random_leaf({17}, 3, dtype)},
          {"table", random_leaf({4, 2, 9}, 4, dtype)}};
}

void fill_gradients(const std::vector<NamedParameter>& parameters, uint64_t seed = 10) {
  for (const auto& [name, p] : parameters) p.grad().assign(random(p.shape(), ++seed, p.value().dtype()));
}

std::vector<std::byte*> blocks_of(const std::vector<NamedParameter>& parameters) {
  std::vector<std::byte*> blocks;
  for (const auto& [name, p] : parameters)
    for (const Tensor& t : {p.value(), p.grad()}) blocks.push_back(t.bytes());
  return blocks;
}

double norm_of(const std::vector<NamedParameter>& parameters) {
  double sum = 0;
  for (const auto& [name, p] : parameters)
    for (double g : values(p.grad())) sum += g * g;
  return std::sqrt(sum);
}

struct ThreadCount {
  explicit ThreadCount(int n) : before(num_threads()) { set_num_threads(n); }
  ~ThreadCount() { set_num_threads(before); }
  int before;
};

}  // namespace

TEST_CASE("schedules: noam is equation 3, and peaks at the end of warmup") {
  for (double d : {64., 512.})
    for (double warmup : {1., 10., 4000.}) {
      const double peak = 1 / std::sqrt(d * warmup);
      for (double step : {1., 2., 9., 10., 11., 3999., 4000., 4001., 1e6}) {
        const double expected =
            std::pow(d, -0.5) * std::min(std::pow(step, -0.5), step * std::pow(warmup, -1.5));
        CHECK(noam(step, d, warmup) == near(expected));
        CHECK(noam(step, d, warmup) <= peak * (1 + 1e-12));
        CHECK(inverse_square_root(step, peak, warmup) == noam(step, d, warmup));
      }
      CHECK(noam(warmup, d, warmup) == near(peak));
    }
  CHECK(noam(4000, 512, 4000) == near(6.98771242968684e-4));  // the paper's base model
}

TEST_CASE("schedules: warmup rises in a straight line and meets what follows") {
  const std::function<double(double)> schedules[] = {[](double s) { return inverse_square_root(s, 2, 100); },
                                                     [](double s) { return linear(s, 2, 100, 1000, 0.5); },
                                                     [](double s) { return cosine(s, 2, 100, 1000, 0.5); }};
  for (const auto& schedule : schedules) {
    for (double step : {1., 50., 99., 100.}) CHECK(schedule(step) == near(2 * step / 100));
    CHECK(schedule(100 + 1e-9) == near(2, 1e-10));
    for (double step = 101; step < 1000; step += 10) CHECK(schedule(step) < schedule(step - 1));
  }
}

TEST_CASE("schedules: linear and cosine halfway, at the end and after it") {
  for (double last : {0., 0.25})
    for (double warmup : {0., 20.}) {
      const double total = 220 - warmup, middle = (warmup + total) / 2;
      const double quarter = warmup + (total - warmup) / 4;
      for (const auto& schedule : {linear, cosine}) {
        CHECK(schedule(middle, 1, warmup, total, last) == near((1 + last) / 2));
        for (double step : {total, total + 1, 10 * total})
          CHECK(std::fabs(schedule(step, 1, warmup, total, last) - last) <= 1e-15);
      }
      CHECK(linear(quarter, 1, warmup, total, last) == near(1 - (1 - last) / 4));
      CHECK(cosine(quarter, 1, warmup, total, last) == near(last + (1 - last) * (1 + std::sqrt(0.5)) / 2));
    }
  CHECK(inverse_square_root(1, 3, 0) == 3);  // no warmup
  CHECK(inverse_square_root(16, 3, 0) == near(0.75));
}

TEST_CASE("schedules: what has no meaning is refused") {
  CHECK(contains(error_of([] { noam(0, 512, 4000); }), "expected step >= 1"));
  CHECK(contains(error_of([] { noam(1, 0, 4000); }), "noam: expected d_model and warmup >= 1, got 0"));
  CHECK(contains(error_of([] { noam(1, 512, 0); }), "noam: expected d_model and warmup >= 1"));
  CHECK(contains(error_of([] { inverse_square_root(1, 1, -1); }), "warmup >= 0"));
  for (const auto& schedule : {linear, cosine}) {
    CHECK(contains(error_of([&] { schedule(1, 1, 100, 100, 0); }),
                   "more steps in total than in warmup, got 100"));
    CHECK(contains(error_of([&] { schedule(0, 1, 10, 100, 0); }), "expected step >= 1"));
  }
}

TEST_CASE("packing: aligned slices of one block, with the values and gradients they had") {
  for (DType dtype : {DType::f32, DType::f64}) {
    const std::vector<NamedParameter> parameters = some_parameters(dtype), before = some_parameters(dtype);
    fill_gradients(parameters);
    fill_gradients(before);
    const Variable copy = parameters[1].variable;
    const Sgd sgd(parameters);
    const std::byte *low = parameters[1].variable.value().bytes(), *high = low;
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Variable& p = parameters[i].variable;
      CHECK(equal(p.value(), before[i].variable.value()));
      CHECK(equal(p.grad(), before[i].variable.grad()));
      for (const Tensor& t : {p.value(), p.grad()}) {
        CHECK(reinterpret_cast<uintptr_t>(t.bytes()) % 64 == 0);
        CHECK(!t.unique());
      }
      high = std::max<const std::byte*>(high, p.value().bytes() + p.value().byte_size());
    }
    // 15 + 72 + 3 + 17 elements, each rounded up to 16; the last gap lies behind `high`
    CHECK(high - low == static_cast<std::ptrdiff_t>((16 + 80 + 16 + 17) * size_of(dtype)));
    CHECK(copy.value().bytes() == low);  // every copy of the Variable sees the block
  }
}

TEST_CASE("packing: the slices survive zero_grad, step, load and init") {
  nn::TranslationModel model = tiny_model(tiny_config(nn::Tie::all)),
                       other = tiny_model(tiny_config(nn::Tie::all), 7);
  const std::vector<NamedParameter> parameters = model.parameters();
  Adam adam(parameters);
  const std::vector<std::byte*> blocks = blocks_of(parameters);
  const auto backward = [&] {
    losses::TranslationLoss(7)(run(model), TranslationBatch{}.target).loss.backward();
  };
  backward();
  CHECK(norm_of(parameters) > 0);
  adam.step();
  model.load(other.state());
  backward();
  model.init(3);
  adam.zero_grad();
  CHECK(norm_of(parameters) == 0);
  backward();
  parameters[0].variable.zero_grad();
  CHECK(largest(values(parameters[0].variable.grad())) == 0);
  CHECK(norm_of(parameters) > 0);
  CHECK(blocks_of(parameters) == blocks);
  CHECK(blocks_of(model.parameters()) == blocks);

  const Tensor logits = run(model).value();
  adam.step();  // the model sees what the optimiser writes
  CHECK(!equal(run(model).value(), logits));
}

TEST_CASE("weight decay is for parameters of two axes and more") {
  const std::function<std::unique_ptr<Optimizer>(const std::vector<NamedParameter>&)> optimizers[] = {
      [](const auto& p) { return std::make_unique<Sgd>(p, SgdOptions{.lr = 0.1, .weight_decay = 0.2}); },
      [](const auto& p) { return std::make_unique<AdamW>(p, AdamOptions{.lr = 0.1, .weight_decay = 0.2}); }};
  for (const auto& make : optimizers) {
    const std::vector<NamedParameter> parameters = some_parameters(), before = some_parameters();
    make(parameters)->step();  // all gradients are 0
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Tensor was = before[i].variable.value(), is = parameters[i].variable.value();
      if (was.shape().rank() == 1) CHECK(equal(is, was));
      if (was.shape().rank() >= 2) CHECK(distance(is, was * (1 - 0.1 * 0.2)) <= 1e-15);
    }
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
  CHECK(error_of([] { Sgd({}); }) == "optimizer: no parameters");
  CHECK(contains(error_of([] {
                   Sgd({{"a", random_leaf({2}, 1)}, {"b", random_leaf({2}, 1, DType::f32)}});
                 }),
                 "optimizer: b is f32 on cpu, the first parameter f64"));
  Sgd sgd(some_parameters(), {.lr = 0.5});
  for (double lr : {-1e-9, std::numeric_limits<double>::infinity(), std::nan("")})
    CHECK(contains(error_of([&] { sgd.set_lr(lr); }), "optimizer: expected a learning rate >= 0, got "));
  CHECK(sgd.lr() == 0.5);
  sgd.set_lr(0);
  CHECK(sgd.lr() == 0);
  for (double norm : {0., -1., std::nan("")})
    CHECK(contains(error_of([&] { sgd.clip_gradients(norm); }), "expected a positive norm, got "));
  CHECK(contains(error_of([] { Sgd(some_parameters(), {.momentum = -0.1}); }), "sgd: expected momentum"));
  CHECK(contains(error_of([] { Adam(some_parameters(), {.beta1 = 1}); }), "adam: expected betas in [0, 1)"));
  CHECK(contains(error_of([] { Adam(some_parameters(), {.lr = -1}); }),
                 "expected a learning rate >= 0, got -1"));
}

TEST_CASE("k micro-batches, summed and divided by all tokens, make the step of the whole batch") {
  const Tensor source = ints({3, 4, 5, /**/ 6, 3, 0, /**/ 5, 0, 0, /**/ 4, 4, 6}, {4, 3}),
               source_lengths = ints({3, 2, 1, 3});
  const Tensor target = ints({1, 4, 5, 2, /**/ 1, 6, 2, 0, /**/ 1, 2, 0, 0, /**/ 1, 3, 3, 2}, {4, 4});
  const Tensor target_lengths = ints({4, 3, 2, 4});
  const auto step = [&](int64_t parts, losses::Reduction reduction) {
    nn::TranslationModel model = tiny_model(tiny_config());
    Adam adam(model.parameters());
    const losses::TranslationLoss criterion(7, kPad, 0.1, Smoothing::uniform, reduction);
    losses::LossSums sums;
    for (int64_t i = 0; i < 4; i += 4 / parts) {
      const auto part = [&](const Tensor& x) { return x.rows(i, i + 4 / parts); };
      const auto out = criterion(
          model(part(source), part(source_lengths), part(target), part(target_lengths)), part(target));
      out.loss.backward();
      sums += out.sums;
    }
    if (reduction == losses::Reduction::sum) adam.scale_gradients(1 / sums.tokens());
    std::map<std::string, Tensor> result;
    for (const auto& [name, p] : model.parameters()) result[name] = p.grad().copy();
    adam.step();
    for (const auto& [name, value] : model.state()) result["stepped " + name] = value;
    return result;
  };
  const auto whole = step(1, losses::Reduction::mean);
  double scale = 0;  // a key bias has gradient 0 but for rounding
  for (const auto& [name, x] : whole) scale = std::max(scale, largest(values(x)));
  for (int64_t parts : {1, 2, 4})
    for (const auto& [name, x] : step(parts, losses::Reduction::sum)) {
      INFO(parts, " parts: ", name);
      if (!contains(name, "stepped")) CHECK(largest(values(x - whole.at(name))) <= 1e-14 * scale);
    }
}

TEST_CASE("training repeats: the same bits with 1, 2 and 4 threads, and in a second run") {
  const auto train = [](int threads) {
    const ThreadCount count(threads);
    nn::TranslationModelConfig config = tiny_config(nn::Tie::all, true, /*dropout=*/0.2);
    config.source_vocab = config.target_vocab = 50;
    config.transformer.d_model = 32;
    config.transformer.ff = 64;
    config.longest = 32;
    nn::TranslationModel model(config);
    model.init(5);
    AdamW adam(model.parameters(), {.lr = 1e-2});
    const losses::TranslationLoss criterion(50);
    std::vector<int32_t> ids;
    for (double u : Generator(9).uniform({8 * 20}, 3, 50).to_vector<float>())
      ids.push_back(static_cast<int32_t>(u));
    const Tensor batch = ints(ids, {8, 20}), lengths = ints({20, 3, 7, 20, 1, 15, 11, 9});
    std::vector<double> result;
    for (int64_t step = 1; step <= 15; ++step) {
      model.generator().next_step();
      adam.set_lr(noam(static_cast<double>(step), 32, 4));
      adam.zero_grad();
      const auto out = criterion(model(batch, lengths, batch, lengths), batch);
      out.loss.backward();
      result.push_back(adam.clip_gradients(1).item());
      adam.step();
      result.push_back(out.loss.value().item());
    }
    CHECK(result.back() < result[1]);
    for (const auto& [name, value] : model.state()) {
      const std::vector<double> x = values(value);
      result.insert(result.end(), x.begin(), x.end());
    }
    return result;
  };
  const std::vector<double> one = train(1);
  for (int threads : {1, 2, 4}) CHECK(train(threads) == one);
}
