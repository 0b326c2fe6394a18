// A text's way to ids and back, by one of two kinds: whole words, which knows the words it has seen and
// prints the spacing of a printed page; or byte pairs, which spell anything and give back exactly what was
// read. Who holds a Tokenizer need not know which.
#pragma once

#include <map>
#include <span>
#include <unordered_map>
#include <variant>

#include "examples/data/words.h"

namespace gradus::examples {

using Ids = std::vector<int32_t>;

// Words and their numbers. Ids 0 to 3 are fixed: padding, begin and end of a sentence, and the unknown word,
// to which every word outside the list is mapped. A vocabulary never changes once made.
class Vocabulary {
 public:
  static constexpr int32_t pad = 0, bos = 1, eos = 2, unk = 3;

  // The four specials, then `words` in their order; none may be empty, repeated or contain a line break.
  explicit Vocabulary(const Words& words);

  // The most frequent words of a text, ties in alphabetical order, at most `size` entries, the specials
  // included; those seen less than `min_count` times are left out.
  static Vocabulary learn(const std::vector<std::string>& lines, int64_t size, int64_t min_count = 1);

  std::string to_string() const;  // one entry a line, the specials first

  int32_t size() const { return static_cast<int32_t>(words_.size()); }
  int32_t id(const std::string& word) const;         // unk where it is not listed
  const std::string& word(int32_t id) const;         // out of range: std::invalid_argument
  Ids encode(const Words& words) const;              // nothing added
  Words decode(std::span<const int32_t> ids) const;  // up to eos; pad and bos are skipped

 private:
  Words words_;
  std::unordered_map<std::string, int32_t> ids_;
};

// Byte-pair encoding (Sennrich, Haddow, Birch 2016) over bytes: a word is a sequence of bytes, and the pair
// of neighbours that is most frequent in the training text becomes one entry, again and again. Every byte has
// an entry, so nothing is unknown, and nothing is lost: a line decodes to exactly itself, spacing included.
//
// A line is cut into pieces: at most one white-space character, and the letters, or the marks, that follow
// it. Merges stay within a piece. A space is put before the line, and removed again by `decode`, so that its
// first word is the same piece as in the middle. Ids: Vocabulary's four specials, 256 bytes, then the merges.
class Bpe {
 public:
  using Pair = std::pair<int32_t, int32_t>;
  static constexpr int32_t first_byte = 4, first_merge = first_byte + 256;
  static constexpr size_t longest_piece = 64;  // bytes: it bounds the work on a line without a space

  // Merge number i makes entry first_merge + i of two earlier ones; none is made twice or grows too long.
  explicit Bpe(std::vector<Pair> merges);

  // Learns as many merges as `size` entries take, the most frequent pair first, ties by the lower ids. A pair
  // seen less than `min_count` times is not merged; a text with too few of them is an error that names the
  // largest size.
  static Bpe learn(const std::vector<std::string>& lines, int64_t size, int64_t min_count = 1);

  std::string to_string() const;  // a first line `bpe`, then each merge's two ids

  int32_t size() const { return static_cast<int32_t>(entries_.size()); }
  Ids encode(std::string_view line) const;                 // nothing added
  std::string decode(std::span<const int32_t> ids) const;  // up to eos; the bytes, whatever they spell

 private:
  const Ids& encode_piece(const std::string& piece) const;

  std::vector<std::string> entries_;  // the bytes of each id; none for the specials
  std::vector<Pair> merges_;
  std::map<Pair, int32_t> ids_;
  mutable std::unordered_map<std::string, Ids> cache_;  // of pieces
};

// The pieces of a line; one after the other they are the line.
std::vector<std::string> split_pieces(std::string_view line);

class Tokenizer {
 public:
  explicit Tokenizer(Vocabulary words) : kind_(std::move(words)) {}
  explicit Tokenizer(Bpe pairs) : kind_(std::move(pairs)) {}

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
