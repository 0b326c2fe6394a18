// Text as this project reads it: UTF-8, checked strictly where it enters, and cut into words. `split_words`
// sets punctuation apart and splits after an elision ("L'arbre, là." -> L' arbre , là .); it neither
// lowercases nor normalises, and knows no language. `join_words` is its plain inverse: the spacing of a
// printed page, not the bytes that were read. Cutting what it joined gives the same words again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradus::examples {

using Words = std::vector<std::string>;

struct CodePoint {
  char32_t value;
  size_t length;  // bytes
  bool valid;     // if not, value is the offending byte and length is 1
};

// The code point that starts at byte `at` < text.size(). Overlong forms, surrogates, what lies beyond
// U+10FFFF, lone and missing continuation bytes are all invalid.
CodePoint decode_utf8(std::string_view text, size_t at);

// The position of the first byte that is not UTF-8, if there is one.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// White space in Unicode's sense (that of Python's str.split), no-break spaces included.
bool is_space(char32_t c);

// A letter or a digit of any script: all that is neither white space nor punctuation.
bool is_letter(char32_t c);

// Reads one line, without its LF or CRLF, line 1 without a byte order mark; false at the end. `name` and
// `number` tell where, in the errors (std::runtime_error): bytes that are not UTF-8, a failing read.
bool next_line(std::istream& in, const std::string& name, int64_t number, std::string& line);

// All lines of a file. A file that is missing, unreadable, empty or not UTF-8 is
// an error (std::runtime_error).
std::vector<std::string> read_lines(const std::string& path);

Words split_words(std::string_view text);
std::string join_words(const Words& words);

// The shortest decimal number that reads back as the same double.
std::string shortest(double value);

}  // namespace gradus::examples
