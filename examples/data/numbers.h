// Numbers as text, and back.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace gradus::examples {

// The shortest decimal number that reads back as the same double.
std::string shortest(double value);

// A value as text: numbers so that the same is read back, texts as they are.
template <class T> std::string as_text(const T& value) {
  if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
  else if constexpr (std::is_floating_point_v<T>) return shortest(value);
  else if constexpr (std::is_integral_v<T>) return std::to_string(value);
  else return value;
}

// The number that a text is, from its first to its last character, or nothing.
template <class Number> std::optional<Number> number_in(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

}  // namespace gradus::examples
