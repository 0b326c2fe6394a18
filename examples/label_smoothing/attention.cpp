// Demo 15: what the masks do, seen in the attention of one tiny model, and the tape of one of its steps.
#include <algorithm>
#include <cmath>

#include "examples/data/batch.h"
#include "examples/label_smoothing/demo.h"
#include "examples/measure/attention_weights.h"
#include "examples/page/tape.h"
#include "losses/translation_loss.h"
#include "nn/translation_model.h"

namespace gradus::examples::lab {
namespace {

constexpr int64_t kHeads = 2;
constexpr uint64_t kSeed = 1;

// Two sentences, one of them shorter, with `extra` more columns of padding, and `filler` wherever padding is.
Batch tiny_batch(int64_t extra = 0, int32_t filler = Vocabulary::pad) {
  const std::vector<IdPair> pairs{{{4, 5, 6, 7, 8}, {7, 8, 9}}, {{6, 4, 9}, {5}}};
  const Batch b = make_batch(pairs, {.pairs = {0, 1}, .source_width = 5 + extra, .target_width = 5 + extra});
  for (const Tensor& ids : {b.source, b.target})
    std::ranges::replace(std::span(ids.data<int32_t>(), ids.size()), Vocabulary::pad, filler);
  return b;
}

double largest_change(const Tensor& logits, const Tensor& padded) {  // over the places that both have
  double worst = 0;
  const int64_t T = logits.shape()[1], V = logits.shape()[2], P = padded.shape()[1];
  const std::vector<double> a = logits.to_vector<double>(), b = padded.to_vector<double>();
  for (int64_t row = 0; row < 2; ++row)
    for (int64_t i = 0; i < (row == 0 ? T : 2) * V; ++i)
      worst = std::max(worst, std::abs(a[row * T * V + i] - b[row * P * V + i]));
  return worst;
}

}  // namespace

Demo attention_and_tape(const Settings&) {
  // shown: attention_and_tape
  const nn::TransformerConfig layers{
      .d_model = 8, .heads = kHeads, .layers = 1, .ff = 16, .dropout = 0, .norm_first = true};
  nn::TranslationModel model({.source_vocab = 10, .target_vocab = 10, .transformer = layers});
  model.to(DType::f64);
  model.init(kSeed);
  const losses::TranslationLoss criterion(/*vocab_size=*/10);
  const auto logits_of = [&](const Batch& b) {
    return model(b.source, b.source_lengths, b.target, b.target_lengths);
  };
  const Variable logits = logits_of(tiny_batch());
  const Variable loss = criterion(logits, tiny_batch().target).loss;
  // Of the encoder, the decoder, and from decoder to encoder.
  const std::vector<Tensor> weights = attention_weights(loss, kHeads);
  const std::vector<svg::Step> tape = steps_of(loss, model.parameters());
  // end shown
  Demo demo{"attention_and_tape", {{"seed", message(kSeed)}}};
  auto& maps = demo.table("attention_weights", {"map", "looks", "is looked at", "weight"});
  auto& changes = demo.table("padding_changes", {"what is changed", "largest change of a logit"});
  auto& lines = demo.table("tape", {"step", "operation", "takes steps"});
  const std::vector<std::string> source{"a", "b", "c", "pad", "pad again"}, target{"BOS", "x", "EOS", "pad"};
  // Of head 0, in the second sentence.
  const auto draw_map = [&](const std::string& title, const Tensor& map, const auto& rows,
                            const auto& columns) {
    const int64_t T = std::ssize(rows), S = std::ssize(columns);
    for (int64_t t = 0; t < T; ++t)
      for (int64_t s = 0; s < S; ++s)
        maps.add(title, rows[t], columns[s], map.data<double>()[(kHeads * T + t) * S + s]);
    demo.draw("map", maps.where("map", {title}), {"looks", "is looked at", "weight", svg::Mark::cells},
              {{"title", title}});
  };
  draw_map("Encoder: a sentence of 3 in a batch 5 wide", weights[0], source, source);
  draw_map("Decoder: each position sees itself and what was before", weights[1], target, target);
  draw_map("Decoder to encoder", weights[2], target, source);
  demo.draw("tape", [&](const svg::Chart& chart) { return svg::tape(chart, tape); });
  const auto change = [&](const std::string& what, const Batch& batch) {
    changes.add(what, largest_change(logits.value(), logits_of(batch).value()));
  };
  change("nothing: the same call again", tiny_batch());
  change("3 more columns of padding", tiny_batch(3));
  change("word 7 under all padding", tiny_batch(3, 7));
  const auto nothing = criterion(logits, Tensor::zeros({2, 5}, DType::i32));
  changes.add("only padding as target: loss, tokens",
              message(nothing.loss.value().item(), ", ", nothing.num_tokens()));
  for (size_t i = 0; i < tape.size(); ++i) {
    std::string inputs;
    for (size_t input : tape[i].inputs) inputs += (inputs.empty() ? "" : " ") + std::to_string(input);
    lines.add(i, tape[i].text, inputs);
  }
  return demo;
}

}  // namespace gradus::examples::lab
