#include "examples/support/json_line.h"

namespace gradus::examples {

std::string json_string(std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const auto [c, length, valid] = decode_utf8(text, at);
    if (c == '"' || c == '\\') out += '\\';
    if (c < 0x20) out += {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    else out += valid ? text.substr(at, length) : "\uFFFD";
    at += length;
  }
  return out + '"';
}

JsonLine& JsonLine::add_raw(std::string_view name, std::string_view value) {
  if (!fields_.empty()) fields_ += ", ";
  fields_ += json_string(name) + ": ";
  fields_ += value;
  return *this;
}

}  // namespace gradus::examples
