// What a training run can be told. The defaults train the toy language in about a minute on two cores; the
// resolved options are kept in the checkpoint, so that a model knows how it was made.
#pragma once

#include "examples/program/options.h"
#include "nn/translation_model.h"
#include "tensor/target_distribution.h"

namespace gradus::examples {

struct TrainOptions {
  bool toy = false, resume = false;
  std::string source, target, valid_source, valid_target, tokenizer = "auto", out = "model", device = "cpu";
  std::string precision = "f32";
  double held_out = 0.02;
  int64_t vocab_size = 8000, min_count = 2, longest = 128;
  int64_t d_model = 128, heads = 4, layers = 2, ff = 512;
  std::string norm = "pre", activation = "relu", tie = "output", label_convention = "uniform";
  double dropout = 0, smoothing = 0.1;
  int64_t batch_tokens = 1024, accumulate = 1, steps = 1600, epochs = 0, validate_every = 400;
  std::string schedule = "cosine";
  double lr = 2e-3, clip = 1, max_minutes = 0;
  int64_t warmup = 200, seed = 1, threads = 0;

  void declare(Options& options);
  void validate() const;     // throws where options do not go together
  std::string dump() const;  // for the checkpoint: without what does not change the result
  bool words() const { return tokenizer == "word"; }
  nn::TranslationModelConfig model(int64_t source_vocab, int64_t target_vocab) const;
  Smoothing convention() const;
  // step counts from 1; time_used is the share of --max-minutes that is gone: whichever of the two is nearer
  // to its end tells how far the schedule has come, so that a run cut short by the clock still ends with a
  // small rate.
  double learning_rate(int64_t step, double time_used) const;
};

}  // namespace gradus::examples
