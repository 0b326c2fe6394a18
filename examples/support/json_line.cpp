#include "examples/support/json_line.h"

namespace gradus::examples {
namespace {

// What follows `"name": `. A text's own quotes are escaped, so it is never inside one.
std::string_view after(std::string_view line, std::string_view name) {
  const std::string key = json_string(name) + ": ";
  const size_t at = line.find(key);
  return at == line.npos ? "" : line.substr(at + key.size());
}

}  // namespace

std::string json_string(std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const auto& [c, bytes, valid] : code_points(text)) {
    if (c == '"' || c == '\\') out += '\\';
    if (c < 0x20) out += {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    else out += valid ? bytes : "\uFFFD";
  }
  return out + '"';
}

std::optional<double> json_number(std::string_view line, std::string_view name) {
  const std::string_view text = after(line, name);
  const auto value = number_in<double>(text.substr(0, text.find_first_of(",}")));
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::string json_text(std::string_view line, std::string_view name) {
  std::string_view text = after(line, name);
  std::string out;
  if (!text.starts_with('"')) return out;
  for (size_t at = 1; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] != '\\') out += text[at];
    else if (text.substr(at).starts_with("\\u00")) out += ' ', at += 5;  // a control character
    else if (++at < text.size()) out += text[at];
  }
  return out;
}

JsonLine& JsonLine::add_raw(std::string_view name, std::string_view value) {
  if (!fields_.empty()) fields_ += ", ";
  fields_ += json_string(name) + ": ";
  fields_ += value;
  return *this;
}

}  // namespace gradus::examples
