#include "examples/translate/commands.h"

#include <iostream>

namespace gradus::examples {

extern const char* const kTranslateHelp;  // help.txt, by the build

bool answered(const Options& options, Options::Action action) {
  if (action == Options::Action::help) std::cout << options.help();
  if (action == Options::Action::dump_config) std::cout << options.dump();
  return action != Options::Action::run;
}

int translate_program(std::span<const std::string> arguments) {
  const std::string command = arguments.empty() ? "--help" : arguments[0];
  if (command == "--help" || command == "-h" || command == "help") {
    std::cout << kTranslateHelp;
    return 0;
  }
  const std::span<const std::string> rest = arguments.subspan(1);
  if (command == "train") return train_command(rest);
  if (command == "evaluate") return evaluate_command(rest);
  if (command == "translate") return translate_command(rest);
  if (command == "score") return score_command(rest);
  const std::string hint = did_you_mean(command, {"train", "evaluate", "translate", "score"});
  throw std::invalid_argument("translate: no command `" + command + "`" + hint + "; see --help");
}

}  // namespace gradus::examples
