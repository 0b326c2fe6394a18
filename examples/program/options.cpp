#include "examples/program/options.h"

#include <algorithm>
#include <fstream>
#include <numeric>
#include <set>
#include <utility>

#include "examples/data/lines.h"
#include "examples/data/numbers.h"
#include "examples/data/utf8.h"
#include "tensor/error.h"

namespace gradus::examples {
namespace {

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);  // from the part of a read so far to every beginning of b
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

std::string format(const Options::Target& target) {
  return std::visit([](const auto* value) { return as_text(*value); }, target);
}

// The value that `text` spells, unless it spells none that the option takes.
template <class T> std::optional<T> value_of(const std::string& text, const Options::Option& option) {
  if constexpr (std::is_same_v<T, bool>) {
    if (text == "true" || text == "false") return text == "true";
  } else if constexpr (std::is_same_v<T, std::string>) {
    const bool fits = option.choices.empty() || std::ranges::count(option.choices, text) > 0;
    const bool survives_a_file = trim(text) == text && text.find_first_of("\r\n") == text.npos;
    if (fits && survives_a_file && !find_invalid_utf8(text)) return text;
  } else if (const auto value = number_in<T>(text)) {
    if (std::isfinite(double(*value)) && *value >= option.range.min && *value <= option.range.max)
      return value;
  }
  return {};
}

std::string expected(const Options::Option& option) {
  if (std::holds_alternative<bool*>(option.target)) return "true or false";
  if (std::holds_alternative<std::string*>(option.target))
    return option.choices.empty() ? option.placeholder + " (one line of UTF-8, no spaces at its ends)"
                                  : "one of " + option.placeholder;
  const auto [min, max] = option.range;
  const std::string number = std::holds_alternative<double*>(option.target) ? "a number" : "a whole number";
  if (std::isfinite(max)) return number + " from " + shortest(min) + " to " + shortest(max);
  return std::isfinite(min) ? number + " of at least " + shortest(min) : number;
}

void set(const Options::Option& option, const std::string& where, const std::optional<std::string>& text) {
  const auto assign = [&](auto* variable) {
    const auto value = value_of<std::decay_t<decltype(*variable)>>(*text, option);
    if (value) *variable = *value;
    return value.has_value();
  };
  if (text && std::visit(assign, option.target)) return;
  const std::string got = text.value_or("");
  throw std::invalid_argument(where + ": expected " + expected(option) + ", got " +
                              (got.empty() ? "nothing" : "'" + got + "'") +
                              did_you_mean(got, option.choices));
}

// By name without its first `skip` characters: a configuration file writes no dashes.
const Options::Option& find(std::span<const Options::Option> among, size_t skip, const std::string& name,
                            const std::string& where) {
  Words names;
  for (const Options::Option& option : among) {
    names.push_back(option.name.substr(skip));
    if (names.back() == name) return option;
  }
  throw std::invalid_argument(where + ": unknown option" + did_you_mean(name, names));
}

// Lines of at most 100 columns that begin at `column`; line breaks of the text are kept.
std::string wrapped(const std::string& text, size_t column) {
  std::string out;
  for (size_t begin = 0, end, at = column; begin < text.size(); begin = end + 1) {
    end = std::min(text.find_first_of(" \n", begin), text.size());
    const bool fresh = begin > 0 && (text[begin - 1] == '\n' || at + 1 + end - begin > 100);
    if (begin > 0) out += fresh ? "\n" + std::string(column, ' ') : " ";
    at = (fresh ? column : at + (begin > 0)) + end - begin;
    out += text.substr(begin, end - begin);
  }
  return out;
}

}  // namespace

std::string did_you_mean(const std::string& word, const Words& candidates) {
  std::string nearest;
  size_t limit = word.size() / 3 + 2;  // further away it would be a guess
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < limit) limit = distance, nearest = candidate;
  }
  return nearest.empty() ? "" : "; did you mean " + nearest + "?";
}

Options::Options(std::string usage, std::string about) : usage_(std::move(usage)), about_(std::move(about)) {
  add("--config", &config_, "FILE", "read options from FILE; the command line overrides it");
  add("--dump-config", &dump_, "", "print all options as such a file, and stop");
  add("--help", &help_, "", "print this, and stop");
  group("Options");
}

void Options::add(std::string name, Target target, std::string placeholder, std::string help, Range range) {
  const Words choices = placeholder.find('|') == placeholder.npos ? Words() : split(placeholder, '|');
  options_.push_back({group_, name, placeholder, help, format(target), choices, target, range});
}

Options::Action Options::parse(std::span<const std::string> arguments) {
  const auto apply = [&] {
    std::set<std::string> given;
    for (size_t i = 0; i < arguments.size(); ++i) {
      const std::string argument = arguments[i] == "-h" ? "--help" : arguments[i];
      check(argument.starts_with("--"), "'", argument, "': expected an option such as --help");
      const size_t equals = argument.find('=');
      const std::string name = argument.substr(0, equals);
      const Option& option = find(options_, 0, name, name);
      // A repeated number overrides the one before; of two files one would be forgotten.
      check(given.insert(name).second || option.placeholder != "FILE", name,
            ": expected one file, got several");
      std::optional<std::string> text;
      if (equals != argument.npos) text = argument.substr(equals + 1);
      else if (std::holds_alternative<bool*>(option.target)) text = "true";
      else if (i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) text = arguments[++i];
      set(option, name, text);
    }
  };
  apply();
  if (!config_.empty()) {
    std::ifstream in(config_);
    check_world(in.good(), "--config: ", config_, " cannot be opened");
    read(in, config_);
    apply();  // once more, over what the file says
  }
  return help_ ? Action::help : dump_ ? Action::dump_config : Action::run;
}

void Options::read(std::istream& in, const std::string& name) {
  std::string line;
  for (int64_t number = 1; next_line(in, name, number, line); ++number) {
    if (trim(line).empty() || trim(line).starts_with('#')) continue;
    const size_t equals = line.find('=');
    const std::string key = trim(line.substr(0, equals));
    const std::string where = name + ", line " + std::to_string(number) + ": " + key;
    check(equals != line.npos, where, ": expected key = value");
    set(find(own(), 2, key, where), where, trim(line.substr(equals + 1)));
  }
}

std::string Options::dump() const {
  std::string text;
  for (const Option& option : own()) text += option.name.substr(2) + " = " + format(option.target) + "\n";
  return text;
}

std::string Options::help() const {
  const auto left = [](const Option& option) { return "  " + option.name + " " + option.placeholder; };
  constexpr size_t kLongest = 34;  // the explanation of a longer one begins on the next line
  size_t column = 0;
  for (const Option& option : options_)
    if (left(option).size() <= kLongest) column = std::max(column, left(option).size() + 2);
  std::string text = "usage: " + usage_ + "\n\n" + about_ + "\n", group;
  for (size_t i = 0; i < options_.size(); ++i) {
    const Option& option = options_[(i + general) % options_.size()];  // the general ones come last
    if (std::exchange(group, option.group) != option.group) text += "\n" + group + "\n";
    std::string line = left(option);
    if (line.size() + 2 > column) line += '\n' + std::string(column, ' ');
    else line.resize(column, ' ');
    const bool has_default = !option.initial.empty() && option.initial != "false";
    text +=
        line + wrapped(option.help + (has_default ? " (default " + option.initial + ")" : ""), column) + "\n";
  }
  return text;
}

}  // namespace gradus::examples
