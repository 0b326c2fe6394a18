#include "examples/translate/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <regex>

#include "tensor/file.h"

namespace gradus::examples {
namespace {

// The names of the files that training writes.
constexpr const char* kOwnNames = R"(((best|last)\.safetensors|log\.jsonl|report\.html))";

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

}  // namespace

// The names in the folder that are this program's, followed by `suffix`, a regular expression. None where
// there is no folder.
std::vector<std::string> RunFolder::own_files(const std::string& suffix) const {
  const std::regex pattern(kOwnNames + suffix);
  std::vector<std::string> names;
  std::error_code no_folder;
  for (const auto& file : std::filesystem::directory_iterator(path_, no_folder)) {
    const std::string name = file.path().filename().string();
    if (std::regex_match(name, pattern)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

void RunFolder::refuse_to_overwrite() const {
  check(!std::filesystem::exists(last()), "train: ", last(),
        " is there already: go on from it with --resume, or name another --out");
  // Every run leaves a last.safetensors, so these files are no run's to go on with.
  const std::vector<std::string> held = own_files();
  check(held.empty(), "train: ", name(), " holds ", listed(held),
        ", which training would overwrite: name another --out, or move ", held.size() == 1 ? "it" : "them",
        " away");
}

void RunFolder::require_last() const {
  if (std::filesystem::exists(last())) return;
  const std::vector<std::string> held = own_files();
  const std::string instead =
      held.empty() ? "without --resume training begins anew"
                   : message("to begin anew, leave out --resume and name another --out: ", name(), " holds ",
                             listed(held));
  throw std::runtime_error(message("train --resume: there is no ", last(), " to go on from; ", instead));
}

void RunFolder::create() {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  check_world(!error, "train: cannot make the folder --out ", name(), ": ", error.message());
}

void RunFolder::lock(std::ostream& out) {
  const int folder =
      ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);  // closed by the process's end
  check_world(folder >= 0, "train: cannot open the folder --out ", name(), ": ", std::strerror(errno));
  if (flock(folder, LOCK_EX | LOCK_NB) == 0) return;
  check_world(errno != EWOULDBLOCK, "train: another training is writing to ", name(), "; name another --out");
  out << "note: the file system of " << name() << " cannot lock (" << std::strerror(errno)
      << "): make sure that no other training writes there\n";
}

void RunFolder::remove_leftovers() const {
  for (const std::string& name : own_files(R"(\.tmp\.[0-9]+)"))  // see atomic_write_file
    if (std::filesystem::is_regular_file(path_ / name)) std::filesystem::remove(path_ / name);
}

void RunFolder::open_log(int64_t step) {
  std::string kept;
  if (std::filesystem::exists(log_file())) {
    std::ifstream before(log_file());
    int64_t number = 0;
    for (std::string line; std::getline(before, line);) {
      ++number;
      const std::optional<JsonFields> fields = JsonFields::parse(line);
      const std::optional<double> at = fields ? fields->number("step") : std::nullopt;
      const bool cut = before.eof();  // the last line, without its line break: the run was killed in it
      check_world(at || cut, "train --resume: ", log_file(), ", line ", number,
                  ": expected one of training's own lines; to begin a new log, move the file away");
      if (!at || *at > static_cast<double>(step)) continue;
      kept += line + '\n';
      log_.push_back(*fields);
    }
    check_world(before.eof(), "train --resume: ", log_file(),
                ", the history of this run, cannot be read; make it readable, or move it away");
  }
  atomic_write_file(log_file(), kept);
  out_.open(log_file(), std::ios::app);
}

void RunFolder::write(const JsonLine& line) {
  log_.push_back(JsonFields::parse(line.str()).value());
  out_ << line.str() << std::endl;
  check_world(out_.good(), "train: cannot write ", log_file());
  check_world(std::filesystem::exists(log_file()), "train: ", log_file(), " was removed while training ran");
}

}  // namespace gradus::examples
