// Demo 15: what the masks do, seen in the attention of one tiny model, and the tape of one of its steps.
#include <cmath>

#include "examples/label_smoothing/demo.h"
#include "examples/support/tape.h"
#include "losses/translation_loss.h"
#include "nn/translation_model.h"

namespace gradus::examples::lab {
namespace {

constexpr int64_t kHeads = 2;
constexpr uint64_t kSeed = 1;

// Two sentences, one of them shorter: `extra` more columns of padding, filled with `filler`. Sources of 5 and
// 3 tokens, targets of 5 and 3 with BOS 1 and EOS 2.
struct TinyBatch {
  explicit TinyBatch(int64_t extra = 0, int32_t filler = 0) {
    const auto ids = [&](std::vector<int32_t> first, std::vector<int32_t> second) {
      const size_t width = first.size() + static_cast<size_t>(extra);
      first.resize(width, filler), second.resize(width, filler);
      first.insert(first.end(), second.begin(), second.end());
      return Tensor::from(first, {2, static_cast<int64_t>(width)});
    };
    source = ids({4, 5, 6, 7, 8}, {6, 4, 9}), target = ids({1, 7, 8, 9, 2}, {1, 5, 2});
  }
  Tensor source, target, source_lengths = Tensor::from(std::vector<int32_t>{5, 3}, {2}),
                         target_lengths = source_lengths;
};

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
  nn::TranslationModel model(
      {.source_vocab = 10,
       .target_vocab = 10,
       .transformer = {
           .d_model = 8, .heads = kHeads, .layers = 1, .ff = 16, .dropout = 0, .norm_first = true}});
  model.to(DType::f64);
  model.init(kSeed);
  const losses::TranslationLoss criterion(/*vocab_size=*/10);
  const auto logits_of = [&](const TinyBatch& b) {
    return model(b.source, b.source_lengths, b.target, b.target_lengths);
  };
  const Variable logits = logits_of(TinyBatch());
  const losses::TranslationOutput output = criterion(logits, TinyBatch().target);
  const std::vector<Tensor> weights =
      attention_weights(output.loss, kHeads);  // encoder, decoder, decoder to encoder
  const std::vector<svg::Step> tape = steps_of(output.loss, model.parameters());
  // end shown
  Demo demo{"attention_and_tape", {{"seed", message(kSeed)}}};
  html::Table maps{{"map", "looks", "is looked at", "weight"}},
      changes{{"what is changed", "largest change of a logit"}}, lines{{"step", "operation", "takes steps"}};
  const std::vector<std::string> source{"a", "b", "c", "pad", "pad again"}, target{"BOS", "x", "EOS", "pad"};
  const auto draw_map = [&](const std::string& title, const Tensor& map, const auto& rows,
                            const auto& columns) {  // of head 0, in the second sentence
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
  for (const auto& [what, batch] : {std::pair("nothing: the same call again", TinyBatch()),
                                    std::pair("3 more columns of padding", TinyBatch(3)),
                                    std::pair("word 7 under all padding", TinyBatch(3, 7))})
    changes.add(what, largest_change(logits.value(), logits_of(batch).value()));
  const auto nothing = criterion(logits, Tensor::zeros(TinyBatch().target.shape(), DType::i32));
  changes.add("only padding as target: loss, tokens",
              message(nothing.loss.value().item(), ", ", nothing.num_tokens()));
  for (size_t i = 0; i < tape.size(); ++i) {
    std::string inputs;
    for (size_t input : tape[i].inputs) inputs += (inputs.empty() ? "" : " ") + std::to_string(input);
    lines.add(i, tape[i].text, inputs);
  }
  demo.data = {{"attention_weights", maps}, {"padding_changes", changes, true}, {"tape", lines}};
  return demo;
}

}  // namespace gradus::examples::lab
