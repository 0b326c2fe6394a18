// A text's way to ids and back, by one of two kinds: whole words (a Vocabulary over split_words), which knows
// the words it has seen and prints the spacing of a printed page; or byte pairs (Bpe), which spell anything
// and give back exactly what was read. Who holds a Tokenizer need not know which.
#pragma once

#include <variant>

#include "examples/support/bpe.h"
#include "examples/support/vocabulary.h"

namespace gradus::examples {

class Tokenizer {
 public:
  explicit Tokenizer(Vocabulary words) : kind_(std::move(words)) {}
  explicit Tokenizer(Bpe pairs) : kind_(std::move(pairs)) {}

  // The most frequent words of a text, at most `size` entries; those seen less than `min_count` times are
  // left out.
  static Tokenizer of_words(const std::vector<std::string>& lines, int64_t size, int64_t min_count);

  // What a checkpoint keeps. `parse` refuses (std::runtime_error) whatever to_string does not write.
  std::string to_string() const {
    return std::visit([](const auto& kind) { return kind.to_string(); }, kind_);
  }
  static Tokenizer parse(const std::string& text);

  int32_t size() const {
    return std::visit([](const auto& kind) { return kind.size(); }, kind_);
  }
  Ids encode(const std::string& line) const;  // nothing added
  // Up to eos; always one line of UTF-8: bytes that a model put together wrongly become U+FFFD.
  std::string decode(std::span<const int32_t> ids) const;

 private:
  std::variant<Vocabulary, Bpe> kind_;
};

}  // namespace gradus::examples
