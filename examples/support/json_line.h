// One JSON object on one line, for log.jsonl: `JsonLine().add("step", 7).add("loss", 0.5).str()`. Flat. JSON
// knows no NaN and no infinity: they become null. Reading is for such lines alone, field by field.
#pragma once

#include <cmath>

#include "examples/support/text.h"

namespace gradus::examples {

// A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, since JSON allows no others.
std::string json_string(std::string_view text);

class JsonLine {
 public:
  template <class T> JsonLine& add(std::string_view name, const T& value) {
    if constexpr (!std::is_arithmetic_v<T>) return add_raw(name, json_string(value));
    else return add_raw(name, std::isfinite(double(value)) ? as_text(value) : "null");
  }
  std::string str() const { return "{" + fields_ + "}"; }

 private:
  JsonLine& add_raw(std::string_view name, std::string_view value);

  std::string fields_;
};

// A field of such a line: its number, unless it has none; its text, or nothing.
std::optional<double> json_number(std::string_view line, std::string_view name);
std::string json_text(std::string_view line, std::string_view name);

}  // namespace gradus::examples
