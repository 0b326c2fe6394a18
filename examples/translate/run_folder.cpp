#include "examples/translate/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "tensor/file.h"

namespace gradus::examples {
namespace {

// The files that training writes.
constexpr const char* kNames[] = {"best.safetensors", "last.safetensors", "log.jsonl", "report.html"};

// Whether atomic_write_file gives a temporary file of `name` this name: NAME.tmp.NUMBER.
bool is_temporary(const std::string& file, const std::string& name) {
  const std::string beginning = name + ".tmp.";
  if (!file.starts_with(beginning)) return false;
  const std::string number = file.substr(beginning.size());
  return !number.empty() && number.find_first_not_of("0123456789") == number.npos;
}

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

}  // namespace

// Those of kNames that are in the folder.
std::vector<std::string> RunFolder::own_files() const {
  std::vector<std::string> names;
  for (const char* name : kNames)
    if (std::filesystem::exists(path_ / name)) names.push_back(name);
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
  for (const auto& file : std::filesystem::directory_iterator(path_)) {
    const std::string name = file.path().filename().string();
    const auto is_ours = [&](const char* own) { return is_temporary(name, own); };
    if (file.is_regular_file() && std::ranges::any_of(kNames, is_ours)) std::filesystem::remove(file.path());
  }
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
