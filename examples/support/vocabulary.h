// Words and their numbers. Ids 0 to 3 are fixed: padding, begin and end of a sentence, and the unknown
// word, to which every word outside the list is mapped. A vocabulary never changes once made, and it knows
// nothing of spelling: how a text becomes words is the tokeniser's business.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "examples/support/text.h"

namespace gradus::examples {

using Ids = std::vector<int32_t>;

class Vocabulary {
 public:
  static constexpr int32_t pad = 0, bos = 1, eos = 2, unk = 3;

  // The four specials, then `words` in their order; none may be empty, repeated or contain a line break.
  explicit Vocabulary(const Words& words);

  // The most frequent words, ties in alphabetical order; at most `max_size` entries, the specials included.
  static Vocabulary from_counts(const std::map<std::string, int64_t>& counts, int64_t max_size,
                                int64_t min_count = 1);

  // One entry a line, the specials first: what a checkpoint keeps. `parse` refuses (std::runtime_error) the
  // rest.
  std::string to_string() const;
  static Vocabulary parse(const std::string& text);

  int32_t size() const { return static_cast<int32_t>(words_.size()); }
  int32_t id(const std::string& word) const;         // unk where it is not listed
  const std::string& word(int32_t id) const;         // out of range: std::invalid_argument
  Ids encode(const Words& words) const;              // nothing added
  Words decode(std::span<const int32_t> ids) const;  // up to eos; pad and bos are skipped

 private:
  void add(const std::string& word);

  Words words_;
  std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace gradus::examples
