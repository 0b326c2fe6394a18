// translate: trains a Transformer to translate, measures it, and translates with it.
#include <iostream>

#include "examples/support/program.h"
#include "examples/translate/commands.h"

namespace gradus::examples {

bool answered(const Options& options, Options::Action action) {
  if (action == Options::Action::help) std::cout << options.help();
  if (action == Options::Action::dump_config) std::cout << options.dump();
  return action != Options::Action::run;
}

namespace {

constexpr const char* kHelp =
    R"(translate: trains a Transformer to translate, measures it, and translates with it.

  translate train      learn from the toy language (--toy) or from two text files
  translate evaluate   BLEU, nll, perplexity and accuracy on sentences never seen
  translate translate  translate standard input, or what you type
  translate score      BLEU of a file of translations against a file of references

Each command explains itself: translate train --help. To begin with:

  translate train --toy --out model
  translate translate --model model/best.safetensors
)";

int run(std::span<const std::string> arguments) {
  const std::string command = arguments.empty() ? "--help" : arguments[0];
  if (command == "--help" || command == "help") return std::cout << kHelp, 0;
  const std::span<const std::string> rest = arguments.subspan(1);
  if (command == "train") return train_command(rest);
  if (command == "evaluate") return evaluate_command(rest);
  if (command == "translate") return translate_command(rest);
  if (command == "score") return score_command(rest);
  throw std::invalid_argument(message("translate: no command `", command, "`",
                                      did_you_mean(command, {"train", "evaluate", "translate", "score"}),
                                      "; see --help"));
}

}  // namespace
}  // namespace gradus::examples

int main(int argc, char** argv) { return gradus::examples::run_program(argc, argv, gradus::examples::run); }
