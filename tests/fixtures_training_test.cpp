// Losses, optimisers and ten steps of training against PyTorch, in f64 to 1e-10 and in f32 to 1e-5.
#include "fixture.h"
#include "losses/translation_loss.h"
#include "nn/translation_model.h"
#include "optim/adam.h"
#include "optim/sgd.h"

using namespace gradus;
using namespace gradus::compare;
using losses::Reduction;

namespace {

constexpr DType kReal[] = {DType::f64, DType::f32};
constexpr std::pair<const char*, Reduction> kReductions[] = {
    {"none", Reduction::none}, {"mean", Reduction::mean}, {"sum", Reduction::sum}};

// Loss and gradient of one cell of the fixture; dy is the upstream gradient where the loss is one per row.
template <class Loss>
void check_loss(const Fixture& f, const Loss& loss, const Variable& logits, const Tensor& target,
                const Tensor& dy) {
  const Variable y = loss(logits, target);
  y.shape().rank() > 0 ? y.backward(dy) : y.backward();
  f.check_near(y.value(), "y");
  f.check_near(logits.grad(), "g.logits");
}

}  // namespace

TEST_CASE("cross-entropy is torch's: weights, ignored targets, reductions, smoothing") {
  for (DType dtype : kReal) {
    const Fixture f("cross_entropy", dtype);
    for (const bool weighted : {false, true})
      for (const bool ignoring : {false, true})
        for (const auto& [name, reduction] : kReductions)
          for (const bool smoothed : {false, true}) {
            if (weighted && smoothed) continue;  // torch's other meaning of weights; no class here has it
            const int32_t pad = ignoring ? 0 : -1;
            const Fixture cell("cross_entropy", dtype,
                               message("w", weighted, ".i", ignoring, ".", name, ".s", smoothed, "."));
            if (smoothed)
              check_loss(cell, losses::LabelSmoothingCrossEntropy(0.1, pad, Smoothing::uniform, reduction),
                         f.leaf("x.logits"), f["x.target"], f["dy"]);
            else
              check_loss(cell,
                         losses::CrossEntropy({.pad_id = pad,
                                               .reduction = reduction,
                                               .class_weight = weighted ? f["x.weight"] : Tensor()}),
                         f.leaf("x.logits"), f["x.target"], f["dy"]);
          }
  }
}

TEST_CASE("the course's losses, and every convention in both forms") {
  const std::pair<const char*, Smoothing> conventions[] = {{"course_kl.", Smoothing::as_printed},
                                                           {"course_ce.", Smoothing::uniform},
                                                           {"uniform.ce.", Smoothing::uniform},
                                                           {"uniform.kl.", Smoothing::uniform},
                                                           {"as_printed.ce.", Smoothing::as_printed},
                                                           {"as_printed.kl.", Smoothing::as_printed},
                                                           {"others.ce.", Smoothing::others},
                                                           {"others.kl.", Smoothing::others},
                                                           {"others_not_pad.ce.", Smoothing::others_not_pad},
                                                           {"others_not_pad.kl.", Smoothing::others_not_pad}};
  for (DType dtype : kReal) {
    const Fixture f("cross_entropy", dtype);
    for (const auto& [prefix, convention] : conventions) {
      const Fixture cell("cross_entropy", dtype, prefix);
      const Tensor target = f["course.x.target"];
      const Variable logits = f.leaf("course.x.logits");
      if (contains(prefix, "kl")) {
        check_loss(cell, losses::LabelSmoothingLoss(5, 0.1, 0, convention), logits, target, {});
        if (cell.has("y.rows"))
          cell.check_near(
              losses::LabelSmoothingLoss(5, 0.1, 0, convention, Reduction::none)(logits, target).value(),
              "y.rows");
      } else {
        check_loss(cell, losses::LabelSmoothingCrossEntropy(0.1, 0, convention), logits, target, {});
        if (cell.has("y.rows"))
          cell.check_near(
              losses::LabelSmoothingCrossEntropy(0.1, 0, convention, Reduction::none)(logits, target).value(),
              "y.rows");
      }
    }
  }
}

TEST_CASE("the course's TranslationLoss") {
  for (DType dtype : kReal) {
    Fixture f("cross_entropy", dtype);
    const Variable logits = f.leaf("course.x.logits");
    f.set_prefix("translation.");
    const auto out = losses::TranslationLoss(5)(logits, f["x.target_ids"]);
    f.check_near(out.loss.value(), "y.loss");
    CHECK(out.nll_loss() == near(f["y.nll_loss"].item(), tolerance(dtype)));
    CHECK(out.accuracy() == near(f["y.accuracy"].item(), tolerance(dtype)));
    CHECK(out.num_tokens() == f["y.num_tokens"].item());
  }
}

