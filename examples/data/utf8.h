// UTF-8, decoded strictly: code points, and the classes of characters that this project distinguishes.
#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <string_view>

namespace gradus::examples {

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

}  // namespace gradus::examples
