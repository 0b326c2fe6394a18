// The gradients of whole models, each parameter element by the four-point rule; tied weights; dropout and its
// generator.
#include "autograd/gradcheck.h"
#include "losses/translation_loss.h"
#include "optim/sgd.h"
#include "tiny_model.h"

using namespace gradus;
using namespace gradus::compare;
using nn::Tie;

namespace {

constexpr double kModelBound = 1e-7;

std::vector<std::string> names_of(nn::Module& module) {
  std::vector<std::string> names;
  for (const NamedParameter& p : module.parameters()) names.push_back(p.name);
  return names;
}

Tensor gradient_of(nn::Module& module, const std::string& name) {
  for (const NamedParameter& p : module.parameters())
    if (p.name == name) return p.variable.grad();
  return {};
}

const Tensor kTarget = ints({4, 5, 3, kEos, 6, kEos, kPad, kPad}, {2, 4});  // the batch's, without BOS

}  // namespace

TEST_CASE("gradient check: a 2-layer TranslationModel with dropout under every loss") {
  const std::function<Variable(const Variable&)> criteria[] = {
      [](const Variable& z) { return losses::CrossEntropy({.pad_id = kPad})(z, kTarget); },
      [](const Variable& z) {
        return losses::LabelSmoothingLoss(7, 0.2, kPad, Smoothing::as_printed)(z, kTarget);
      },
      [](const Variable& z) {
        return losses::LabelSmoothingCrossEntropy(0.2, kPad, Smoothing::others_not_pad)(z, kTarget);
      },
      [](const Variable& z) { return losses::TranslationLoss(7)(z, TranslationBatch{}.target).loss; }};
  for (bool norm_first : {true, false})
    for (const auto& criterion : criteria) {
      nn::TranslationModel model = tiny_model(tiny_config(Tie::output, norm_first, /*dropout=*/0.3));
      model.generator().set_step(3);
      const GradcheckReport report =
          gradcheck([&] { return criterion(run(model)); }, model.parameters(), &model.generator());
      INFO(report.worst);
      CHECK(report.error <= kModelBound);
    }
}

TEST_CASE("gradient check: every way to tie, every row of the loss with its own seed") {
  for (Tie tie : {Tie::none, Tie::all}) {
    nn::TranslationModel model = tiny_model(tiny_config(tie));
    const losses::TranslationLoss criterion(7, kPad, 0.1, Smoothing::others, losses::Reduction::none);
    const GradcheckReport report =
        gradcheck([&] { return criterion(run(model), TranslationBatch{}.target).loss; }, model.parameters());
    INFO(report.worst);
    CHECK(report.error <= kModelBound);
  }
}

TEST_CASE("gradient check: a 2-layer Transformer, its inputs too") {
  for (bool norm_first : {true, false}) {
    nn::Transformer model({.d_model = 8,
                           .heads = 2,
                           .layers = 2,
                           .ff = 5,
                           .dropout = 0.2,
                           .norm_first = norm_first,
                           .activation = Unary::gelu});
    model.init(2);
    model.to(DType::f64);
    const Variable src = random_leaf({2, 3, 8}, 1), tgt = random_leaf({2, 4, 8}, 2);
    std::vector<NamedParameter> inputs = model.parameters();
    inputs.push_back({"src", src});
    inputs.push_back({"tgt", tgt});
    const auto f = [&] { return model(src, tgt, ints({2, 3}), ints({4, 2})); };
    const GradcheckReport report = gradcheck(f, inputs, &model.generator());
    INFO(report.worst);
    CHECK(report.error <= kModelBound);
  }
}

TEST_CASE("parameters have the names of the contract, in order") {
  nn::TranslationModelConfig config = tiny_config();
  config.transformer.layers = 1;
  std::vector<std::string> transformer;
  const auto add = [&](const std::string& prefix, std::initializer_list<const char*> names) {
    for (const char* name : names) transformer.push_back("transformer." + prefix + name);
  };
  const auto attention = [&](const std::string& name) {
    add(name, {".in_proj_weight", ".in_proj_bias", ".out_proj.weight", ".out_proj.bias"});
  };
  const auto rest = [&](const std::string& layer, int norms) {
    add(layer, {"linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"});
    for (int i = 1; i <= norms; ++i) add(layer + "norm" + std::to_string(i), {".weight", ".bias"});
  };
  attention("encoder.layers.0.self_attn");
  rest("encoder.layers.0.", 2);
  add("encoder.norm", {".weight", ".bias"});
  attention("decoder.layers.0.self_attn");
  attention("decoder.layers.0.multihead_attn");
  rest("decoder.layers.0.", 3);
  add("decoder.norm", {".weight", ".bias"});

  const std::pair<Tie, std::vector<std::string>> cases[] = {
      {Tie::none, {"source_embedding.weight", "target_embedding.weight", "output.weight"}},
      {Tie::output, {"source_embedding.weight", "target_embedding.weight"}},
      {Tie::all, {"source_embedding.weight"}}};
  for (const auto& [tie, tables] : cases)
    for (bool norm_first : {true, false}) {  // torch has the final norms in both modes
      config.tie = tie;
      config.transformer.norm_first = norm_first;
      nn::TranslationModel model(config);
      std::vector<std::string> expected = tables;
      expected.insert(expected.end(), transformer.begin(), transformer.end());
      CHECK(names_of(model) == expected);
    }
}

