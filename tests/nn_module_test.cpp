// What a module does with its parameters as a whole: loading (strictly), initial values, counting; and what
// models refuse.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>

#include "losses/translation_loss.h"
#include "nn/search.h"
#include "nn/sequential.h"
#include "nn/summary.h"
#include "optim/adam.h"
#include "optim/sgd.h"
#include "tensor/safetensors.h"
#include "tiny_model.h"

using namespace gradus;
using namespace gradus::compare;
using nn::Tie;

namespace {

using State = std::map<std::string, Tensor>;

State copy_of(nn::Module& module) {
  State copy;
  for (const auto& [name, tensor] : module.state()) copy[name] = tensor.copy();
  return copy;
}

bool equal_states(const State& a, const State& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& entry) {
           return b.count(entry.first) > 0 && equal(entry.second, b.at(entry.first));
         });
}

// What load says, after checking that the model is as it was.
std::string refusal(nn::Module& model, const State& file) {
  const State before = copy_of(model);
  const std::string error = error_of([&] { model.load(file); });
  CHECK(equal_states(before, copy_of(model)));
  return error;
}

constexpr const char* kBias = "transformer.decoder.layers.1.linear2.bias";
constexpr const char* kLast = "transformer.decoder.norm.bias";

}  // namespace

TEST_CASE("load is strict, names the first difference and both shapes, and then has changed nothing") {
  nn::TranslationModel model = tiny_model(tiny_config(Tie::none)),
                       other = tiny_model(tiny_config(Tie::none), 77);
  const State good = copy_of(other);
  State file = good;
  file.erase(kLast);
  CHECK(refusal(model, file) == message("load: the file has no ", kLast, " [4]"));
  file.erase(kBias);
  CHECK(refusal(model, file) == message("load: the file has no ", kBias, " [4]"));
  CHECK(contains(refusal(model, {}), "the file has no output.weight [7, 4]"));

  file = good;
  file["transformer.extra.weight"] = random({2, 3}, 1);
  CHECK(refusal(model, file) == "load: unknown name transformer.extra.weight [2, 3]");
  file.erase(kLast);  // one too many and one too few
  CHECK(contains(refusal(model, file), kLast));

  file = good;
  file[kLast] = random({5}, 1);
  CHECK(refusal(model, file) == message("load: ", kLast, " is f64 [4] here and f64 [5] in the file"));
  file[kBias] = random({4, 1}, 1);
  CHECK(refusal(model, file) == message("load: ", kBias, " is f64 [4] here and f64 [4, 1] in the file"));
  file = good;
  file[kLast] = ints({1, 2, 3, 4});
  CHECK(contains(refusal(model, file), message(kLast, " is f64 [4] here and i32 [4] in the file")));

  model.load(good);
  CHECK(equal_states(copy_of(model), good));
  CHECK(equal(run(model).value(), run(other).value()));
}

TEST_CASE("a file of another tie or depth is another architecture") {
  nn::TranslationModel none = tiny_model(tiny_config(Tie::none)),
                       output = tiny_model(tiny_config(Tie::output));
  CHECK(contains(refusal(none, copy_of(output)), "the file has no output.weight [7, 4]"));
  CHECK(contains(
      refusal(output, copy_of(none)),
      "output.weight and target_embedding.weight are one parameter here, and have different values"));
  nn::TranslationModelConfig deeper = tiny_config();
  deeper.transformer.layers = 3;
  nn::TranslationModel deep = tiny_model(deeper);
  CHECK(contains(refusal(output, copy_of(deep)), "unknown name transformer.decoder.layers.2."));
}

TEST_CASE("files of the other real dtype are converted") {
  nn::TranslationModel model = tiny_model(tiny_config()), single(tiny_config());
  State file;
  for (const auto& [name, tensor] : model.state()) file[name] = tensor.to(DType::f32);
  model.load(file);
  for (const auto& [name, tensor] : model.state()) CHECK(equal(tensor, file.at(name).to(DType::f64)));
  single.load(copy_of(model));
  for (const auto& [name, tensor] : single.state()) CHECK(equal(tensor, file.at(name)));
}

