#include "examples/support/cli.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>
#include <optional>
#include <type_traits>
#include <utility>

#include "examples/support/text.h"
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

std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t");
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string> choices(const std::string& placeholder) {
  std::vector<std::string> names;
  if (placeholder.find('|') == placeholder.npos) return names;
  for (size_t at = 0, end = 0; end != placeholder.npos; at = end + 1) {
    end = placeholder.find('|', at);
    names.push_back(placeholder.substr(at, end - at));
  }
  return names;
}

std::string format(const Options::Target& target) {
  return std::visit(
      [](const auto* value) -> std::string {
        using T = std::decay_t<decltype(*value)>;
        if constexpr (std::is_same_v<T, std::string>) return *value;
        else if constexpr (std::is_same_v<T, bool>) return *value ? "true" : "false";
        else if constexpr (std::is_same_v<T, double>) return shortest(*value);
        else return std::to_string(*value);
      },
      target);
}

// The value that `text` spells, unless it spells none that the option takes.
template <class T>
std::optional<T> value_of(const std::string& text, const std::string& placeholder, Range range) {
  if constexpr (std::is_same_v<T, bool>) {
    return text == "true" || text == "false" ? std::optional(text == "true") : std::nullopt;
  } else if constexpr (std::is_same_v<T, std::string>) {
    const auto allowed = choices(placeholder);
    const bool fits = allowed.empty() || std::find(allowed.begin(), allowed.end(), text) != allowed.end();
    const bool survives_a_file = trim(text) == text && text.find_first_of("\r\n") == text.npos;
    return fits && survives_a_file ? std::optional(text) : std::nullopt;
  } else {
    T value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const auto number = static_cast<double>(value);
    const bool fits = std::isfinite(number) && number >= range.min && number <= range.max;
    return error == std::errc() && end == text.data() + text.size() && fits ? std::optional(value)
                                                                            : std::nullopt;
  }
}

std::string expected(const Options::Target& target, const std::string& placeholder, Range range) {
  if (std::holds_alternative<bool*>(target)) return "true or false";
  if (std::holds_alternative<std::string*>(target))
    return choices(placeholder).empty() ? placeholder : "one of " + placeholder;
  const std::string number = std::holds_alternative<double*>(target) ? "a number" : "a whole number";
  if (std::isfinite(range.max)) return number + " from " + shortest(range.min) + " to " + shortest(range.max);
  return std::isfinite(range.min) ? number + " of at least " + shortest(range.min) : number;
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

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  std::string nearest;
  size_t limit = word.size() / 3 + 2;  // further away it would be a guess
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < limit) limit = distance, nearest = candidate;
  }
  return nearest.empty() ? "" : "; did you mean " + nearest + "?";
}

Options::Options(std::string usage, std::string about) : usage_(std::move(usage)), about_(std::move(about)) {
  group("General");
  add("--config", &config_, "FILE", "read options from FILE; the command line overrides it");
  add("--dump-config", &dump_, "", "print all options as such a file, and stop");
  add("--help", &help_, "", "print this, and stop");
  group("Options");
}

std::span<const Options::Option> Options::own() const { return std::span(options_).subspan(general); }

void Options::group(std::string title) { group_ = std::move(title); }

void Options::add(std::string name, Target target, std::string placeholder, std::string help, Range range) {
  options_.push_back(
      {group_, std::move(name), std::move(placeholder), std::move(help), format(target), target, range});
}

const Options::Option& Options::find(std::span<const Option> among, size_t skip, const std::string& name,
                                     const std::string& where) {
  std::vector<std::string> names;
  for (const Option& option : among) {
    names.push_back(option.name.substr(skip));
    if (names.back() == name) return option;
  }
  throw std::invalid_argument(where + ": unknown option" + did_you_mean(name, names));
}

void Options::refuse(const Option& option, const std::string& where, const std::string& text) {
  throw std::invalid_argument(
      where + ": expected " + expected(option.target, option.placeholder, option.range) + ", got " +
      (text.empty() ? "nothing" : "'" + text + "'") + did_you_mean(text, choices(option.placeholder)));
}

void Options::set(const Option& option, const std::string& where, const std::string& text) {
  const auto assign = [&](auto* variable) {
    const auto value = value_of<std::decay_t<decltype(*variable)>>(text, option.placeholder, option.range);
    if (value) *variable = *value;
    return value.has_value();
  };
  if (!std::visit(assign, option.target)) refuse(option, where, text);
}

Options::Action Options::parse(std::span<const std::string> arguments) {
  std::vector<std::pair<const Option*, std::string>> given;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string argument = arguments[i] == "-h" ? "--help" : arguments[i];
    check(argument.starts_with("--"), "'", argument, "': expected an option such as --help");
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const Option& option = find(options_, 0, name, name);
    if (equals != argument.npos) {
      given.emplace_back(&option, argument.substr(equals + 1));
    } else if (std::holds_alternative<bool*>(option.target)) {
      given.emplace_back(&option, "true");
    } else if (i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) {
      given.emplace_back(&option, arguments[++i]);
    } else {
      refuse(option, option.name, "");
    }
  }
  for (const auto& [option, text] : given)
    if (option->name == "--config") set(*option, option->name, text);
  if (!config_.empty()) {
    std::ifstream in(config_);
    check_world(in.good(), "--config: ", config_, " cannot be opened");
    read(in, config_);
  }
  for (const auto& [option, text] : given) set(*option, option->name, text);
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
