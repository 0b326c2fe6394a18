// A translation model small enough to check every one of its numbers, and a batch with padding on both sides.
#pragma once

#include "compare.h"
#include "nn/translation_model.h"

namespace gradus::compare {

inline constexpr int32_t kPad = 0, kBos = 1, kEos = 2;

inline nn::TranslationModelConfig tiny_config(nn::Tie tie = nn::Tie::output, bool norm_first = true,
                                              double dropout = 0) {
  return {.source_vocab = 7,
          .target_vocab = 7,
          .tie = tie,
          .transformer = {.d_model = 4,
                          .heads = 2,
                          .layers = 2,
                          .ff = 6,
                          .dropout = dropout,
                          .norm_first = norm_first,
                          .activation = Unary::gelu},
          .longest = 8};
}

// In f64, and with biases and gains that are not 0 and 1, so that a forgotten one shows.
inline nn::TranslationModel tiny_model(const nn::TranslationModelConfig& config, uint64_t seed = 1) {
  nn::TranslationModel model(config);
  model.init(seed);
  model.to(DType::f64);
  for (const NamedParameter& p : model.parameters())
    if (p.variable.shape().rank() == 1) add_to(p.variable.value(), random(p.variable.shape(), ++seed) * 0.3);
  return model;
}

struct TranslationBatch {
  Tensor source = ints({3, 4, 5, 6, /**/ 6, 3, kPad, kPad}, {2, 4}), source_lengths = ints({4, 2});
  Tensor target = ints({kBos, 4, 5, 3, kEos, /**/ kBos, 6, kEos, kPad, kPad}, {2, 5}),
         target_lengths = ints({5, 3});
};

inline Variable run(nn::TranslationModel& model, const TranslationBatch& b = {}) {
  return model(b.source, b.source_lengths, b.target, b.target_lengths);
}

}  // namespace gradus::compare
