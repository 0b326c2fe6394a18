// Text as this project reads it: UTF-8, checked strictly where it enters, and cut into words. `split_words`
// sets punctuation apart and splits after an elision ("L'arbre, là." -> L' arbre , là .); it neither
// lowercases nor normalises, and knows no language. `join_words` is its plain inverse: the spacing of a
// printed page, not the bytes that were read. Cutting what it joined gives the same words again. And values
// as text: numbers, lines of JSON.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <istream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradus::examples {

using Words = std::vector<std::string>;

extern const char *const kPageStyle, *const kToyLexicon;  // page.css and toy_lexicon.txt, by the build

struct CodePoint {
  char32_t value;
  std::string_view bytes;
  bool valid;  // if not, value is the offending byte, and there is but one
};

// The code point with which a text begins; 0, of no bytes, where it is empty. Overlong forms, surrogates,
// what lies beyond U+10FFFF, lone and missing continuation bytes are all invalid.
CodePoint decode_utf8(std::string_view text);

// The code points of a text, one after the other: for (const CodePoint& point : CodePoints{text})
struct CodePoints {
  struct Iterator {
    std::string_view rest;
    CodePoint point = decode_utf8(rest);  // with which the rest begins
    const CodePoint& operator*() const { return point; }
    void operator++() { *this = {rest.substr(point.bytes.size())}; }
    bool operator==(std::default_sentinel_t) const { return rest.empty(); }
  };
  std::string_view text;
  Iterator begin() const { return {text}; }
  std::default_sentinel_t end() const { return {}; }
};

// The position of the first byte that is not UTF-8, if there is one.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// White space in Unicode's sense (that of Python's str.split), no-break spaces included.
bool is_space(char32_t c);

// A letter or a digit of any script: all that is neither white space nor punctuation.
bool is_letter(char32_t c);

// Reads one line, without its LF or CRLF, line 1 without a byte order mark; false at the end. `name` and
// `number` tell where, in the errors (std::runtime_error): bytes that are not UTF-8, a failing read.
bool next_line(std::istream& in, const std::string& name, int64_t number, std::string& line);

// All lines of a file. A file that is missing, unreadable, empty or not UTF-8 is an error
// (std::runtime_error).
std::vector<std::string> read_lines(const std::string& path);

// Two text files in which line N of one translates line N of the other.
struct ParallelText {
  std::vector<std::string> source, target;
  std::vector<int64_t> lines;  // where each pair stood in its files, from 1
  int64_t dropped = 0;         // pairs left out because a side was blank
};

// Files with different numbers of lines, or without any complete pair, are an error (std::runtime_error).
ParallelText read_parallel(const std::string& source_path, const std::string& target_path);

// Whether a pair with this source is put aside for validation, as about `fraction` of all are. The line alone
// decides: equal lines are never on both sides, and a pair keeps its side when the corpus grows.
bool is_held_out(std::string_view source, double fraction);

// FNV-1a with a final mix: the same on every machine; it tells texts apart, but does not withstand malice.
uint64_t content_hash(std::string_view text);

Words split_words(std::string_view text);
std::string join_words(const Words& words);

// The text without the blanks around it; and its parts between the marks `at`, each without them.
std::string trim(std::string_view text);
Words split(std::string_view text, char at);

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

// A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, since JSON allows no others.
std::string json_string(std::string_view text);

// One JSON object on one line, for log.jsonl: `JsonLine().add("step", 7).add("loss", 0.5).str()`. Flat. JSON
// knows no NaN and no infinity: they become null. Reading is for such lines alone, field by field.
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

// A field of such a line: its number, unless it has none; its text, or nothing.
std::optional<double> json_number(std::string_view line, std::string_view name);
std::string json_text(std::string_view line, std::string_view name);

}  // namespace gradus::examples
