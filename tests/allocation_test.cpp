// What must not allocate: destructors, since an exception that leaves one ends the process. And what a failed
// allocation must not harm: the step that follows it.
#include "losses/translation_loss.h"
#include "optim/adam.h"
#include "tests/allocations.h"
#include "tiny_model.h"

using namespace gradus;
using namespace gradus::compare;

namespace {

// Calls f and says how often it allocated.
template <class F> int64_t allocations_of(const F& f) {
  allocations::made = 0;
  allocations::watched = true;
  f();
  allocations::watched = false;
  return allocations::made;
}

}  // namespace

TEST_CASE("allocations: a tensor of a size that is idle makes one, of its handle") {
  { const Tensor warm = Tensor::zeros({100}) + 1; }  // an operation is noted, and a block is idle
  CHECK(allocations_of([] { const Tensor again(Shape{100}); }) == 1);
}

TEST_CASE("allocations: destructors make none") {
  CHECK(allocations_of([] { ::operator delete(::operator new(4)); }) == 1);  // they are counted

  auto large = std::make_unique<Tensor>(Shape{1 << 18});
  CHECK(allocations_of([&] { large.reset(); }) == 0);
  std::vector<Tensor> many;
  for (int i = 0; i < 100; ++i) many.emplace_back(Shape{1000 + i});
  CHECK(allocations_of([&] { std::vector<Tensor>().swap(many); }) == 0);

  const Variable x(Tensor::full({3}, 1, DType::f64), true);
  auto chain = std::make_unique<Variable>(x);
  for (int i = 0; i < 10'000; ++i) *chain = *chain * *chain + x;
  CHECK(allocations_of([&] { chain.reset(); }) == 0);

  nn::TranslationModel model = tiny_model(tiny_config());
  auto evaluating = std::make_unique<nn::Evaluating>(model);
  CHECK(allocations_of([&] { evaluating.reset(); }) == 0);
  CHECK(model.training());
}

TEST_CASE(
    "allocations: a step in which one of them fails, each seventh in turn, is as if it had not been tried") {
  const losses::TranslationLoss criterion(7);
  const auto forward_and_backward = [&](nn::TranslationModel& model, optim::Adam& adam) {
    model.generator().set_step(2);
    adam.zero_grad();
    criterion(run(model), TranslationBatch{}.target).loss.backward();
  };
  const auto fresh = [&](auto use) {
    nn::TranslationModel model = tiny_model(tiny_config(nn::Tie::output, true, /*dropout=*/0.2));
    optim::Adam adam(model.parameters());
    forward_and_backward(model, adam);
    adam.step();  // the caches are warm
    return use(model, adam);
  };
  const auto weights = [](nn::TranslationModel& model) {
    std::vector<double> all;
    for (const auto& [name, p] : model.parameters())
      for (double w : values(p.value())) all.push_back(w);
    return all;
  };
  const auto step = [&](nn::TranslationModel& model, optim::Adam& adam) {
    forward_and_backward(model, adam);
    adam.clip_gradients(1);
    adam.step();
  };
  const std::vector<double> expected = fresh([&](auto& model, auto& adam) {
    step(model, adam);
    return weights(model);
  });
  const int64_t count =
      fresh([&](auto& model, auto& adam) { return allocations_of([&] { step(model, adam); }); });
  CHECK(count > 100);
  fresh([&](auto& model, auto& adam) {
    const std::vector<double> before = weights(model);
    const std::map<std::string, Tensor> state = model.snapshot(), moments = [&] {
      std::map<std::string, Tensor> copies;
      for (const auto& [name, tensor] : adam.state()) copies[name] = tensor.copy();
      return copies;
    }();
    for (int64_t at = 1; at <= count; at += 7) {
      allocations::fails_at = at;
      bool threw = false;
      try {
        allocations_of([&] { step(model, adam); });
      } catch (const std::bad_alloc&) {
        threw = true;
      }
      allocations::watched = false;
      allocations::fails_at = -1;
      REQUIRE(threw);
      REQUIRE(weights(model) == before);  // nothing was half done
      step(model, adam);
      CHECK(weights(model) == expected);
      model.load(state);
      adam.load(moments);
    }
    return 0;
  });
}
