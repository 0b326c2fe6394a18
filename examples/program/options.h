// The options of one command: `--name value`, `--name=value` and flags, each bound to a variable that
// already holds its default. The same names, without dashes, are the keys of a flat `key = value` file, so
// a run can be written down (`--dump-config`) and repeated (`--config FILE`). There are no short options
// but -h, no positional arguments and no nesting. Whatever is refused is a std::invalid_argument that names
// the option and what was expected.
#pragma once

#include <cmath>
#include <span>
#include <variant>

#include "examples/data/words.h"

namespace gradus::examples {

struct Range {  // both ends belong to it
  double min = -INFINITY, max = INFINITY;
};

class Options {
 public:
  using Target = std::variant<bool*, int*, int64_t*, double*, std::string*>;
  enum class Action { run, help, dump_config };

  Options(std::string usage, std::string about);
  Options(const Options&) = delete;  // its own options are bound to its members
  Options& operator=(const Options&) = delete;

  // Options that follow stand under this title in the help.
  void group(std::string title) { group_ = std::move(title); }
  // A bool is a flag. A placeholder with bars, "pre|post", lists the values allowed. Line breaks in `help`
  // are kept.
  void add(std::string name, Target target, std::string placeholder, std::string help, Range range = {});

  // Sets the variables: first from the file that --config names, then from the arguments. The caller acts
  // on the result: print help(), print dump(), or run.
  Action parse(std::span<const std::string> arguments);
  // Sets variables from `key = value` lines; blank lines and lines that start with # are skipped. `name` is
  // for errors.
  void read(std::istream& in, const std::string& name);

  std::string help() const;
  std::string dump() const;  // all values as they stand: what read() takes

  struct Option {
    std::string group, name, placeholder, help, initial;
    Words choices;
    Target target;
    Range range;
  };

 private:
  static constexpr size_t general = 3;  // --config, --dump-config and --help come first in options_
  std::span<const Option> own() const { return std::span(options_).subspan(general); }  // the others

  std::string usage_, about_, group_ = "General", config_;
  bool help_ = false, dump_ = false;
  std::vector<Option> options_;
};

// "; did you mean X?" with the candidate nearest to `word` by edit distance, or nothing if none is near.
std::string did_you_mean(const std::string& word, const Words& candidates);

}  // namespace gradus::examples
