// The commands of `translate`. A command parses its own options, prints to standard output, and returns the
// exit status.
#pragma once

#include <span>

#include "examples/translate/checkpoint.h"
#include "examples/translate/model_use.h"

namespace gradus::examples {

int train_command(std::span<const std::string> arguments);
int translate_command(std::span<const std::string> arguments);
int evaluate_command(std::span<const std::string> arguments);
int score_command(std::span<const std::string> arguments);

// Chooses the command that the first argument names.
int translate_program(std::span<const std::string> arguments);

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
  int64_t threads = 0;
  Decoding decoding;
  void declare(Options& options);
  TrainedModel load(const char* command) const;
};

}  // namespace gradus::examples
