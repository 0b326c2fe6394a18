// Byte-pair encoding (Sennrich, Haddow, Birch 2016) over bytes: a word is a sequence of bytes, and the pair
// of neighbours that is most frequent in the training text becomes one entry, again and again. Every byte has
// an entry, so nothing is unknown, and nothing is lost: a line decodes to exactly itself, spacing included.
//
// A line is cut into pieces: at most one white-space character, and the letters, or the marks, that follow
// it. Merges stay within a piece. A space is put before the line, and removed again by `decode`, so that its
// first word is the same piece as in the middle. Ids: Vocabulary's four specials, 256 bytes, then the merges.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "examples/support/vocabulary.h"

namespace gradus::examples {

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

  // A first line `bpe`, then each merge's two ids: what a checkpoint keeps. `parse` refuses
  // (std::runtime_error) the rest.
  std::string to_string() const;
  static Bpe parse(const std::string& text);

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

}  // namespace gradus::examples