TEST_CASE("a model survives the way through a file, bit for bit") {
  nn::TranslationModel model = tiny_model(tiny_config()), other = tiny_model(tiny_config(), 5);
  const auto path = (std::filesystem::temp_directory_path() / message("gradus_nn_test_", &model)).string();
  write_safetensors(path, model.state());
  other.load(read_safetensors(path));
  std::remove(path.c_str());
  CHECK(equal(run(model).value(), run(other).value()));
}

TEST_CASE("load and init write into the existing blocks") {
  nn::TranslationModel model = tiny_model(tiny_config()), other = tiny_model(tiny_config(), 5);
  State held = model.state();
  const std::byte* block = held.at(kBias).bytes();
  model.load(other.state());
  CHECK(model.state().at(kBias).bytes() == block);
  CHECK(equal(held.at(kBias), other.state().at(kBias)));
  model.init(3);
  CHECK(model.state().at(kBias).bytes() == block);
}

TEST_CASE("init: the same seed gives the same bits") {
  nn::TranslationModelConfig config = tiny_config(Tie::none, true, 0.3);
  nn::TranslationModel a(config), b(config);
  a.init(4);
  b.init(9);
  CHECK(!equal_states(a.state(), b.state()));
  CHECK(a.generator().seed() == 4);
  CHECK(run(b).requires_grad());  // uses up some draws
  b.generator().set_step(12);
  b.init(4);
  CHECK(equal_states(a.state(), b.state()));
  CHECK(b.generator().step() == 0);
  CHECK(equal(run(a).value(), run(b).value()));  // the same dropout masks too
  b.to(DType::f64);
  b.init(4);
  for (const auto& [name, tensor] : b.state()) CHECK(equal(tensor.to(DType::f32), a.state().at(name)));
}

TEST_CASE("init: Xavier for products, 1 / sqrt(d) for tables, biases 0, gains 1, and no two layers alike") {
  nn::TranslationModel model({.source_vocab = 500,
                              .target_vocab = 400,
                              .tie = Tie::none,
                              .transformer = {.d_model = 32, .heads = 2, .layers = 2, .ff = 48}});
  model.init(1);
  for (const NamedParameter& p : model.parameters()) {
    const std::vector<double> w = values(p.variable.value());
    double squares = 0;
    for (double x : w) squares += x * x;
    const double deviation = std::sqrt(squares / static_cast<double>(w.size()));
    CAPTURE(p.name);
    if (contains(p.name, "embedding")) {
      CHECK(deviation == near(1 / std::sqrt(32.), 0.03));
    } else if (p.variable.shape().rank() == 2) {
      const double bound = std::sqrt(6. / static_cast<double>(p.variable.shape()[0] + p.variable.shape()[1]));
      CHECK(largest(w) <= bound);
      CHECK(largest(w) > 0.98 * bound);
      CHECK(deviation == near(bound / std::sqrt(3.), 0.06));
    } else {
      const double expected = contains(p.name, "norm") && p.name.ends_with("weight") ? 1 : 0;
      CHECK(w == std::vector<double>(w.size(), expected));
    }
  }
  CHECK(!equal(model.state().at("transformer.encoder.layers.0.linear1.weight"),
               model.state().at("transformer.encoder.layers.1.linear1.weight")));
}

