#include "examples/data/utf8.h"

#include <cstdint>

namespace gradus::examples {

CodePoint decode_utf8(std::string_view text) {
  const auto byte = [&](size_t i) -> char32_t { return i < text.size() ? uint8_t(text[i]) : 0; };
  const char32_t lead = byte(0);
  const CodePoint one{lead, text.substr(0, 1), lead < 0x80};
  if (lead < 0xC0 || lead >= 0xF8) return one;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  char32_t value = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return one;
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < smallest[length] || surrogate || value > 0x10FFFF) return one;
  return {value, text.substr(0, length), true};
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  for (const CodePoint& point : CodePoints{text})
    if (!point.valid) return point.bytes.data() - text.data();
  return {};
}

bool is_space(char32_t c) {
  constexpr std::u32string_view others = U"\u0020\u0085\u00A0\u1680\u2028\u2029\u202F\u205F\u3000";
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) || (c >= 0x2000 && c <= 0x200A) ||
         others.find(c) != others.npos;
}

bool is_letter(char32_t c) {
  constexpr std::u32string_view marks = U"«»…–—“”‘’„‹›¡¿";
  if (c >= 0x80) return !is_space(c) && marks.find(c) == marks.npos;
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

}  // namespace gradus::examples
