// JSON as log.jsonl has it: one flat object a line.
#pragma once

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "examples/data/numbers.h"

namespace gradus::examples {

// A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, since JSON allows no others.
std::string json_string(std::string_view text);

// Writes an object: `JsonLine().add("step", 7).add("loss", 0.5).str()`. JSON knows no NaN and no infinity, so
// they become null.
class JsonLine {
 public:
  template <class T> JsonLine& add(std::string_view name, const T& value) {
    fields_ += (fields_.empty() ? "" : ", ") + json_string(name) + ": ";
    if constexpr (!std::is_arithmetic_v<T>) fields_ += json_string(value);
    else fields_ += std::isfinite(double(value)) ? as_text(value) : "null";
    return *this;
  }
  std::string str() const { return "{" + fields_ + "}"; }

 private:
  std::string fields_;
};

// An object that was read: its numbers and texts by name. true, false and null are left out.
class JsonFields {
 public:
  // Nothing if the line is no such object. White space may stand wherever JSON allows it.
  static std::optional<JsonFields> parse(std::string_view line);

  std::optional<double> number(const std::string& name) const;
  std::string text(const std::string& name) const;  // empty where there is no such text

 private:
  std::map<std::string, std::variant<double, std::string>> fields_;
};

}  // namespace gradus::examples
