// The command: its options, the folder it writes to, and what a run that goes on may change.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>

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

// No other training writes to this folder until this process ends, however it ends: then the file is closed.
void lock_folder(const std::string& folder) {
  const int file = open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  check_world(flock(file, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK,
              "train: another training is writing to ", folder, "; name another --out");
}

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

void refuse_to_overwrite(const std::filesystem::path& folder) {
  const std::filesystem::path last = folder / "last.safetensors";
  check(!std::filesystem::exists(last), "train: ", last.string(),
        " is there already: go on from it with --resume, or name another --out");
  // Every run leaves a last.safetensors, so these files are no run's to go on with.
  const std::vector<std::string> held = names_in(folder, kOwnNames);
  check(held.empty(), "train: ", folder.string(), " holds ", listed(held),
        ", which training would overwrite: name another --out, or move ", held.size() == 1 ? "it" : "them",
        " away");
}

// There is no checkpoint: whether training begins anew in the same folder depends on what else is there.
std::string instead_of_resuming(const std::filesystem::path& folder) {
  const std::vector<std::string> held = names_in(folder, kOwnNames);
  if (held.empty()) return "without --resume training begins anew";
  return message("to begin anew, leave out --resume and name another --out: ", folder.string(), " holds ",
                 listed(held));
}

// The options a run began with, over which those given again are laid. They may not differ, but for some; of
// the files, the content counts.
Checkpoint checkpoint_to_resume(const std::string& path, const std::string& out,
                                std::span<const std::string> arguments) {
  const std::string may_differ = " steps epochs max-minutes device source target valid-source valid-target ";
  Checkpoint c = load_checkpoint(path);
  std::istringstream before(c.options.dump());
  Options options("", "");
  c.options.declare(options);
  options.parse(arguments);
  std::istringstream now(c.options.dump());
  std::string differ;
  for (std::string was, is; std::getline(before, was) && std::getline(now, is);)
    if (was != is && may_differ.find(" " + is.substr(0, is.find(' ')) + " ") == is.npos)
      differ += (differ.empty() ? " was made with `" : ", with `") + was + "`, now it says `" + is + "`";
  check(differ.empty(), "train --resume: ", path, differ);
  // Where it was found, whatever that was called when it began.
  c.options.out = out, c.options.resume = false;
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
  const std::filesystem::path out = settings.out;
  const std::string last = out / "last.safetensors";
  std::optional<Checkpoint> begun;
  if (settings.resume && action != Options::Action::help) {
    check_world(std::filesystem::exists(last), "train --resume: there is no ", last, " to go on from; ",
                instead_of_resuming(out));
    lock_folder(out);
    begun = checkpoint_to_resume(last, settings.out, arguments);
    settings = begun->options;
  }
  if (settings.tokenizer == "auto") settings.tokenizer = settings.toy ? "word" : "bpe";
  if (answered(options, action)) return 0;
  settings.validate();
  if (!begun) refuse_to_overwrite(out);
  if (settings.threads > 0) set_num_threads(settings.threads);
  const Device device = named_device(settings.device);
  set_matmul_precision(named_matmul_precision(settings.precision));
  watch_interrupts();
  Trainer trainer(settings, device, std::cout);
  if (begun) {
    trainer.go_on_from(*begun), begun.reset();
  } else {
    std::error_code error;
    std::filesystem::create_directories(out, error);
    check_world(!error, "train: cannot make the folder --out ", out, ": ", error.message());
    lock_folder(out);
    refuse_to_overwrite(out);  // another training may have ended meanwhile
  }
  std::cout << describe(device) << "\n";
  const std::string program = shell_quoted(program_invocation_name);
  if (!trainer.run()) {
    std::cout << "To go on:      " << program << " train --resume --out " << shell_quoted(out) << "\n";
    return 128 + interrupted();  // as a shell tells of a signal
  }
  const std::string model =
      shell_quoted(out / (settings.average > 0 ? "average.safetensors" : "best.safetensors"));
  std::cout << "\nTo translate:  " << program << " translate --model " << model
            << "\nTo measure:    " << program << " evaluate --model " << model
            << (settings.toy ? "" : " --source FILE --target FILE") << "\n";
  return 0;
}

}  // namespace gradus::examples