namespace {

// 30 steps with the stored gradients; the parameters are compared after each.
template <class Optimizer, class Options>
void check_trajectory(const char* name, DType dtype, const Options& options) {
  const Fixture f("adam", dtype);
  const std::vector<NamedParameter> parameters{{"matrix", f.leaf("p.matrix")},
                                               {"vector", f.leaf("p.vector")}};
  Optimizer optimizer(parameters, options);
  for (int64_t step = 0; step < 30; ++step) {
    CAPTURE(step);
    optimizer.zero_grad();
    for (const NamedParameter& p : parameters)
      p.variable.grad().assign(f["g." + p.name].rows(step, step + 1).reshape(p.variable.shape()));
    optimizer.step();
    for (const NamedParameter& p : parameters) {
      const Tensor expected =
          f[message(name, ".y.", p.name)].rows(step, step + 1).reshape(p.variable.shape());
      CHECK(distance(p.variable.value(), expected) <= tolerance(dtype));
    }
  }
}

}  // namespace

TEST_CASE("optimisers take torch's steps") {
  using namespace optim;
  for (DType dtype : kReal) {
    check_trajectory<Adam>("adam", dtype, AdamOptions{.lr = 0.01, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-9});
    check_trajectory<AdamW>("adamw", dtype, AdamWOptions{.lr = 0.01, .weight_decay = 0.1});
    check_trajectory<Sgd>("sgd", dtype, SgdOptions{.lr = 0.01});
    check_trajectory<Sgd>("momentum", dtype, SgdOptions{.lr = 0.01, .momentum = 0.9});
    check_trajectory<Sgd>("nesterov", dtype,
                          SgdOptions{.lr = 0.01, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true});
  }
}

TEST_CASE("clipping is torch's clip_grad_norm_") {
  for (DType dtype : kReal)
    for (const auto& [name, max_norm] : {std::pair{"clip_low.", 0.5}, std::pair{"clip_high.", 100.}}) {
      Fixture f("adam", dtype);
      const std::vector<NamedParameter> parameters{{"matrix", f.leaf("p.matrix")},
                                                   {"vector", f.leaf("p.vector")}};
      f.set_prefix(name);
      optim::Sgd optimizer(parameters);
      for (const NamedParameter& p : parameters) p.variable.grad().assign(f["x." + p.name]);
      CHECK(optimizer.clip_gradients(max_norm).item() == near(f["y.norm"].item(), tolerance(dtype)));
      for (const NamedParameter& p : parameters) f.check_near(p.variable.grad(), "y." + p.name);
    }
}

TEST_CASE("ten steps of training are torch's") {
  for (DType dtype : kReal) {
    const Fixture f("training", dtype);
    nn::TranslationModel model(
        {.source_vocab = 11,
         .target_vocab = 13,
         .tie = nn::Tie::output,
         .transformer = {
             .d_model = 16, .heads = 2, .layers = 1, .ff = 24, .dropout = 0, .norm_first = true}});
    model.to(dtype);
    model.load(f.all("p."));
    const losses::TranslationLoss criterion(13);
    optim::Adam adam(model.parameters(), {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-9});
    std::vector<double> found;
    for (int step = 0; step < 10; ++step) {
      model.generator().next_step();
      adam.zero_grad();
      const Variable logits =
          model(f["x.source"], f["x.source_lengths"], f["x.target_ids"], f["x.target_lengths"]);
      const auto output = criterion(logits, f["x.target_ids"]);
      output.loss.backward();
      if (step == 0) {
        f.check_near(logits.value(), "y.logits");
        for (const NamedParameter& p : model.parameters()) f.check_near(p.variable.grad(), "g." + p.name);
      }
      adam.step();
      found.push_back(output.loss.value().item());
    }
    f.check_near(Tensor::from(found, {10}), "y.losses");

    for (const NamedParameter& p : model.parameters()) {
      if (!p.name.ends_with("in_proj_bias")) {
        f.check_near(p.variable.value(), "final." + p.name);
        continue;
      }
      // The keys' third has gradient 0, so that Adam divides rounding noise by its own size.
      const Tensor bias = p.variable.value(), expected = f["final." + p.name];
      CHECK(distance(bias.rows(0, 16), expected.rows(0, 16)) <= tolerance(dtype));
      CHECK(distance(bias.rows(32, 48), expected.rows(32, 48)) <= tolerance(dtype));
      if (dtype == DType::f64) CHECK(largest(values(bias.rows(16, 32) - expected.rows(16, 32))) <= 1e-9);
    }
  }
}
