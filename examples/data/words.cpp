#include "examples/data/words.h"

#include "examples/data/utf8.h"

namespace gradus::examples {

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

}  // namespace gradus::examples