TEST_CASE("a tied table is one parameter whose gradient is the sum over its uses") {
  nn::TranslationModel none = tiny_model(tiny_config(Tie::none)),
                       output = tiny_model(tiny_config(Tie::output)), all = tiny_model(tiny_config(Tie::all));
  std::map<std::string, Tensor> state = all.state();
  const Tensor table = state.at("source_embedding.weight");
  state["target_embedding.weight"] = table;
  output.load(state);
  state["output.weight"] = table;
  none.load(state);
  for (nn::TranslationModel* model : {&none, &output, &all})
    losses::TranslationLoss(7)(run(*model), TranslationBatch{}.target).loss.backward();

  CHECK(equal(run(none).value(), run(all).value()));
  CHECK(equal(run(none).value(), run(output).value()));
  const Tensor source = gradient_of(none, "source_embedding.weight"),
               target = gradient_of(none, "target_embedding.weight"),
               logits = gradient_of(none, "output.weight");
  CHECK(distance(gradient_of(output, "target_embedding.weight"), target + logits) <= 1e-12);
  CHECK(distance(gradient_of(all, "source_embedding.weight"), source + target + logits) <= 1e-12);
  CHECK(none.parameter_count() == all.parameter_count() + 2 * 7 * 4);

  optim::Sgd sgd(all.parameters());  // tied they stay when the optimiser packs them
  sgd.step();
  none.load(state = [&] {
    std::map<std::string, Tensor> moved = all.state();
    moved["target_embedding.weight"] = moved["output.weight"] = moved.at("source_embedding.weight");
    return moved;
  }());
  CHECK(equal(run(none).value(), run(all).value()));
}

TEST_CASE("dropout is for training, and the generator's step names its masks") {
  nn::TranslationModel model = tiny_model(tiny_config(Tie::output, true, 0.4)),
                       plain = tiny_model(tiny_config());
  const auto at_step = [&](int64_t step) {
    model.generator().set_step(step);
    return run(model).value();
  };
  CHECK(model.training());
  CHECK(equal(at_step(1), at_step(1)));
  CHECK(!equal(at_step(1), at_step(2)));
  model.generator().set_step(1);
  model.generator().next_step();
  const Variable stepped = run(model);
  CHECK(equal(stepped.value(), at_step(2)));

  model.eval();
  CHECK(!model.training());
  CHECK(equal(at_step(1), run(plain).value()));
  model.train();
  CHECK(!equal(at_step(1), run(plain).value()));
  {
    const nn::Evaluating evaluating(model);
    CHECK(equal(at_step(1), run(plain).value()));
    CHECK(!run(model).requires_grad());
  }
  CHECK(model.training());
  CHECK(run(model).requires_grad());
}

TEST_CASE("one generator serves all sub-modules, and no two places draw the same mask") {
  nn::TranslationModel model = tiny_model(tiny_config(Tie::output, true, 0.1));
  int modules = 0;
  nn::Visitor({}, [&](nn::Module& m) {
    CHECK(&m.generator() == &model.generator());
    ++modules;
  }).root(model);
  CHECK(modules > 30);
  // Two embeddings; weights, branch, activation, branch in an encoder layer; two more in a decoder layer.
  model.generator().set_step(1);
  run(model);
  CHECK(model.generator().next_draw().number == 2 + 2 * 4 + 2 * 6);

  nn::Transformer transformer({.d_model = 4, .heads = 1, .layers = 1, .ff = 4, .dropout = 0.5});
  const Variable x(Tensor::full({1, 64, 4}, 1));
  CHECK(!equal(dropout(x, 0.5, transformer.encoder.generator()).value(),
               dropout(x, 0.5, transformer.decoder.generator()).value()));
}

TEST_CASE("a moved model works on") {
  nn::TranslationModel model = tiny_model(tiny_config(Tie::output, true, 0.3));
  model.generator().set_step(5);
  const Tensor before = run(model).value();
  optim::Sgd sgd(model.parameters());
  nn::TranslationModel moved = std::move(model);
  std::vector<nn::TranslationModel> elsewhere;
  elsewhere.push_back(std::move(moved));
  nn::TranslationModel& last = elsewhere[0];
  last.generator().set_step(5);
  CHECK(equal(run(last).value(), before));
  nn::Visitor({}, [&](nn::Module& m) { CHECK(&m.generator() == &last.generator()); }).root(last);

  sgd.zero_grad();
  losses::TranslationLoss(7)(run(last), TranslationBatch{}.target).loss.backward();
  sgd.step();
  last.generator().set_step(5);
  CHECK(!equal(run(last).value(), before));
}
