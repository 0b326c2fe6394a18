// The commands of `translate`, and what they share. A command parses its own options, prints to standard
// output, and returns the exit status.
#pragma once

#include <span>

#include "examples/translate/checkpoint.h"
#include "losses/translation_loss.h"

namespace gradus::examples {

int train_command(std::span<const std::string> arguments);
int translate_command(std::span<const std::string> arguments);
int evaluate_command(std::span<const std::string> arguments);
int score_command(std::span<const std::string> arguments);

// If parsing asked for help or for the options, prints them; true when there is nothing more to do.
bool answered(const Options& options, Options::Action action);

struct TrainedModel {
  TrainOptions options;
  Tokenizers tokenizers;
  nn::TranslationModel model;
};

// What the commands that use a model are told: which, where it runs, and how it searches.
struct UseOptions {
  std::string path, device = "cpu";
  int64_t threads = 0, beam = 4;
  double length_penalty = 0.6;
  void declare(Options& options);
  TrainedModel load(const char* command) const;
};

// The loss over all pairs, without dropout and without recording.
losses::LossSums loss_of(nn::TranslationModel& model, const losses::TranslationLoss& criterion,
                         const std::vector<IdPair>& pairs, int64_t batch_tokens);

// A line's ids; none of a blank one. Words that the tokenizer does not know are told on standard error.
Ids encoded(const Tokenizer& tokenizer, const std::string& line, int64_t number);

// Translations of the pairs' sources, in their order; nothing for nothing. One too long for the model is cut,
// and told on standard error.
std::vector<std::string> translate_all(nn::TranslationModel& model, const Tokenizer& target,
                                       std::vector<IdPair> pairs, int64_t beam, double length_penalty);

// The first three held-out pairs that are short enough to be shown.
std::vector<IdPair> shown_pairs(const HeldOut& held_out);

// DIR/report.html: how a run has gone, on one page. The curves and the samples come from the lines of
// log.jsonl, so that a run which goes on shows what was before it; attention is the model's as it is now. It
// only looks: no random number is drawn and nothing of training is changed.
std::string report_page(const std::vector<std::string>& log, const std::string& options, const Task& task,
                        nn::TranslationModel& model);

}  // namespace gradus::examples
