// The models of the benchmark and one optimiser step of them.
#include "tests/benchmark/benchmark.h"

namespace gradus::benchmark {

Config Options::model() const {
  const Config configs[] = {{"toy", 128, 4, 2, 512, 1000, 64, 16, 1182208},
                            {"small", 256, 4, 3, 1024, 8000, 64, 32, 9626624},
                            {"base", 512, 8, 6, 2048, 32000, 64, 64, 0}};
  for (Config c : configs)
    if (c.name == config) return c.batch = size > 0 ? size : c.batch, c;
  throw std::invalid_argument("--config: expected toy, small or base, got '" + config + "'");
}

namespace {

nn::TranslationModelConfig model_config(const Config& c) {
  return {
      .source_vocab = c.vocab,
      .target_vocab = c.vocab,
      .tie = nn::Tie::output,
      .transformer = {.d_model = c.d, .heads = c.heads, .layers = c.layers, .ff = c.ff, .norm_first = true}};
}

Tensor random_ids(int64_t rows, int64_t columns, int64_t vocab, uint64_t seed, Device device) {
  const Tensor uniform = Generator(seed).uniform({rows, columns}, 4, static_cast<double>(vocab));
  std::vector<int32_t> ids;
  for (const double u : uniform.to_vector<double>()) ids.push_back(static_cast<int32_t>(u));
  return Tensor::from(ids, {rows, columns}, device);
}

nn::TranslationModel made(const Config& c, Device device) {
  nn::TranslationModel model(model_config(c));
  model.init(/*seed=*/1);
  model.to(device);
  return model;
}

}  // namespace

Trainer::Trainer(const Config& c, Device device)
    : model_(made(c, device)), criterion_(c.vocab),
      adam_(model_.parameters(), {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-9}),
      source_(random_ids(c.batch, c.length, c.vocab, 2, device)),
      source_lengths_(Tensor::full({c.batch}, static_cast<double>(c.length), DType::i32, device)),
      target_(random_ids(c.batch, c.length + 1, c.vocab, 3, device)),
      target_lengths_(Tensor::full({c.batch}, static_cast<double>(c.length + 1), DType::i32, device)) {
  check(c.parameters == 0 || c.parameters == parameters(), "benchmark ", c.name, ": expected ", c.parameters,
        " parameters, got ", parameters());
}

int64_t Trainer::parameters() {
  int64_t count = 0;
  for (const NamedParameter& p : model_.parameters()) count += p.variable.shape().numel();
  return count;
}

Variable Trainer::forward() {
  model_.generator().next_step();
  return criterion_(model_(source_, source_lengths_, target_, target_lengths_), target_).loss;
}

void Trainer::step() {
  adam_.zero_grad();
  forward().backward();
  adam_.step();
}

std::vector<LinearLayer> linear_layers(const Config& c) {
  const int64_t l = c.layers;
  return {{"self in_proj", 2 * l, c.d, 3 * c.d},   {"out_proj, cross query", 4 * l, c.d, c.d},
          {"cross keys, values", l, c.d, 2 * c.d}, {"linear1 + relu", 2 * l, c.d, c.ff, Unary::relu},
          {"linear2", 2 * l, c.ff, c.d},           {"output", 1, c.d, c.vocab, {}, false}};
}

}  // namespace gradus::benchmark
