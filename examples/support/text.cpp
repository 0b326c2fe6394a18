#include "examples/support/text.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include "tensor/error.h"

namespace gradus::examples {

CodePoint decode_utf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> char32_t { return i < text.size() ? uint8_t(text[i]) : 0; };
  const char32_t lead = byte(at);
  const CodePoint invalid{lead, 1, false};
  if (lead < 0x80) return {lead, 1, true};
  if (lead < 0xC0 || lead >= 0xF8) return invalid;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  char32_t value = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return invalid;
    value = value << 6 | (byte(at + i) & 0x3F);
  }
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < smallest[length] || surrogate || value > 0x10FFFF) return invalid;
  return {value, length, true};
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    if (!point.valid) return at;
    at += point.length;
  }
  return std::nullopt;
}

bool is_space(char32_t c) {
  constexpr std::u32string_view others = U"\u0020\u0085\u00A0\u1680\u2028\u2029\u202F\u205F\u3000";
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) || (c >= 0x2000 && c <= 0x200A) ||
         others.find(c) != others.npos;
}

bool next_line(std::istream& in, const std::string& name, int64_t number, std::string& line) {
  const bool found = bool(std::getline(in, line));
  check_world(!in.bad(), name, ", line ", number, ": cannot be read");
  if (!found) return false;
  if (line.ends_with('\r')) line.pop_back();
  if (number == 1 && line.starts_with("\uFEFF"))
    line.erase(0, 3);  // a byte order mark, which some editors leave
  const std::optional<size_t> invalid = find_invalid_utf8(line);
  check_world(!invalid, name, ", line ", number, ", byte ", invalid.value_or(0) + 1, ": not valid UTF-8");
  return true;
}

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  check_world(in.good(), path, ": cannot be opened: ", std::strerror(errno));
  std::vector<std::string> lines;
  for (std::string line; next_line(in, path, std::ssize(lines) + 1, line);) lines.push_back(line);
  check_world(!lines.empty(), path, ": the file is empty");
  return lines;
}

bool is_letter(char32_t c) {
  constexpr std::u32string_view marks = U"«»…–—“”‘’„‹›¡¿";
  if (c >= 0x80) return !is_space(c) && marks.find(c) == marks.npos;
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

namespace {

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_apostrophe(char32_t c) { return c == U'\'' || c == U'’'; }

// Whether a mark between two letters belongs to their word: blue-eyed, l'arbre, 3.14, 10:30.
bool binds(char32_t before, char32_t mark, char32_t after) {
  if (!is_letter(after)) return false;
  if (mark == '.' || mark == ',' || mark == ':') return is_digit(before) && is_digit(after);
  return mark == '-' || is_apostrophe(mark);
}

}  // namespace

Words split_words(std::string_view text) {
  Words words;
  bool inside = false;  // does the next letter continue the last word?
  char32_t before = 0;
  for (size_t at = 0; at < text.size();) {
    const auto [c, length, valid] = decode_utf8(text, at);
    const std::string_view bytes = text.substr(at, length);
    at += length;
    const char32_t after = at < text.size() ? decode_utf8(text, at).value : 0;
    const bool bound = inside && binds(before, c, after);
    if (!is_space(c)) {
      if (!inside || !(bound || is_letter(c))) words.emplace_back();
      words.back() += bytes;
    }
    inside = is_letter(c) || (bound && !is_apostrophe(c));
    before = c;
  }
  return words;
}

std::string join_words(const Words& words) {
  constexpr std::u32string_view closing = U",.;:!?)]}%/…”’'", opening = U"([{‘$¿¡/", quotes = U"\"„“”";
  std::string text;
  bool glued = true;    // the next word follows without a space
  bool quoted = false;  // " and “ (opening in English, closing in German) close what is open
  for (const std::string& word : words) {
    if (word.empty()) continue;
    const CodePoint first = decode_utf8(word, 0);
    const char32_t mark = first.length == word.size() ? first.value : 0;  // 0: a longer word
    const auto is_in = [mark](std::u32string_view set) { return mark != 0 && set.find(mark) != set.npos; };
    const bool quote = is_in(quotes);
    const bool closes = is_in(closing) || (quote && quoted && mark != U'„');
    if (!glued && !closes) text += ' ';
    text += word;
    const bool elided = mark == 0 && (word.ends_with('\'') || word.ends_with("’"));
    glued = elided || is_in(opening) || (quote && !closes);
    if (quote) quoted = !closes;
  }
  return text;
}

std::string shortest(double value) {
  char digits[32];
  const double size = std::abs(value);
  const bool plain = size == 0 || (size >= 1e-5 && size < 1e15);  // to_chars alone prefers 1e-04 to 0.0001
  const auto result = plain ? std::to_chars(digits, std::end(digits), value, std::chars_format::fixed)
                            : std::to_chars(digits, std::end(digits), value);
  return std::string(digits, result.ptr);
}

}  // namespace gradus::examples