TEST_CASE("parameter counts of the benchmark models") {
  const auto count = [](int64_t d, int64_t heads, int64_t layers, int64_t ff, int64_t vocab) {
    return nn::TranslationModel({.source_vocab = vocab,
                                 .target_vocab = vocab,
                                 .tie = Tie::output,
                                 .transformer = {.d_model = d, .heads = heads, .layers = layers, .ff = ff}})
        .parameter_count();
  };
  CHECK(count(128, 4, 2, 512, 1'000) == 1'182'208);
  CHECK(count(256, 4, 3, 1'024, 8'000) == 9'626'624);
}

TEST_CASE("options that make no model are refused") {
  const auto with = [](auto change) {
    return error_of([&] {
      nn::TranslationModelConfig config = tiny_config(Tie::none);
      change(config);
      nn::TranslationModel model(config);
    });
  };
  CHECK(contains(with([](auto& c) { c.transformer.heads = 3; }), "3 heads do not divide d_model 4"));
  CHECK(contains(with([](auto& c) { c.transformer.heads = 0; }), "0 heads do not divide d_model 4"));
  CHECK(contains(with([](auto& c) { c.transformer.dropout = 1; }), "probability in [0, 1), got 1"));
  CHECK(contains(with([](auto& c) { c.transformer.dropout = -0.1; }), "probability in [0, 1), got -0.1"));
  CHECK(contains(with([](auto& c) { c.transformer.layers = -1; }), "layers >= 0"));
  CHECK(contains(with([](auto& c) { c.transformer.ff = 0; }), "ff >= 1"));
  CHECK(contains(with([](auto& c) { c.transformer.d_model = 0; }), "d_model"));
  CHECK(contains(with([](auto& c) { c.source_vocab = 0; }), "vocabularies of at least 1, got 0 and 7"));
  CHECK(contains(with([](auto& c) { c.tie = Tie::all, c.target_vocab = 8; }), "one vocabulary, got 7 and 8"));
  CHECK(contains(with([](auto& c) { c.longest = 0; }), "longest"));
}

TEST_CASE("inputs that do not fit are refused") {
  nn::TranslationModel model = tiny_model(tiny_config());
  const TranslationBatch good;
  const auto with = [&](auto change) {
    TranslationBatch b = good;
    change(b);
    return error_of([&] { run(model, b); });
  };
  CHECK(contains(with([](auto& b) {
                   b.source = Tensor::zeros({2, 9}, DType::i32);
                 }),
                 "9 tokens is longer than its 8 positions"));
  CHECK(contains(with([](auto& b) {
                   b.target = Tensor::zeros({2, 10}, DType::i32);
                 }),
                 "9 tokens is longer than its 8 positions"));
  CHECK(contains(with([](auto& b) {
                   b.source = ints({1, 2, 3, 4, 7, 3, 0, 0}, {2, 4});
                 }),
                 "id 7 at row 1, position 0 is outside [0, 7)"));
  CHECK(contains(with([](auto& b) {
                   b.target = ints({1, 2, 3, 4, 2, 1, -5, 2, 0, 0}, {2, 5});
                 }),
                 "id -5 at row 1, position 1 is outside [0, 7)"));
  CHECK(contains(with([](auto& b) { b.source = ints({1, 2, 3}, {1, 3}); }), "got [1, 3] and [2, 5]"));
  CHECK(contains(with([](auto& b) { b.target = ints({1, 2}, {2, 1}); }), "T >= 2"));
  CHECK(contains(with([](auto& b) { b.source = ints({1, 2}); }), "expected source [B, S]"));
  CHECK(contains(with([](auto& b) { b.source = Tensor::zeros({2, 4}, DType::f32); }), "i32"));
  CHECK(contains(with([](auto& b) { b.source_lengths = ints({4, 2, 1}); }), "lengths [2], got [3]"));
  CHECK(contains(with([](auto& b) { b.target_lengths = Tensor::zeros({2}, DType::f32); }),
                 "lengths i32 [B], got f32 [2]"));
  CHECK(contains(with([](auto& b) {
                   b.source_lengths = ints({5, 1});
                 }),
                 "translation model: source: length 5 at row 0 is outside [0, 4]"));
  CHECK(contains(with([](auto& b) { b.source_lengths = ints({4, -1}); }), "length -1 at row 1"));
  CHECK(contains(with([](auto& b) {
                   b.target_lengths = ints({6, 1});
                 }),
                 "translation model: target: length 6 at row 0 is outside [0, 5]"));
  const auto decode = [&](int64_t longest) {
    return error_of([&] { greedy_decode(model, good.source, good.source_lengths, longest, kBos, kEos); });
  };
  CHECK(contains(decode(9), "asked to decode 9 tokens; it has 8 positions"));
  CHECK(contains(decode(0), "expected `longest` to be given, at least 1, got 0"));
  CHECK(decode(8).empty());
  CHECK(model.training());
}

TEST_CASE("a module in eval inside one in training stays so") {
  nn::Transformer t({.d_model = 4, .heads = 2, .layers = 1, .ff = 4});
  t.encoder.eval();
  {
    const nn::Evaluating evaluating(t);
    CHECK_FALSE(t.decoder.training());
    CHECK_FALSE(t.encoder.training());
  }
  CHECK(t.training());
  CHECK(t.decoder.training());
  CHECK_FALSE(t.encoder.training());
}

TEST_CASE("layers are drawn when they are made, each differently; init follows from seed and name") {
  nn::Linear a(8, 8), b(8, 8);
  nn::Embedding table(5, 8);
  const auto weights = [](nn::Module& m) { return values(m.state().at("weight")); };
  CHECK(largest(weights(a)) > 0);
  CHECK(largest(weights(table)) > 0);
  CHECK(weights(a) != weights(b));
  CHECK(largest(weights(a)) <= std::sqrt(6. / 16));
  a.init(1);
  b.init(1);
  CHECK(weights(a) == weights(b));

  // A layer more changes no other's first values.
  nn::TranslationModelConfig config = tiny_config();
  nn::TranslationModel two(config);
  config.transformer.layers = 3;
  nn::TranslationModel three(config);
  two.init(9);
  three.init(9);
  const State more = three.snapshot();
  for (const auto& [name, tensor] : two.state()) CHECK(equal(tensor, more.at(name)));
  three.init(10);
  CHECK_FALSE(equal(three.state().at("target_embedding.weight"), more.at("target_embedding.weight")));
}

TEST_CASE("initial values: those of an independent Philox, by seed and name") {
  // Made with Random123's Philox4x32-10 and FNV-1a in Python: key 7, counter (i, 2^32 - 1, hash of
  // "0.weight").
  const std::vector<double> uniform = values(Init::uniform(1).draw({4}, 7, "0.weight"));
  const std::vector<double> normal = values(Init::normal(1).draw({4}, 7, "0.weight"));
  const double expected_uniform[] = {-0.9965773282757715, -0.72738769343515375, -0.56747056225526182,
                                     -0.22253064266627431};
  const double expected_normal[] = {0.038344092997964124, 0.044219161823940811, -0.53435392113512359,
                                    0.44925919190496744};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(uniform[i] == near(expected_uniform[i], 1e-13));
    CHECK(normal[i] == near(expected_normal[i], 1e-13));
  }
  CHECK(values(Init::uniform(1).draw({4}, 8, "0.weight")) != uniform);
  CHECK(values(Init::uniform(1).draw({4}, 7, "1.weight")) != uniform);
}

namespace {

struct Pair : nn::Module {
  Variable a = nn::parameter({2}, 1), b = nn::parameter({3}, 2);
  std::string second = "b";
  bool visits_b = true;
  void members(nn::Visitor& visit) override {
    visit("a", a);
    if (visits_b) visit(second, b);
  }
};

}  // namespace

TEST_CASE("one name for two parameters is refused, one parameter under two names is not") {
  Pair pair;
  CHECK(pair.parameters().size() == 2);
  pair.second = "a";
  const auto two = [&](auto use) { return contains(error_of(use), "module: two parameters are called a"); };
  CHECK(two([&] { pair.parameters(); }));
  CHECK(two([&] { pair.state(); }));
  CHECK(two([&] { pair.load({}); }));
  CHECK(two([&] { pair.to(DType::f64); }));
  pair.b = pair.a;
  CHECK(pair.parameters().size() == 1);
}

TEST_CASE("check_members names what a module forgets, and only that") {
  Pair pair;
  const auto loss = [&] { return sum(pair.a) + sum(pair.b); };
  CHECK_NOTHROW(nn::check_members(pair, loss()));
  pair.visits_b = false;
  CHECK(contains(error_of([&] { nn::check_members(pair, loss()); }),
                 "the loss depends on a parameter [3] that the module does not name"));
  CHECK_NOTHROW(nn::check_members(pair, sum(pair.a * Variable(Tensor::full({2}, 1), true))));  // no parameter
  CHECK_NOTHROW(nn::check_members(pair, sum(pair.a)));
  const Variable walked = loss();
  walked.backward();  // its tape is freed
  CHECK(contains(error_of([&] { nn::check_members(pair, walked); }), "this loss has no tape"));
  const NoGrad no_grad;
  CHECK(contains(error_of([&] { nn::check_members(pair, loss()); }), "this loss has no tape"));
}

TEST_CASE("a module that visits itself is refused") {
  struct Loop : nn::Module {
    void members(nn::Visitor& visit) override { visit("me", *this); }
  } loop;
  CHECK(contains(error_of([&] { loop.parameters(); }), "me. is the module itself again"));
}

TEST_CASE("parts that no optimiser holds are frozen, whether or not anybody named them") {
  nn::Linear encoder(3, 5), head(5, 1);
  optim::Sgd sgd(head.parameters(), {.lr = 0.1});
  const Tensor x = random({4, 3}, 1, DType::f32);
  const std::vector<double> before = values(encoder.state().at("weight"));
  sum(head(encoder(Variable(x)))).backward();
  CHECK_NOTHROW(sgd.step());
  CHECK(values(encoder.state().at("weight")) == before);
}

TEST_CASE("modules made in two threads begin differently") {
  std::vector<double> one, two;
  const auto make = [](std::vector<double>& weights) {
    return std::thread([&weights] {
      nn::Linear layer(4, 4);
      weights = values(layer.state().at("weight"));
      weights.push_back(static_cast<double>(layer.generator().seed()));
    });
  };
  std::thread first = make(one), second = make(two);
  first.join();
  second.join();
  CHECK(one != two);
  CHECK(one.back() != two.back());
}

TEST_CASE("load takes a module's own tensors in another order, and nothing where one is empty") {
  struct Three : nn::Module {
    Variable a = nn::parameter({2}, 1), b = nn::parameter({2}, 2), c = nn::parameter({2}, 3);
    void members(nn::Visitor& visit) override {
      visit("a", a);
      visit("b", b);
      visit("c", c);
    }
  } three;
  State turned = three.state();
  std::swap(turned["a"], turned["b"]);
  std::swap(turned["b"], turned["c"]);  // 2, 3, 1
  three.load(turned);
  CHECK(values(three.a.value())[0] == 2);
  CHECK(values(three.b.value())[0] == 3);
  CHECK(values(three.c.value())[0] == 1);
  const State before = copy_of(three);
  State empty = three.snapshot();
  empty["a"] = Tensor::full({2}, 9);
  empty["c"] = Tensor();
  CHECK(contains(refusal(three, empty), "load: c is an empty tensor"));
  CHECK(equal_states(copy_of(three), before));
}

TEST_CASE("a unique_ptr that holds nothing is passed over, vectors of them are visited") {
  struct Net : nn::Module {
    std::unique_ptr<nn::Linear> maybe;
    std::vector<std::unique_ptr<nn::Linear>> layers;
    void members(nn::Visitor& visit) override {
      visit("maybe", maybe);
      visit("layers", layers);
    }
  } net;
  net.layers.push_back(std::make_unique<nn::Linear>(2, 2));
  CHECK(net.parameters().size() == 2);
  CHECK(net.parameters()[0].name == "layers.0.weight");
  net.maybe = std::make_unique<nn::Linear>(2, 2);
  CHECK(net.parameters().size() == 4);
}

TEST_CASE("state() shares and snapshot() copies, before and after an optimiser is made") {
  nn::Linear layer(2, 2);
  const State shared = layer.state(), copied = layer.snapshot();
  const std::vector<double> at_first = values(copied.at("weight"));
  optim::Sgd sgd(layer.parameters(), {.lr = 0.5});
  sum(layer(Variable(random({3, 2}, 1, DType::f32)))).backward();
  sgd.step();
  CHECK(equal(shared.at("weight"), layer.state().at("weight")));
  CHECK(values(shared.at("weight")) != at_first);
  CHECK(values(copied.at("weight")) == at_first);
  layer.load(copied);
  CHECK(values(shared.at("weight")) == at_first);
  const nn::Linear& fixed = layer;
  CHECK(fixed.parameters().size() == 2);
  CHECK(fixed.parameter_count() == 6);
  CHECK(fixed.state().size() == 2);
}

TEST_CASE("parameters are real numbers") {
  nn::Linear layer(2, 2);
  const State before = layer.snapshot();
  CHECK(contains(error_of([&] { layer.to(DType::i32); }), "module: parameters are f32 or f64, not i32"));
  CHECK(equal_states(layer.state(), before));
}

TEST_CASE("a Tensor cannot be visited, because a move could not reach it") {
  static_assert(std::invocable<nn::Visitor&, const char*, Variable&>);
  static_assert(!std::invocable<nn::Visitor&, const char*, Tensor&>);
}

TEST_CASE("a module may hold ids, which stay ids and want no gradient") {
  struct Lookup : nn::Module {
    Variable ids{ints({1, 0})}, table = nn::parameter({2, 3}, 1);
    void members(nn::Visitor& visit) override { visit("ids", ids), visit("table", table); }
  } lookup;
  for (bool on : {false, true}) {
    lookup.set_requires_grad(on);
    CHECK(lookup.table.requires_grad() == on);
    CHECK(!lookup.ids.requires_grad());
  }
  lookup.to(DType::f64);
  CHECK(lookup.ids.dtype() == DType::i32);
}

TEST_CASE("a tied weight may stand in a file under both of its names") {
  nn::TranslationModel tied = tiny_model(tiny_config(Tie::output)),
                       other = tiny_model(tiny_config(Tie::output), 5);
  State file = copy_of(other);
  file["output.weight"] = file.at("target_embedding.weight").copy();  // as torch writes it
  tied.load(file);
  CHECK(equal(run(tied).value(), run(other).value()));
  file.erase("target_embedding.weight");
  tied.load(file);
  CHECK(equal(run(tied).value(), run(other).value()));
}

TEST_CASE("modules without a common root have dropout masks of their own") {
  nn::MultiHeadAttention a(4, 1, 0.5), b(4, 1, 0.5);
  CHECK(a.generator().seed() != b.generator().seed());
  nn::Transformer t({.d_model = 4, .heads = 2, .layers = 2, .ff = 4});
  CHECK(&t.generator() == &t.encoder.layers()[0].generator());
  CHECK(&t.generator() == &t.decoder.layers()[1].generator());
}

TEST_CASE("what joins a model after its generator was made shares it from the next init on") {
  struct Late : nn::Module {
    std::vector<nn::MultiHeadAttention> layers;
    Late() {
      generator();
      layers.emplace_back(4, 1, 0.5);
    }
    void members(nn::Visitor& visit) override { visit("layers", layers); }
  } model;
  model.init(1);
  CHECK(&model.layers[0].generator() == &model.generator());
  model.layers[0] = nn::MultiHeadAttention(4, 2, 0.5);
  model.init(1);
  CHECK(&model.layers[0].generator() == &model.generator());
}

TEST_CASE("init of a part draws its values, and leaves the masks of the whole alone") {
  nn::Transformer model({.d_model = 4, .heads = 2, .layers = 1, .ff = 4});
  model.init(7);
  model.generator().set_step(100);
  const State before = model.snapshot();
  model.decoder.init(3);
  CHECK(model.generator().seed() == 7);
  CHECK(&model.decoder.generator() == &model.generator());
  const Draw draw = model.generator().next_draw();
  CHECK(draw.step == 100);
  const std::string weight = "decoder.layers.0.linear1.weight";
  CHECK(!equal(model.state().at(weight), before.at(weight)));
}

TEST_CASE("layers of no size are refused by name") {
  CHECK(error_of([] { nn::Linear(0, 2); }) == "linear: expected a size of at least 1, got 0");
  CHECK(error_of([] { nn::Embedding(3, 0); }) == "embedding: expected a size of at least 1, got 0");
  CHECK(error_of([] { nn::LayerNorm(4, -1); }) == "layer_norm: expected eps > 0, got -1");
  CHECK(error_of([] { nn::MultiHeadAttention(0, 1); }) == "attention: 1 heads do not divide d_model 0");
  CHECK(contains(error_of([] { nn::EncoderLayer({.d_model = 4, .heads = 2, .ff = 0}); }), "ff >= 1"));
}

TEST_CASE("a run that is resumed with its seed has the masks of one that was not stopped") {
  const auto losses_from = [](nn::TranslationModel& model, optim::Adam& adam, int64_t first, int64_t last) {
    std::vector<double> result;
    for (int64_t step = first; step <= last; ++step) {
      model.generator().set_step(step);
      adam.zero_grad();
      const auto out = losses::TranslationLoss(7)(run(model), TranslationBatch{}.target);
      out.loss.backward();
      adam.step();
      result.push_back(out.loss.value().item());
    }
    return result;
  };
  const nn::TranslationModelConfig config = tiny_config(Tie::output, true, /*dropout=*/0.3);
  nn::TranslationModel straight(config), stopped(config), resumed(config);
  straight.init(5);
  stopped.init(5);
  optim::Adam a(straight.parameters()), b(stopped.parameters()), c(resumed.parameters());
  const std::vector<double> whole = losses_from(straight, a, 1, 4);
  losses_from(stopped, b, 1, 2);
  resumed.init(5);  // the seed of the masks, and then the weights of the file
  resumed.load(stopped.snapshot());
  c.load(b.state());
  const std::vector<double> rest = losses_from(resumed, c, 3, 4);
  CHECK(std::vector<double>(whole.begin() + 2, whole.end()) == rest);
}

TEST_CASE("Sequential: layers one after the other, named by place") {
  nn::Sequential net(nn::Linear(2, 3), nn::Relu(), nn::Dropout(0.5), nn::Linear(3, 1));
  net.init(1);
  const auto state = net.state();
  CHECK(state.size() == 4);
  const Tensor x = random({5, 2}, 1, DType::f32);
  net.eval();
  const Tensor expected = linear(relu(linear(x, state.at("0.weight"), state.at("0.bias"))),
                                 state.at("3.weight"), state.at("3.bias"));
  CHECK(equal(net(x).value(), expected));
  net.train();
  const Tensor dropped = net(x).value();
  net.generator().set_step(0);
  net.generator().next_step();
  CHECK(!equal(net(x).value(), dropped));  // another step, other masks
  CHECK(net.parameters("3.").size() == 2);
  CHECK(contains(error_of([&] { net.parameters("4."); }), "no parameter's name begins with '4.'"));

  nn::Sequential words;
  words.add(nn::Embedding(7, 4));
  words.add(nn::Sequential(nn::Linear(4, 2), nn::Gelu()));
  CHECK(words(ints({1, 2, 3})).shape() == Shape{3, 2});
  CHECK(words.state().contains("1.0.bias"));
  struct Model : nn::Module {
    nn::Sequential body{nn::Linear(2, 2), nn::Dropout(0.5)};
    void members(nn::Visitor& visit) override { visit("body", body); }
  } model;
  model.init(3);
  CHECK(model.state().contains("body.0.weight"));
  CHECK(&model.body.generator() == &model.generator());
  model.eval();
  CHECK(!model.body.training());
}

TEST_CASE("summary: a line for each parameter, and their sum") {
  nn::Sequential net(nn::Linear(2, 3), nn::Linear(3, 1, /*bias=*/false));
  net.parameters("1.")[0].variable.set_requires_grad(false);
  CHECK(nn::summary(net) ==
        "0.weight  [3, 2]   6\n"
        "0.bias    [3]      3\n"
        "1.weight  [1, 3]   3  frozen\n"
        "total             12\n");
  CHECK(message(net) == nn::summary(net));
}

TEST_CASE("a frozen module costs no gradient, and one inside a model learns no more") {
  nn::Linear encoder(3, 4), head(4, 1);
  encoder.set_requires_grad(false);
  const Variable h = encoder(random({2, 3}, 1, DType::f32));
  CHECK(!h.requires_grad());
  CHECK(head(h).requires_grad());
  encoder.set_requires_grad(true);
  CHECK(encoder(random({2, 3}, 1, DType::f32)).requires_grad());
}

TEST_CASE("a causal EncoderLayer sees no later token, and goes step by step through its cache") {
  nn::EncoderLayer layer({.d_model = 8, .heads = 2, .ff = 16, .dropout = 0, .norm_first = true});
  const Tensor x = random({2, 5, 8}, 1, DType::f32);
  const Tensor all = layer(x, {}, /*causal=*/true).value();
  const Tensor first = layer(slice(x, 1, 0, 3), {}, true).value();
  CHECK(distance(first, slice(all, 1, 0, 3)) <= 1e-6);
  CHECK(distance(layer(x).value(), all) > 1e-3);
  const NoGrad no_grad;
  const Tensor cache = Tensor::zeros({2, 5, 16});
  for (int64_t t = 0; t < 5; ++t)
    CHECK(distance(layer.step(slice(x, 1, t, t + 1), cache, t).value(), slice(all, 1, t, t + 1)) <= 1e-6);
  CHECK(contains(error_of([] { nn::EncoderLayer({.d_model = 8, .heads = 3}); }),
                 "3 heads do not divide d_model 8"));
}
