// The commands of `translate`, one source file each. A command parses its own options, prints to standard
// output, and returns the exit status.
#pragma once

#include <span>

#include "examples/translate/checkpoint.h"
#include "examples/translate/task.h"
#include "losses/translation_loss.h"

namespace gradus::examples {

int train_command(std::span<const std::string> arguments);
int translate_command(std::span<const std::string> arguments);
int evaluate_command(std::span<const std::string> arguments);
int score_command(std::span<const std::string> arguments);

// If parsing asked for help or for the options, prints them; true when there is nothing more to do.
bool answered(const Options& options, Options::Action action);

// The loss over all pairs, without dropout and without recording.
losses::LossSums loss_of(nn::TranslationModel& model, const losses::TranslationLoss& criterion,
                         const std::vector<IdPair>& pairs, int64_t batch_tokens);

// A line as the model reads it. Words that it does not know are told on standard error, as is a line too long
// for it, which is cut.
Ids encoded(const TrainedModel& trained, const std::string& line, int64_t number);

// How a command that translates is told to search.
struct Search {
  int64_t beam = 4;
  double length_penalty = 0.6;
  void declare(Options& options);
};

// Translations of source sentences, in their order; nothing for nothing.
std::vector<std::string> translate_all(nn::TranslationModel& model, const Tokenizer& target,
                                       const std::vector<Ids>& sources, const Search& search);

}  // namespace gradus::examples
