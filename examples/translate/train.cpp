// The command `train`: its options, and what a run that goes on may change.
#include <cerrno>
#include <iostream>
#include <optional>
#include <sstream>

#include "examples/translate/commands.h"
#include "examples/translate/trainer.h"

namespace gradus::examples {
namespace {

std::string shell_quoted(const std::string& text) {
  constexpr const char* kSafe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./=:,+-";
  if (text.find_first_not_of(kSafe) == text.npos) return text;
  std::string quoted;
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return "'" + quoted + "'";
}

// The options a run began with, over which those given again are laid. They may not differ, but for some; of
// the files, the content counts.
Checkpoint checkpoint_to_resume(const std::string& path, const std::string& out,
                                std::span<const std::string> arguments) {
  const std::string may_differ = " steps epochs max-minutes device source target valid-source valid-target ";
  Checkpoint c = load_checkpoint(path);
  std::istringstream before(c.options.dump());
  const std::string tokenizer = c.options.tokenizer;
  Options options("", "");
  c.options.declare(options);
  options.parse(arguments);
  if (c.options.tokenizer == "auto") c.options.tokenizer = tokenizer;  // "auto" became this when it began
  std::istringstream now(c.options.dump());
  std::string differ;
  for (std::string was, is; std::getline(before, was) && std::getline(now, is);)
    if (was != is && may_differ.find(" " + is.substr(0, is.find(' ')) + " ") == is.npos)
      differ += (differ.empty() ? " was made with `" : ", with `") + was + "`, now it says `" + is + "`";
  check(differ.empty(), "train --resume: ", path, differ);
  // Where it was found, whatever that was called when it began.
  c.options.out = out;
  c.options.resume = false;
  return c;
}

}  // namespace

int train_command(std::span<const std::string> arguments) {
  std::cout << std::unitbuf;  // in a pipe, too, each line appears when it is written
  TrainOptions settings;
  Options options("translate train (--toy | --source FILE --target FILE) [options]",
                  "Trains a Transformer to translate, and keeps the best model in DIR/best.safetensors.\n"
                  "Ctrl-C stops it and saves; --resume goes on.");
  settings.declare(options);
  const Options::Action action = options.parse(arguments);
  RunFolder folder(settings.out);
  std::optional<Checkpoint> begun;
  if (settings.resume && action != Options::Action::help) {
    folder.require_last();
    folder.lock(std::cout);
    begun = checkpoint_to_resume(folder.last(), settings.out, arguments);
    settings = begun->options;
  }
  if (settings.tokenizer == "auto") settings.tokenizer = settings.toy ? "word" : "bpe";
  if (answered(options, action)) return 0;
  settings.validate();
  if (!begun) folder.refuse_to_overwrite();
  if (settings.threads > 0) set_num_threads(settings.threads);
  const Device device = named_device(settings.device);
  set_matmul_precision(named_matmul_precision(settings.precision));
  watch_interrupts();
  Trainer trainer(settings, folder, device, std::cout);
  if (begun) {
    trainer.go_on_from(*begun);
    begun.reset();  // the model and Adam have copies of its tensors
  } else {
    folder.create();
    folder.lock(std::cout);
    folder.refuse_to_overwrite();  // another training may have ended meanwhile
  }
  std::cout << describe(device) << "\n";
  const std::string program = shell_quoted(program_invocation_name);
  if (!trainer.run()) {
    std::cout << "To go on:      " << program << " train --resume --out " << shell_quoted(folder.name())
              << "\n";
    return 128 + interrupted();  // as a shell tells of a signal
  }
  const std::string model = shell_quoted(folder.best());
  std::cout << "\nTo translate:  " << program << " translate --model " << model
            << "\nTo measure:    " << program << " evaluate --model " << model
            << (settings.toy ? "" : " --source FILE --target FILE") << "\n";
  return 0;
}

}  // namespace gradus::examples
