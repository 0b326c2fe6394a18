#include "examples/translate/options.h"

#include <algorithm>
#include <cmath>

#include "optim/schedule.h"

namespace gradus::examples {

void TrainOptions::declare(Options& o) {
  constexpr double kMany = 1e9;
  o.group("What to learn");
  o.add("--toy", &toy, "", "the toy language: English to French by a small grammar, drawn fresh as it goes");
  o.add("--source", &source, "FILE", "a text file, one sentence a line");
  o.add("--target", &target, "FILE", "its translation, line by line");
  o.add("--valid-source", &valid_source, "FILE", "sentences to validate on");
  o.add("--valid-target", &valid_target, "FILE", "their translations");
  o.add("--held-out", &held_out, "X",
        "without these, the share of sentences put aside instead, by a hash of the source", {0.0001, 0.5});
  o.add("--tokenizer", &tokenizer, "auto|word|bpe",
        "whole words, or byte pairs learned from both files;\nauto: word for --toy, else bpe");
  o.add("--vocab-size", &vocab_size, "N", "byte pairs in all, or frequent words of each side", {5, 1e6});
  o.add("--min-count", &min_count, "N", "rarer words become <unk>, rarer pairs are not joined", {1, kMany});
  o.add("--longest", &longest, "N", "positions: pairs of sentences with more tokens are skipped", {4, 4096});

  o.group("The model");
  o.add("--d-model", &d_model, "N", "width of embeddings and layers", {1, 8192});
  o.add("--heads", &heads, "N", "attention heads; they divide the width", {1, 128});
  o.add("--layers", &layers, "N", "encoder layers, and as many decoder layers", {1, 64});
  o.add("--ff", &ff, "N", "width of the feed-forward layers", {1, 65536});
  o.add("--dropout", &dropout, "P", "share of activations dropped in training", {0, 0.9});
  o.add("--norm", &norm, "pre|post", "layer norm before each sublayer, or after it as in the 2017 paper");
  o.add("--activation", &activation, "relu|gelu", "of the feed-forward layers");
  o.add("--tie", &tie, "none|output|all", "share target embedding and output layer, or all three tables");

  o.group("The loss");
  o.add("--smoothing", &smoothing, "X", "label smoothing, eps: the mass taken from the target word", {0, 1});
  o.add("--label-convention", &label_convention, "uniform|as_printed|others|others_not_pad",
        "where that mass goes: see losses/README.md");

  o.group("Training");
  o.add("--batch-tokens", &batch_tokens, "N", "padded target words in a batch, about", {1, 1e7});
  o.add("--accumulate", &accumulate, "N", "batches of one step: k of B/k words are one of B", {1, 10000});
  o.add("--steps", &steps, "N", "optimiser steps", {1, kMany});
  o.add("--epochs", &epochs, "N", "passes over the text, in place of --steps; 0: --steps", {0, kMany});
  o.add("--max-minutes", &max_minutes, "X", "stop after so long, if steps are left; 0: no limit", {0, kMany});
  o.add("--lr", &lr, "X", "the largest learning rate", {0, 10});
  o.add("--warmup", &warmup, "N", "steps in which the learning rate rises to it", {0, kMany});
  o.add("--schedule", &schedule, "cosine|linear|inverse-sqrt", "how it falls afterwards");
  o.add("--clip", &clip, "X", "largest gradient norm", {1e-6, kMany});
  o.add("--validate-every", &validate_every, "N", "steps between validations, and checkpoints", {1, kMany});
  o.add("--seed", &seed, "N", "of initial values, dropout and the order of the data", {0, kMany});
  o.add("--threads", &threads, "N", "CPU threads; 0: all cores. Results do not depend on it", {0, 1024});
  o.add("--device", &device, "cpu|cuda", "where to train");
  o.add("--precision", &precision, "f32|tf32",
        "of products with --device cuda: tf32 is up to five times faster, and has three digits");
  o.add("--out", &out, "DIR", "where best.safetensors, last.safetensors and log.jsonl go");
  o.add("--resume", &resume, "", "go on from DIR/last.safetensors, with its options, as if never stopped");
}

void TrainOptions::validate() const {
  check(toy != !source.empty() && source.empty() == target.empty(),
        "train: name what to learn: either --toy alone, or both --source FILE and --target FILE");
  check(!toy || words(), "train: --toy learns words: expected --tokenizer word, got ", tokenizer);
  check(!toy || tie != "all", "train: --toy has two vocabularies, --tie all one; did you mean --tie output?");
  check(!toy || epochs == 0, "train: the toy language has no --epochs");
  check(!toy || longest >= 32, "train: sentences of the toy language need --longest 32 at least, got ",
        longest);
  check(valid_source.empty() == valid_target.empty() && (!toy || valid_source.empty()),
        "train: --valid-source and --valid-target go together, and with --source and --target");
  int64_t nearest = 1;
  for (int64_t n = 1; n <= d_model; ++n)
    if (d_model % n == 0 && std::abs(n - heads) < std::abs(nearest - heads)) nearest = n;
  check(nearest == heads, "train: --heads ", heads, " do not divide --d-model ", d_model, "; did you mean ",
        nearest, "?");
}

std::string TrainOptions::dump() const {
  TrainOptions copy = *this;
  copy.threads = 0, copy.out = TrainOptions().out, copy.resume = false;
  Options options("", "");
  copy.declare(options);
  return options.dump();
}

nn::TranslationModelConfig TrainOptions::model(int64_t source_vocab, int64_t target_vocab) const {
  const nn::Tie tied = tie == "none" ? nn::Tie::none : tie == "all" ? nn::Tie::all : nn::Tie::output;
  const Unary function = activation == "gelu" ? Unary::gelu : Unary::relu;
  const nn::TransformerConfig transformer{.d_model = d_model,
                                          .heads = heads,
                                          .layers = layers,
                                          .ff = ff,
                                          .dropout = dropout,
                                          .norm_first = norm == "pre",
                                          .activation = function};
  return {source_vocab, target_vocab, tied, transformer, longest};
}

Smoothing TrainOptions::convention() const {
  return label_convention == "as_printed"       ? Smoothing::as_printed
         : label_convention == "others"         ? Smoothing::others
         : label_convention == "others_not_pad" ? Smoothing::others_not_pad
                                                : Smoothing::uniform;
}

double TrainOptions::learning_rate(int64_t step, double time_used) const {
  const double now = step, rise = warmup;
  const double total = std::max(steps, warmup) + 1, at = std::max(now, std::min(time_used, 1.) * total);
  const double falling = schedule == "inverse-sqrt" ? optim::inverse_square_root(at, lr, rise)
                         : schedule == "linear"     ? optim::linear(at, lr, rise, total)
                                                    : optim::cosine(at, lr, rise, total);
  return std::min(falling, lr * optim::warmed_up(now, rise));
}

}  // namespace gradus::examples
