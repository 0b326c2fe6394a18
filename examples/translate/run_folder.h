// The folder of a training run: best.safetensors, last.safetensors, log.jsonl and report.html. Training
// touches no file under another name, except the temporary ones of atomic_write_file.
#pragma once

#include <filesystem>
#include <fstream>

#include "examples/data/json.h"
#include "examples/translate/checkpoint.h"

namespace gradus::examples {

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}

  std::string name() const { return path_.string(); }
  std::string best() const { return (path_ / "best.safetensors").string(); }
  std::string last() const { return (path_ / "last.safetensors").string(); }
  std::string log_file() const { return (path_ / "log.jsonl").string(); }
  std::string report_file() const { return (path_ / "report.html").string(); }

  // A folder that holds a file under one of these names is refused (std::invalid_argument).
  void refuse_to_overwrite() const;
  // Without last.safetensors there is nothing to resume (std::runtime_error, which says what to do instead).
  void require_last() const;

  void create();
  // Keeps other trainings out until this process ends, however it ends. Where the file system cannot lock,
  // `out` says so.
  void lock(std::ostream& out);
  // Removes what killed runs left half written.
  void remove_leftovers() const;
  // Opens the log, of which the lines up to `step` stay.
  void open_log(int64_t step);

  void write(const JsonLine& line);
  const std::vector<JsonFields>& log() const { return log_; }  // all lines, those of earlier runs included

 private:
  std::vector<std::string> own_files() const;

  std::filesystem::path path_;
  std::ofstream out_;
  std::vector<JsonFields> log_;
};

}  // namespace gradus::examples
