// What other programs rely on, in one of them: names, argument order and shapes of the public classes. It
// sees installed headers only, and trains on data of its own.
#include <cmath>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>

#include "losses/label_smoothing.h"
#include "losses/translation_loss.h"
#include "nn/translation_model.h"
#include "optim/adam.h"
#include "tensor/safetensors.h"
using namespace gradus;

namespace {

void expect(bool fact, const char* what) {
  if (fact) return;
  std::cerr << "consumer: not so: " << what << '\n';
  std::exit(1);
}

void smoothed_loss() {
  std::vector<double> values;
  for (int i = 0; i < 2 * 3 * 5; ++i) values.push_back(std::sin(i));
  const std::vector<int32_t> ids = {1, 4, 0, 2, 3, 0};  // 0 is pad

  Variable logits(Tensor::from(std::span<const double>(values), Shape{2, 3, 5}), /*requires_grad=*/true);
  Tensor target = Tensor::from(std::span<const int32_t>(ids), Shape{2, 3});
  losses::LabelSmoothingLoss kl(5, 0.1, 0, losses::Smoothing::uniform, losses::Reduction::mean);
  Variable loss = kl(logits, target);
  loss.backward();
  double value = loss.value().item();
  std::vector<double> gradient = logits.grad().to_vector<double>();

  expect(value > 0 && std::isfinite(value), "the divergence is positive");
  expect(gradient.size() == values.size(), "the gradient has the shape of the logits");
  double sum = 0;
  for (size_t j = 0; j < 5; ++j) sum += gradient[j];
  expect(std::fabs(sum) < 1e-15 && gradient[1] < 0,
         "a row of the gradient sums to 0 and pulls at its target");
  for (size_t j = 10; j < 15; ++j) expect(gradient[j] == 0, "pad has no gradient");
}

void loaded_transformer() {
  const nn::TransformerConfig config{
      .d_model = 16, .heads = 2, .layers = 2, .ff = 24, .dropout = 0.0, .norm_first = true};
  nn::Transformer written(config);
  written.init(3);
  write_safetensors("weights.safetensors", written.state());

  Generator random(1);
  const Variable src(random.normal(Shape{2, 4, 16}, 1).to(DType::f64), true);
  const Variable tgt(random.normal(Shape{2, 3, 16}, 1).to(DType::f64), true);
  const Tensor src_lengths = Tensor::from(std::vector<int32_t>{4, 2}, Shape{2});
  const Tensor tgt_lengths = Tensor::from(std::vector<int32_t>{3, 3}, Shape{2});
  const Tensor seed = Tensor::full(Shape{2, 3, 16}, 0.5, DType::f64);
  size_t used = 0;
  const auto use = [&](const std::string& name, const Tensor& gradient) {
    expect(gradient.dtype() == DType::f64 && std::isfinite(sum(gradient).item()), name.c_str());
    ++used;
  };

  std::map<std::string, Tensor> file = read_safetensors("weights.safetensors");
  nn::Transformer model(
      {.d_model = 16, .heads = 2, .layers = 2, .ff = 24, .dropout = 0.0, .norm_first = true});
  model.to(DType::f64);
  model.load(file);
  Variable out = model(src, tgt, src_lengths, tgt_lengths);
  out.backward(seed);
  for (const NamedParameter& p : model.parameters()) use(p.name, p.variable.grad());

  expect(out.shape() == Shape{2, 3, 16}, "a decoder state for each target position");
  expect(used == file.size(), "as many parameters as tensors in the file");
  expect(file.at("encoder.layers.0.self_attn.in_proj_weight").shape() == Shape{48, 16},
         "torch's packed projection");
  expect(file.contains("decoder.layers.1.multihead_attn.out_proj.bias"), "torch's names");
  written.to(DType::f64);
  expect(written(src, tgt, src_lengths, tgt_lengths).value().to_vector<double>() ==
             out.value().to_vector<double>(),
         "a loaded model computes what the written one does");
  file.erase("encoder.norm.bias");
  std::string error;
  try {
    model.load(file);
  } catch (const std::invalid_argument& e) {
    error = e.what();
  }
  expect(error.find("encoder.norm.bias") != std::string::npos, "a missing name is named");
}

void trained_translator() {
  const Tensor source = Tensor::from(std::vector<int32_t>{11, 12, 13, /**/ 21, 22, 0}, Shape{2, 3});
  const Tensor source_lengths = Tensor::from(std::vector<int32_t>{3, 2}, Shape{2});
  const Tensor target_ids = Tensor::from(std::vector<int32_t>{1, 31, 32, 2, /**/ 1, 41, 2, 0}, Shape{2, 4});
  const Tensor target_lengths = Tensor::from(std::vector<int32_t>{4, 3}, Shape{2});

  nn::TranslationModel net(
      {.source_vocab = 1000,
       .target_vocab = 1000,
       .tie = nn::Tie::output,
       .transformer = {
           .d_model = 128, .heads = 4, .layers = 2, .ff = 512, .dropout = 0.1, .norm_first = true}});
  net.init(/*seed=*/1);
  losses::TranslationLoss criterion(1000);
  optim::Adam adam(net.parameters(), {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-9});
  double first = 0, last = 0;
  for (int step = 0; step < 20; ++step) {
    net.generator().next_step();
    adam.zero_grad();
    auto output = criterion(net(source, source_lengths, target_ids, target_lengths), target_ids);
    output.loss.backward();
    adam.step();

    expect(output.num_tokens() == 5, "BOS and pad are no tokens to predict");
    expect(output.loss.value().item() > output.nll_loss() * 0.5, "both losses are means over tokens");
    last = output.nll_loss();
    if (step == 0) first = last;
  }
  expect(last < first - 0.5, "twenty steps of Adam help");
  expect(net.state().contains("source_embedding.weight") && !net.state().contains("output.weight"),
         "a tied output layer has no tensor of its own");
}

}  // namespace

int main() {
  smoothed_loss();
  loaded_transformer();
  trained_translator();
  std::cout << "consumer ok\n";
}
