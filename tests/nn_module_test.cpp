// What a module does with its parameters as a whole: loading (strictly), initial values, counting; and what
// models refuse.
#include <cstdio>
#include <filesystem>

#include "nn/search.h"
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
  CHECK(contains(refusal(output, copy_of(none)),
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
  CHECK(contains(with([](auto& b) { b.source_lengths = ints({5, 1}); }),
                 "translation model: source: length 5 at row 0 is outside [0, 4]"));
  CHECK(contains(with([](auto& b) { b.source_lengths = ints({4, -1}); }), "length -1 at row 1"));
  CHECK(contains(with([](auto& b) { b.target_lengths = ints({6, 1}); }),
                 "translation model: target: length 6 at row 0 is outside [0, 5]"));
  const auto decode = [&](int64_t longest) {
    return error_of([&] { greedy_decode(model, good.source, good.source_lengths, longest, kBos, kEos); });
  };
  CHECK(contains(decode(9), "asked to decode 9 tokens; it has 8 positions"));
  CHECK(contains(decode(0), "expected `longest` to be given, at least 1, got 0"));
  CHECK(decode(8).empty());
  CHECK(model.training());
}
