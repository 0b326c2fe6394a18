#include "examples/support/text.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "tensor/error.h"

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

bool next_line(std::istream& in, const std::string& name, int64_t number, std::string& line) {
  const bool found = bool(std::getline(in, line));
  check_world(!in.bad(), name, ", line ", number, ": cannot be read");
  if (!found) return false;
  if (line.ends_with('\r')) line.pop_back();
  if (number == 1 && line.starts_with("\uFEFF"))
    line.erase(0, 3);  // a byte order mark: some editors leave it
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

ParallelText read_parallel(const std::string& source_path, const std::string& target_path) {
  const auto source = read_lines(source_path), target = read_lines(target_path);
  check_world(source.size() == target.size(),
              "a parallel corpus needs equally many lines on both sides: ", source_path, " has ",
              source.size(), ", ", target_path, " has ", target.size());
  ParallelText text;
  for (size_t i = 0; i < source.size(); ++i) {
    if (split_words(source[i]).empty() || split_words(target[i]).empty()) continue;
    text.source.push_back(source[i]);
    text.target.push_back(target[i]);
    text.lines.push_back(i + 1);
  }
  check_world(!text.source.empty(), source_path, ", ", target_path, ": no pair of non-blank lines");
  text.dropped = std::ssize(source) - std::ssize(text.source);
  return text;
}

bool is_held_out(std::string_view source, double fraction) {
  check(fraction >= 0 && fraction <= 1, "is_held_out: expected a fraction from 0 to 1, got ", fraction);
  constexpr uint64_t steps = 1'000'000;
  return double(content_hash(source) % steps) < fraction * steps;
}

uint64_t content_hash(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCD;  // FNV alone leaves the low bits weak
  return hash ^ hash >> 33;
}

bool is_letter(char32_t c) {
  constexpr std::u32string_view marks = U"«»…–—“”‘’„‹›¡¿";
  if (c >= 0x80) return !is_space(c) && marks.find(c) == marks.npos;
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

namespace {

// What follows `"name": `. A text's own quotes are escaped, so it is never inside one.
std::string_view after(std::string_view line, std::string_view name) {
  const std::string key = json_string(name) + ": ";
  const size_t at = line.find(key);
  return at == line.npos ? "" : line.substr(at + key.size());
}

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
  for (const auto& [c, bytes, valid] : CodePoints{text}) {
    text.remove_prefix(bytes.size());
    const char32_t after = decode_utf8(text).value;
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
    const CodePoint first = decode_utf8(word);
    const char32_t mark = first.bytes == word ? first.value : 0;  // 0: a longer word
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

std::string trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  return std::string(first == text.npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

Words split(std::string_view text, char at) {
  Words parts;
  for (size_t begin = 0, end = 0; end != text.npos; begin = end + 1) {
    end = text.find(at, begin);
    parts.push_back(trim(text.substr(begin, end - begin)));
  }
  return parts;
}

std::string shortest(double value) {
  char digits[32];
  const double size = std::abs(value);
  const bool plain = size == 0 || (size >= 1e-5 && size < 1e15);  // to_chars alone prefers 1e-04 to 0.0001
  const auto result = plain ? std::to_chars(digits, std::end(digits), value, std::chars_format::fixed)
                            : std::to_chars(digits, std::end(digits), value);
  return std::string(digits, result.ptr);
}

std::string json_string(std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const auto& [c, bytes, valid] : CodePoints{text}) {
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

}  // namespace gradus::examples
